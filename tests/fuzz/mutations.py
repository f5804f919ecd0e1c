"""Ways to spoil a review: by its bytes, and by its JSON. Everything comes from the given source of randomness."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import TypeAlias, cast

import msgspec

from guard.base import codec
from guard.base.codec import Json, is_array, is_object

Container: TypeAlias = "dict[str, Json] | list[Json]"
# A place in a document: what holds it, and its key or index there.
Place: TypeAlias = tuple[Container, str | int]

DEEP = 3000  # levels: three times what Python recurses into; half of it stays within what a decoder takes in one piece
MOST_MUTATIONS = 6

# Spliced in as they stand, so that also what no encoder would write gets in.
JUNK: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"0",
    b"-0",
    b"1.0",
    b"1e999999",
    b"-1e-999999",
    b"18446744073709551616",
    b"9" * 400,
    b"0.1" + b"0" * 400,
    b'""',
    b'" "',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"1000m"',
    b'"\\u003c"',
    b"[]",
    b"{}",
    b"[null]",
    b"[[]]",
    b'{"":null}',
    b'{"a":1,"a":2}',
    b'[{"name":"web"},{"name":"web"}]',
    b'[{"name":null},{"name":{}},{"name":[1]},1,null]',
    b'{"name":1e400}',
    b"NaN",
    b"-Infinity",
    b"tru",
    b"[" * (DEEP // 4) + b"]" * (DEEP // 4),
    b"[" * (DEEP // 8) + b"]" * (DEEP // 8),
    b'{"a":' * (DEEP // 8) + b"1" + b"}" * (DEEP // 8),
    b"[" * DEEP + b"]" * DEEP,
    b'{"f:a":' * DEEP + b"{}" + b"}" * DEEP,
)

# Elements that FieldsV1 has, almost has, and has not.
ELEMENTS: tuple[str, ...] = (
    *("", ".", "f:", "f:.", "f:metadata", "f:a/b", "f:\x00", "x:y", "f", ":"),
    *("k:", "k:{", "k:{}", "k:[]", "k:null", "k:1", 'k:"name"', 'k:{"name":"web"}', 'k:{"name":{"a":[1]}}', 'k:{"name":1e400}'),
    *('k:{"containerPort":80,"protocol":"TCP"}', 'k:{"b":1,"a":2}', 'k:{"a":1,"a":2}', 'k:{"name":"\\ud800"}', 'k:{"":null}'),
    *("v:", "v:{", "v:null", "v:1", "v:1.0", 'v:"a"', "v:[1,{}]", 'v:{"a":1}', "v:1e400", 'v:"\\u003c"'),
    *("i:", "i:0", "i:-1", "i:x", "i:1e3", "i:99999999999999999999"),
)


# What stands for a subtree, a list item or a value, and rarely is one.
ODD: tuple[Json, ...] = ({}, {}, {".": {}}, None, 1, "x", [], [{}], True)


def encode(value: Json) -> bytes:
    """As JSON, with junk as it stands."""
    return codec.encode(value)


def places(value: Json) -> Iterator[Place]:
    """Every place in a document, from the top."""
    found = cast("Container", value)
    for key, item in list(found.items() if is_object(found) else enumerate(found)):
        yield found, key
        if is_object(item) or is_array(item):
            yield from places(item)


def _put(place: Place, value: Json) -> None:
    container, key = place
    cast("dict[str | int, Json]", container)[key] = value


def _get(place: Place) -> Json:
    container, key = place
    return cast("dict[str | int, Json]", container)[key]


def _junk(draw: Random) -> msgspec.Raw:
    return msgspec.Raw(draw.choice(JUNK))


def _odd(draw: Random) -> Json:
    """A copy: what is put into a document may be changed there."""
    return _junk(draw) if draw.random() < 0.1 else copy.deepcopy(draw.choice(ODD))


def _replace(draw: Random, place: Place, _others: list[Place]) -> None:
    _put(place, _junk(draw))


def _remove(_draw: Random, place: Place, _others: list[Place]) -> None:
    container, key = place
    del cast("dict[str | int, Json]", container)[key]


def _rename(draw: Random, place: Place, others: list[Place]) -> None:
    container, key = place
    if is_object(container):
        names = [other for _, other in others if isinstance(other, str)]
        container[draw.choice([*names, *ELEMENTS])] = container.pop(cast("str", key))


def _swap(draw: Random, place: Place, others: list[Place]) -> None:
    """A value from elsewhere, shared and not copied: the document is encoded right after."""
    other = draw.choice(others)
    value = _get(other)
    if not _holds(value, place[0]):
        _put(place, value)


def _holds(value: Json, container: Container) -> bool:
    if value is container:
        return True
    if is_object(value):
        return any(_holds(item, container) for item in value.values())
    return is_array(value) and any(_holds(item, container) for item in value)


def _wrap(draw: Random, place: Place, _others: list[Place]) -> None:
    value = _get(place)
    _put(place, [value] if draw.random() < 0.5 else {"wrapped": value})


def _again(draw: Random, place: Place, _others: list[Place]) -> None:
    """A key twice in one object, or an item twice in one list."""
    value = _get(place)
    if is_array(value) and value:
        value.insert(draw.randrange(len(value) + 1), draw.choice(value))
    elif is_object(value) and value:
        name = draw.choice(list(value))
        twin = _junk(draw) if draw.random() < 0.5 else value[name]
        text = encode(value)
        _put(place, msgspec.Raw(text[:-1] + b"," + encode({name: twin})[1:]))


def _shuffle(draw: Random, place: Place, _others: list[Place]) -> None:
    value = _get(place)
    if is_array(value):
        draw.shuffle(value)
    elif is_object(value):
        names = list(value)
        draw.shuffle(names)
        _put(place, {name: value[name] for name in names})


def _twist(draw: Random, place: Place, _others: list[Place]) -> None:
    """A value that is nearly the same."""
    value = _get(place)
    if isinstance(value, bool):
        _put(place, not value)
    elif isinstance(value, int):
        _put(place, draw.choice([value + 1, -value, float(value), str(value), value * 2**64]))
    elif isinstance(value, str):
        _put(place, draw.choice([value + "x", value[1:], value.upper(), value + " ", "", [value], f'{value}"']))
    elif is_object(value):
        value[draw.choice(ELEMENTS)] = _odd(draw)
    elif is_array(value):
        value.append(_odd(draw))


_MUTATIONS: tuple[Callable[[Random, Place, list[Place]], None], ...] = (
    _replace,
    _remove,
    _rename,
    _swap,
    _wrap,
    _again,
    _shuffle,
    _twist,
    _twist,
)


def spoil(draw: Random, document: Json, *, within: Json = None) -> None:
    """Mutate a decoded document in place, a few times; only in what lies below `within` where that is given."""
    for _ in range(draw.randint(1, MOST_MUTATIONS)):
        found = [place for place in places(within or document) if is_object(place[0]) or is_array(place[0])]
        if not found:
            return
        draw.choice(_MUTATIONS)(draw, draw.choice(found), found)


def spoil_bytes(draw: Random, data: bytes, *, other: bytes) -> bytes:
    """Bytes flipped, cut, doubled, put in, or taken from another review."""
    spoiled = bytearray(data)
    for _ in range(draw.randint(1, MOST_MUTATIONS)):
        at = draw.randrange(len(spoiled) + 1)
        until = min(len(spoiled), at + draw.choice([1, 1, 2, 8, 64]))
        match draw.randrange(6):
            case 0:
                spoiled[at:until] = draw.randbytes(until - at)
            case 1:
                del spoiled[at:until]
            case 2:
                spoiled[at:at] = spoiled[at:until]
            case 3:
                spoiled[at:at] = draw.choice(JUNK[:26])
            case 4:
                start = draw.randrange(len(other))
                spoiled[at:until] = other[start : start + draw.choice([4, 32, 256])]
            case _:
                if draw.random() < 0.1:
                    del spoiled[at:]
                elif at < len(spoiled):
                    spoiled[at] = draw.choice(b'{}[]",:\\0-e.tfn \x00\xff')
    return bytes(spoiled)
