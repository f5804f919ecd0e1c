# pyright: reportMissingTypeStubs=false
"""Ranges of versions as npm has them, and tags that are versions: `>=1.2.0 <2.0.0`, `^1.2`, `~1.2.3`, `1.x`, `1.2 - 1.4`,
`^1.2 || ^2`. https://docs.npmjs.com/cli/using-npm/semver says what each means.

The library's own ranges take prereleases that nobody asked for (`<2.0.0` has 2.0.0-rc.1), so only its versions serve here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from semantic_version import Version

from guard.base.errors import ConfigError

_Comparator: TypeAlias = tuple[Callable[[Version, Version], bool], Version]

_NUMBER = r"0|[1-9][0-9]{0,9}|[xX*]"
_PARTIAL = re.compile(
    rf"(?P<sign>[<>]=?|[=^~]?)v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER})(?:\.(?P<patch>{_NUMBER})"
    r"(?:-(?P<prerelease>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?)?)?"
)
_WHOLE = 3


def check_range(text: str) -> None:
    """Raise ConfigError for what is not a range of versions."""
    _range(text)


def newest(tags: Iterable[str], text: str) -> str:
    """Of the tags that are versions, with `v` in front or not, the newest one in the range; empty if there is none.

    Where two differ in build metadata only, which has no order, the one whose name sorts last. Raises ConfigError.
    """
    wanted = _range(text)
    versions = {tag: version for tag in sorted(tags, reverse=True) if (version := _version(tag)) is not None}
    fitting = (tag for tag, version in versions.items() if any(_fits(version, group) for group in wanted))
    return max(fitting, key=versions.__getitem__, default="")


def is_version(tag: str, text: str) -> bool:
    """Whether the tag is a version in the range. Raises ConfigError."""
    return bool(newest((tag,), text))


def is_older(tag: str, other: str, *, text: str) -> bool:
    """Whether `newest` would take the other one. Raises ConfigError."""
    return tag != other and newest((tag, other), text) != tag


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.removeprefix("v"))
    except ValueError:
        return None


def _fits(version: Version, group: tuple[_Comparator, ...]) -> bool:
    """A prerelease fits only where the range names one of the same version."""
    if version.prerelease and not any(
        bool(target.prerelease) and str(target.truncate()) == str(version.truncate()) for _, target in group
    ):
        return False
    return all(compare(version, target) for compare, target in group)


def _range(text: str) -> tuple[tuple[_Comparator, ...], ...]:
    """Any of these, and of it all."""
    # As other tools of this kind take it: commas for `and`, and spaces behind signs.
    plain = re.sub(r"([<>=~^])[ \t]+", r"\1", text.replace(",", " "))
    try:
        return tuple(tuple(_group(group.split())) for group in plain.split("||"))
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a range of versions", hint="such as >=1.2.0 <2.0.0, ^1.2 or 1.x") from error


def _group(words: list[str]) -> list[_Comparator]:
    match words:
        case [low, "-", high]:
            return _comparators(f">={low}") + _comparators(f"<={high}")
        case []:
            raise ValueError
        case _:
            return [comparator for word in words for comparator in _comparators(word)]


def _comparators(word: str) -> list[_Comparator]:
    """One word of a range. Raises ValueError."""
    found = _PARTIAL.fullmatch(word)
    if found is None:
        raise ValueError
    parts: list[int] = []
    for name in ("major", "minor", "patch"):
        if found[name] is None or found[name] in "xX*":
            break
        parts.append(int(found[name]))
    major, minor, patch = (*parts, 0, 0, 0)[:_WHOLE]
    named = f"{major}.{minor}.{patch}" + (f"-{found['prerelease']}" if found["prerelease"] else "")
    low, above = Version(named), (Version("0.0.0"), Version(f"{major + 1}.0.0"), Version(f"{major}.{minor + 1}.0"))
    if (not parts and found["sign"] in {"<", ">"}) or (found["prerelease"] and len(parts) < _WHOLE):
        raise ValueError
    return _bounds(found["sign"], low, parts, above=(*above, Version(f"{major}.{minor}.{patch + 1}")))


def _bounds(sign: str, low: Version, parts: list[int], *, above: tuple[Version, ...]) -> list[_Comparator]:
    """`above` has what comes after the last part of a version of none, one, two or three parts."""
    given = len(parts)
    if not given or sign == ">=":
        return [(operator.ge, low)]
    match sign:
        case "<":
            return [(operator.lt, low)]
        case ">":
            return [(operator.gt, low)] if given == _WHOLE else [(operator.ge, above[given])]
        case "<=":
            return [(operator.le, low)] if given == _WHOLE else [(operator.lt, above[given])]
        case "^":
            # The first part that is not zero stays as it is, or the last one.
            fixed = next((number for number, part in enumerate(parts, 1) if part), given)
        case "~":
            fixed = min(given, 2)
        case _:
            if given == _WHOLE:
                return [(operator.ge, low), (operator.le, low)]
            fixed = given
    return [(operator.ge, low), (operator.lt, above[fixed])]
