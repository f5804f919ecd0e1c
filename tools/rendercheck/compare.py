"""What differs between two sets of objects, told so that one finds the place. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from guard.base.codec import Json, is_array, is_object

Path: TypeAlias = tuple[str | int, ...]

_LEFT_OUT = "(differs between two runs of the tool itself)"
_LONGEST = 120


def difference(guard: Sequence[Json], alone: Sequence[Json]) -> str:
    """Nothing where both hold the same objects; else which differ, and the first path of each at which they do."""
    ours, theirs = Counter(map(_text, guard)), Counter(map(_text, alone))
    extra, missing = list((ours - theirs).elements()), list((theirs - ours).elements())
    told: list[str] = []
    for text in extra:
        body = json.loads(text)
        other = next((each for each in missing if _name(json.loads(each)) == _name(body)), None)
        if other is None:
            told.append(f"only Guard has {_name(body)}")
            continue
        missing.remove(other)
        path, mine, its = next(_paths(body, json.loads(other)))
        told.append(f"{_name(body)} {_written(path)}: Guard {_short(mine)}, alone {_short(its)}")
    told += [f"only the tool alone has {_name(json.loads(text))}" for text in missing]
    return "; ".join(told)


def unsteady(first: Sequence[Json], second: Sequence[Json]) -> list[tuple[int, Path]]:
    """Where two runs of one tool differ: the number of the object, and the path in it."""
    pairs = enumerate(zip(first, second, strict=False))
    return [(number, path) for number, (one, other) in pairs for path, _, _ in _paths(one, other)]


def without(objects: Sequence[Json], places: Iterable[tuple[int, Path]]) -> list[Json]:
    """Copies of the objects that do not tell what stands in these places."""
    copies: list[Json] = json.loads(json.dumps(objects))
    for number, path in places:
        if number < len(copies):
            copies[number] = _replaced(copies[number], path)
    return copies


def _replaced(value: Json, path: Path) -> Json:
    if not path:
        return _LEFT_OUT
    step, rest = path[0], path[1:]
    if is_object(value) and isinstance(step, str):
        value[step] = _replaced(value.get(step), rest)
    elif is_array(value) and isinstance(step, int) and step < len(value):
        value[step] = _replaced(value[step], rest)
    return value


def _paths(one: Json, other: Json, path: Path = ()) -> Iterator[tuple[Path, Json, Json]]:
    """The places in which two values differ, and what they have there; a list of another length differs as a whole."""
    if is_object(one) and is_object(other):
        for key in sorted(one.keys() | other.keys()):
            if key in one and key in other:
                yield from _paths(one[key], other[key], (*path, key))
            else:
                yield (*path, key), one.get(key, "(nothing)"), other.get(key, "(nothing)")
    elif is_array(one) and is_array(other) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _paths(left, right, (*path, index))
    elif _text(one) != _text(other):
        yield path, one, other


def _text(value: Json) -> str:
    """The same for the same value only: JSON tells 1 from 1.0, "1" and true."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _name(body: Json) -> str:
    if not is_object(body):
        return _short(body)
    metadata = body.get("metadata")
    known = metadata if is_object(metadata) else {}
    where = f"{known['namespace']}/" if known.get("namespace") else ""
    return f"{body.get('apiVersion')} {body.get('kind')} {where}{known.get('name')}"


def _written(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _short(value: Json) -> str:
    text = _text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
