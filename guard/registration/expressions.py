"""The CEL that the webhook configuration and the policies share: who asks, of what, and lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from guard.base.codec import JsonObject
from guard.state.requesters import CONTROL_PLANE_PREFIXES, CONTROL_PLANE_USERS

# An expression holds 100,000 code points; names are ASCII, and the rest of the expression is short.
EXPRESSION_CHARACTERS = 90_000

RESOURCE = "request.resource.group + '/' + request.resource.resource"
BELOW = "request.subResource"
USER, GROUPS = "request.userInfo.username", "request.userInfo.groups"


def quoted(value: str) -> str:
    """A CEL string. Names and users hold no quotes in practice; a quote or backslash is escaped all the same."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_control_plane(more: Iterable[str] = ()) -> str:
    """Who is asked for by `requesters.classify`; `more` are the users that the installer adds."""
    users = f"{USER} in {any_of([*CONTROL_PLANE_USERS, *sorted(more)])}"
    return " || ".join([users, *(f"{USER}.startsWith({quoted(prefix)})" for prefix in CONTROL_PLANE_PREFIXES)])


def condition(name: str, expression: str) -> JsonObject:
    return {"name": name, "expression": expression}


def any_of(values: Iterable[str]) -> str:
    """A list of strings."""
    return f"[{', '.join(map(quoted, values))}]"


def among(what: str, names: Iterable[str]) -> list[str]:
    """Expressions, one of which is true when `what` is among the names: as many as it takes to hold them all."""
    found: list[str] = []
    chunk: list[str] = []
    length = 0
    for name in sorted(names):
        chunk.append(name)
        length += size(name)
        if length > EXPRESSION_CHARACTERS:
            found.append(f"{what} in {any_of(chunk)}")
            chunk, length = [], 0
    return [*found, f"{what} in {any_of(chunk)}"] if chunk else found


def size(name: str) -> int:
    """What a name takes in a list of `among`."""
    return len(quoted(name)) + len(", ")


_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")


def names_in(expression: str) -> frozenset[str]:
    """The names in an expression that `among` made."""
    listed = expression.rpartition(" in [")[2]
    return frozenset(re.sub(r"\\(.)", r"\1", found) for found in _LITERAL.findall(listed))
