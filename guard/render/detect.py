"""Tells by what a folder holds which renderer it is for. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Literal, TypeAlias

from guard.base.errors import RenderError
from guard.render.kustomization import FILE_NAMES
from guard.state.snapshot import Entry

Form: TypeAlias = Literal["YAML", "Kustomize", "Helm"]

CHART = "Chart.yaml"
_CHOOSE = "set spec.renderer to Kustomize, Helm or YAML"


def decides(path: str, *, folder: str) -> bool:
    """Whether the file says what the folder is."""
    return posixpath.dirname(path) == folder and posixpath.basename(path) in {*FILE_NAMES, CHART}


def detect(entries: Iterable[Entry], folder: str) -> Form:
    """What renders a folder, by the files in itself. Raises RenderError where they speak for more than one thing."""
    names = {posixpath.basename(entry.path) for entry in entries if posixpath.dirname(entry.path) == folder}
    kustomizations = [name for name in FILE_NAMES if name in names]
    if kustomizations and CHART in names:
        raise RenderError(f"the folder holds both {kustomizations[0]} and {CHART}", where=folder or ".", hint=_CHOOSE)
    if len(kustomizations) > 1:
        raise RenderError(f"the folder holds {' and '.join(kustomizations)}", where=folder or ".", hint="keep one of them")
    if kustomizations:
        return "Kustomize"
    return "Helm" if CHART in names else "YAML"


def check_plain(paths: Iterable[str]) -> None:
    """Raises RenderError for the first file that only Kustomize or Helm can read, and that is no manifest."""
    for path in paths:
        name = posixpath.basename(path)
        if name in FILE_NAMES or name == CHART:
            tool = "Helm" if name == CHART else "Kustomize"
            raise RenderError(
                f"is {tool}'s, and no manifest",
                where=path,
                hint="make its folder the path of a Sync of its own, or name it in .guardignore",
            )
