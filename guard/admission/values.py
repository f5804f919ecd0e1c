"""How values, names and paths are shown to people: short, on one line, and with nothing in them that a terminal would obey."""

from __future__ import annotations

from guard.base import codec
from guard.base.codec import Json
from guard.base.naming import printable
from guard.state import fields
from guard.state.equality import MISSING
from guard.state.fields import Path

LONGEST_VALUE = 80  # characters; a value that is longer is cut, since the line in Git shows it whole
LONGEST_PATH = 1024  # a path in the schema of a CustomResourceDefinition comes to some hundreds

HIDDEN = "(not shown)"  # stands for a value that is shown to nobody

_BEFORE = 20  # characters shown before the first difference of two long values
_ELLIPSIS = "..."


def cut(text: str, most: int) -> str:
    """At most `most` characters of the text, its end missing."""
    return text if len(text) <= most else text[: most - len(_ELLIPSIS)] + _ELLIPSIS


def cut_middle(text: str, most: int) -> str:
    """At most `most` characters of the text; both ends of a path or a name tell more than its middle."""
    if len(text) <= most:
        return text
    tail = (most - len(_ELLIPSIS)) * 2 // 3
    return text[: most - len(_ELLIPSIS) - tail] + _ELLIPSIS + text[len(text) - tail :]


def shown_path(path: Path) -> str:
    # Escaping goes letter by letter, and a name may be megabytes long: cut first.
    return cut_middle(printable(cut_middle(fields.written(path), LONGEST_PATH)), LONGEST_PATH)


def hidden(value: Json) -> str:
    """What stands for a value that is shown to nobody; empty for MISSING."""
    return "" if value is MISSING else HIDDEN


def shown_value(value: Json) -> str:
    """One value by itself, at most LONGEST_VALUE characters; empty for MISSING."""
    return cut(printable(_text(value)[: LONGEST_VALUE + 1]), LONGEST_VALUE)


def shown_pair(git: Json, asked: Json) -> tuple[str, str]:
    """Git's value and the one asked for, each at most LONGEST_VALUE characters; empty for what is MISSING.

    Of long values, and of texts of several lines, the part is shown in which they first differ. Values that read alike but are of
    two types are written as JSON: `1` and `"1"`.
    """
    texts = [_text(value) for value in (git, asked)]
    if texts[0] == texts[1] and git is not MISSING and asked is not MISSING:
        texts = [_json(value) for value in (git, asked)]
    start = _start(texts[0], texts[1]) if git is not MISSING and asked is not MISSING else 0
    lead = _ELLIPSIS if start else ""
    # Escaped text is longer, never shorter: what is cut off before need not be escaped.
    first, second = (cut(lead + printable(text[start : start + LONGEST_VALUE + 1]), LONGEST_VALUE) for text in texts)
    return first, second


def _text(value: Json) -> str:
    if value is MISSING:
        return ""
    if not isinstance(value, str):
        return _json(value)
    # Quotes where a short text could not be seen without them.
    hidden = not value or (value != value.strip(" ") and len(value) < LONGEST_VALUE and "\n" not in value)
    return _json(value) if hidden else value


def _json(value: Json) -> str:
    try:
        return codec.encode(value).decode()
    except (UnicodeEncodeError, RecursionError):
        return repr(value)


def _start(one: str, other: str) -> int:
    """Where to begin to show two texts: at the first line in which they differ, or a little before their first difference."""
    if max(len(one), len(other)) <= LONGEST_VALUE and "\n" not in one + other:
        return 0
    parting = _parting(one, other)
    start = one.rfind("\n", 0, parting) + 1
    while start < parting and one[start] == " ":
        start += 1
    return start if parting - start <= _BEFORE * 2 else parting - _BEFORE


def _parting(one: str, other: str) -> int:
    """The length of what two texts begin with alike, by halving: values of megabytes take no loop over characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
