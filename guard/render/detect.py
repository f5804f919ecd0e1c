"""What a folder is, by the files in it: plain manifests, a kustomization or a chart. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from guard.base.errors import RenderError
from guard.state.snapshot import Entry

Form: TypeAlias = Literal["YAML", "Kustomize", "Helm"]

_FORMS: dict[str, Form] = {
    "kustomization.yaml": "Kustomize",
    "kustomization.yml": "Kustomize",
    "Kustomization": "Kustomize",
    "Chart.yaml": "Helm",
}


def decides(path: str, *, folder: str) -> bool:
    """Whether the file says what the folder is."""
    above, _, name = path.rpartition("/")
    return above == folder and name in _FORMS


def detect(entries: Iterable[Entry], folder: str) -> Form:
    """Raises RenderError where there are files of both, or two of Kustomize's."""
    names = [entry.path.rpartition("/")[2] for entry in entries if decides(entry.path, folder=folder)]
    forms: set[Form] = {_FORMS[name] for name in names}
    if len(forms) > 1:
        told = "holds both a kustomization and a chart"
        raise RenderError(told, where=folder or ".", hint="say in spec.renderer of the Sync what it is")
    if len(names) > 1:
        raise RenderError(f"holds {' and '.join(names)}", where=folder or ".", hint="Kustomize takes one of them")
    return forms.pop() if forms else "YAML"
