"""Paths as people write them: `spec.template.spec.containers[name=web].image`, `metadata.labels[example.com/team]`.

A plain name follows a dot, any other stands in brackets. A list item goes by its keys, `[containerPort=80,protocol=TCP]`, by its
place, `[0]`, or, in a set, by its value: `[one]`, with an equals sign where the bare word could mean something else:
`[=example.com/hook]`, `[=80]`. Text is quoted as JSON does where it would not stand for itself: `[name="a,b"]`, `[name="80"]`;
without quotes 80, true and null are no text. What is not printable is quoted and escaped, so that a path can be shown as it is.
"""

from __future__ import annotations

import re

import msgspec

from guard.base import codec
from guard.base.codec import Json
from guard.base.naming import printable_json
from guard.state.elements import item_keys, item_value, key_element, spelled, value_element

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$-]+")
_BARE = re.compile(r"""[^\s\[\]{}",=][^\[\]{}",=\x00-\x1f\x7f]*(?<!\s)""")
_INDEX = re.compile(r"-?[0-9]{1,18}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def written(path: tuple[str, ...]) -> str:
    text = ""
    for element in path:
        if element.startswith("f:"):
            name = element[2:]
            if _PLAIN_NAME.fullmatch(name):
                text += f".{name}" if text else name
            else:
                text += f"[{_text(name)}]"
        else:
            text += f"[{label(element)}]"
    return text


def label(element: str) -> str:
    """What stands in the brackets for one item of a list: `name=web`, `one`, `0`."""
    if element.startswith("k:"):
        return ",".join(f"{_text(name)}={_value(value)}" for name, value in item_keys(element))
    if element.startswith("v:"):
        value = item_value(element)
        return value if isinstance(value, str) and _is_member(value) else f"={_value(value)}"
    return element.removeprefix("i:")


def _is_member(word: str) -> bool:
    """A bare word in brackets is a member of a set if as a field's name it would have followed a dot."""
    return _PLAIN_NAME.fullmatch(word) is not None and _text(word) == word


def _value(value: Json) -> str:
    return _text(value) if isinstance(value, str) else _json(value)


def _text(text: str) -> str:
    return text if text.isprintable() and _BARE.fullmatch(text) and _is_text(text) else _json(text)


def _json(value: Json) -> str:
    return printable_json(codec.encode(value).decode())


def _is_text(word: str) -> bool:
    """Whether a word without quotes is text: numbers, true, false and null are not."""
    try:
        return isinstance(msgspec.json.decode(word.encode()), str)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return True


def parse_written(text: str) -> tuple[str, ...]:
    """The path that `written` writes so. Raises ValueError that says what is wrong and where."""
    if not text:
        raise ValueError("the path is empty; write it like spec.replicas")
    path: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            element, at = _bracket(text, at + 1)
            path.append(element)
            continue
        if path:
            if text[at] != ".":
                raise _wrong(text, at, "a dot or a bracket belongs here")
            at += 1
        name = _PLAIN_NAME.match(text, at)
        if name is None:
            raise _wrong(
                text, at, "a name belongs here; one with signs other than letters, digits, -, _ and $ stands in brackets"
            )
        path.append(f"f:{name[0]}")
        at = name.end()
    return tuple(path)


def _bracket(text: str, at: int) -> tuple[str, int]:
    """The element that begins after a bracket, and the place after the closing one."""
    if text.startswith("]", at):
        return "k:{}", at + 1
    if text.startswith("=", at):
        value, at = _read(text, at + 1)
        return value_element(value), _closed(text, at)
    begin = at
    word, at = _read(text, at)
    if text.startswith("=", at):
        return _keys(text, begin)
    end = _closed(text, at)
    if _INDEX.fullmatch(text, begin, at):
        element = spelled(f"i:{text[begin:at]}")
        if element is None:
            raise _wrong(text, begin, "this is no place in a list")
        return element, end
    if not isinstance(word, str):
        raise _wrong(text, begin, f"write [={text[begin:at]}] for a member of a set")
    return (value_element(word) if _is_member(word) and text[begin] != '"' else f"f:{word}"), end


def _keys(text: str, at: int) -> tuple[str, int]:
    keys: dict[str, Json] = {}
    while True:
        begin = at
        name, at = _read(text, at)
        if not isinstance(name, str) or not text.startswith("=", at):
            raise _wrong(text, begin, "a key and its value belong here, like name=web")
        if name in keys:
            raise _wrong(text, begin, f"{name} stands twice")
        keys[name], at = _read(text, at + 1)
        if not text.startswith(",", at):
            return key_element(keys, sorted(keys)), _closed(text, at)
        at += 1


def _read(text: str, at: int) -> tuple[Json, int]:
    """One value: text, quoted or bare, or JSON."""
    if text.startswith('"', at):
        end = found.end() if (found := _QUOTED.match(text, at)) else -1
    elif text.startswith(("{", "["), at):
        end = _nested(text, at)
    else:
        bare = _BARE.match(text, at)
        if bare is None:
            raise _wrong(text, at, "a value belongs here")
        word = bare[0]
        return (word if _is_text(word) else codec.decode(word.encode())), bare.end()
    try:
        return codec.decode(text[at:end].encode() if end > at else b""), end
    except (codec.DecodeError, UnicodeEncodeError) as error:
        raise _wrong(text, at, "this does not read as JSON") from error


def _nested(text: str, at: int) -> int:
    """The place after a JSON object or array; -1 where it does not end."""
    depth = 0
    while at < len(text):
        quoted = _QUOTED.match(text, at)
        if quoted:
            at = quoted.end()
            continue
        depth += (text[at] in "{[") - (text[at] in "}]")
        at += 1
        if depth == 0:
            return at
    return -1


def _closed(text: str, at: int) -> int:
    if not text.startswith("]", at):
        raise _wrong(text, at, "a closing bracket belongs here")
    return at + 1


def _wrong(text: str, at: int, why: str) -> ValueError:
    place = f"at {text[at : at + 20]!r}" if at < len(text) else "at its end"
    return ValueError(f"{text!r} is no path, {place}: {why}")
