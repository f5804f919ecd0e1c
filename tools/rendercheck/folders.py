"""Which folders of a repository can be rendered, and by what."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from guard.render.detect import CHART, Form
from guard.render.kustomization import FILE_NAMES
from guard.render.plain import SUFFIXES

# As chart-testing has it: each file holds values of one test of the chart.
_CI_VALUES = re.compile(r"ci/[^/]*values\.ya?ml")


class Folder(Struct, frozen=True):
    """A path from the root, which itself is empty, what renders it, and the values files that it is given. `said` where it is for
    more than one tool, so that a Sync has to say which.
    """

    path: str
    form: Form
    values: tuple[str, ...] = ()
    said: bool = False

    def __str__(self) -> str:
        return f"{self.form} {self.path or '.'}" + "".join(f" with {file}" for file in self.values)


def find(paths: Iterable[str], *, ci: bool = False) -> list[Folder]:
    """All that there are among the files of a commit; a plain folder has nothing of a tool at or above it."""
    files = sorted(path for path in paths if not _hidden(path))
    kustomizations = {posixpath.dirname(path) for path in files if posixpath.basename(path) in FILE_NAMES}
    charts = {posixpath.dirname(path) for path in files if posixpath.basename(path) == CHART}
    plain = {posixpath.dirname(path) for path in files if path.endswith(SUFFIXES)}
    both = kustomizations & charts
    found = [Folder(path=path, form="Kustomize", said=path in both) for path in kustomizations]
    found += [Folder(path=path, form="Helm", said=path in both) for path in charts]
    if ci:
        found += [chart for path in charts for chart in _with_ci_values(path, files, said=path in both)]
    found += [Folder(path=path, form="YAML") for path in plain if (kustomizations | charts).isdisjoint(_upwards(path))]
    return sorted(found, key=lambda each: (each.path, each.form, each.values))


def _with_ci_values(chart: str, files: Iterable[str], *, said: bool) -> Iterator[Folder]:
    inside = f"{chart}/" if chart else ""
    for path in files:
        if path.startswith(inside) and _CI_VALUES.fullmatch(path[len(inside) :]):
            yield Folder(path=chart, form="Helm", values=(path,), said=said)


def _hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def _upwards(folder: str) -> Iterator[str]:
    yield folder
    while folder:
        folder = posixpath.dirname(folder)
        yield folder
