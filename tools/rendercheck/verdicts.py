"""What comes of holding one rendering against the other. Pure."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from msgspec import Struct

from tools.rendercheck.folders import Folder

Verdict: TypeAlias = Literal["same", "both fail", "refused", "differs", "Guard fails", "only Guard"]
VERDICTS: tuple[Verdict, ...] = ("same", "both fail", "refused", "differs", "Guard fails", "only Guard")
FAULTS: frozenset[Verdict] = frozenset({"differs", "Guard fails", "only Guard"})

# What Guard refuses on purpose, by the words that it has for it, whether a tool would take it or not.
_MEANT = {
    r"which is elsewhere": "a remote base",
    r"Guard does not run Helm from within Kustomize": "helmCharts in a kustomization",
    r"would have to be run as a program|wants something from the network": "a plugin that is a program, or the network",
    r"symbolic link": "a symbolic link",
    r"submodule": "a submodule",
    r"Git LFS": "Git LFS",
    r"stands twice|stands there twice": "a key that stands twice",
    r"is (?:Kustomize|Helm)'s, and no manifest": "a plain folder with a kustomization or a chart below it",
    r"the folder holds .* and ": "two kustomizations in one folder",
    r"generateName": "metadata.generateName",
    r"larger than|more than .* MiB|longer than": "too large, or too slow",
    r"kubectl would leave out what stands here": "documents that kubectl leaves out in silence",
    r"metadata is null|the object has no (?:apiVersion and no )?(?:metadata\.name|apiVersion) \(": "no name or no apiVersion",
}
_PLACE = re.compile(r"^\S+: ")
_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"|\b[\w.-]+/[\w./:-]+|\b\d+\b| at [$.]\S+")


class Outcome(Struct, frozen=True, kw_only=True):
    """`why` is short, for counting; `told` is all that is known. Times are in seconds."""

    folder: Folder
    verdict: Verdict
    why: str = ""
    told: str = ""
    objects: int = 0
    guard_seconds: float = 0
    alone_seconds: float = 0


def judged(*, guard: str, alone: str, difference: str) -> tuple[Verdict, str, str]:
    """The verdict, why it is so, and what is known, by the complaints of both, and how the objects differ if there are none."""
    told = f"Guard: {guard or 'renders it'} | alone: {_ending(alone) or 'renders it'}"
    if guard and (meant := _meant(guard)):
        return "refused", meant, told
    if guard and alone:
        return "both fail", _reason(guard), told
    if guard:
        return "Guard fails", _reason(guard), told
    if alone:
        return "only Guard", _reason(_ending(alone)), told
    return ("differs", "objects", difference) if difference else ("same", "", "")


def _meant(complaint: str) -> str:
    return next((name for pattern, name in _MEANT.items() if re.search(pattern, complaint)), "")


def _reason(complaint: str) -> str:
    """A complaint without its place and without what only this folder has, so that it can be counted."""
    words = _PLACE.sub("", complaint).partition(" (")[0].partition(": ")[0]
    return _NAMES.sub("*", words)[:100]


def _ending(complaint: str) -> str:
    """The end of a long complaint, where the cause is said."""
    text = " ".join(complaint.split())
    return text if len(text) <= 400 else f"{text[:100]} ... {text[-300:]}"  # noqa: PLR2004 (what a line can show)
