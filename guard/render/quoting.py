"""Takes out of tools' error texts what they quote of files: that may be the value of a Secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from guard.base.naming import printable, titled

_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^'\n]*'")
_LEFT_OPEN = re.compile(r"[`\"].*", re.DOTALL)
# Go's own notation of values, to which there is no certain end.
_DUMPED = re.compile(r"(?:map\[|\{\{|&\{|\[).*", re.DOTALL)
_WORD = re.compile(r"\w")
_ID = re.compile(r"(?P<kind>\w+)\.\S+/(?P<name>[\w.-]+?)\.(?P<namespace>\[noNs\]|[\w-]+)")

LEFT_OUT = "…"
MOST = 200  # characters


def without_quotes(text: str) -> str:
    """The text in one line and not too long, without all that stands in quotes but signs, as in `expected ':'`."""
    text = _QUOTED.sub(lambda found: LEFT_OUT if _WORD.search(found[0]) else found[0], text)
    return in_one_line(_DUMPED.sub(LEFT_OUT, _LEFT_OPEN.sub(LEFT_OUT, text)))


def without(text: str, values: Collection[str]) -> str:
    """The text in one line and not too long, without these values."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, LEFT_OUT)
    return in_one_line(text)


def in_one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= MOST else line[: MOST - 1] + LEFT_OUT


def readable(identifier: str) -> str:
    """`ConfigMap.v1.[noGrp]/web.[noNs]`, as kustomize names objects, in the way that Guard does."""
    found = _ID.fullmatch(identifier)
    if found is None:
        return identifier
    namespace = "" if found["namespace"] == "[noNs]" else found["namespace"]
    return titled(kind=found["kind"], namespace=namespace, name=found["name"])
