"""The encrypted files that a kustomization refers to, and in which places it may."""

from __future__ import annotations

from collections.abc import Iterable

from guard.base.errors import RenderError
from guard.render.bases import Bases
from guard.render.decrypt import Encrypted
from guard.render.encrypted import format_of
from guard.render.kustomization import Kustomization, Reference
from guard.render.quoting import in_one_line
from guard.render.scratch import batches
from guard.state.snapshot import Entry, File, Tree

# What becomes of such a file is an object, or part of one. Of a ConfigMap people do not expect a secret.
_DECRYPTED = frozenset(
    {
        "resources",
        "patches.path",
        "patchesStrategicMerge",
        "patchesJson6902.path",
        "secretGenerator.files",
        "secretGenerator.envs",
        "secretGenerator.env",
    }
)
_WHICH = "Guard decrypts what resources, patches and secretGenerator name"


async def encrypted_in(bases: Bases, tree: Tree) -> list[Encrypted]:
    """Raises RenderError, with file and line, where one is named that is not decrypted; SourceError."""
    places: dict[str, list[tuple[Kustomization, Reference]]] = {}
    entries: dict[str, Entry] = {}
    for kustomization, reference, entry in bases.files():
        places.setdefault(entry.path, []).append((kustomization, reference))
        entries[entry.path] = entry
    found: list[Encrypted] = []
    for batch in batches(entries.values()):
        contents = await tree.read(entry.blob for entry in batch)
        for entry in batch:
            data = contents[entry.blob]
            if (how := format_of(entry.path, data)) is not None:
                _check(places[entry.path])
                found.append(Encrypted(file=File(path=entry.path, blob=entry.blob, data=data), format=how))
    return found


def _check(places: Iterable[tuple[Kustomization, Reference]]) -> None:
    for kustomization, reference in places:
        if reference.field not in _DECRYPTED:
            told = f"{reference.field} names {in_one_line(reference.name)}, which is encrypted with SOPS"
            raise RenderError(told, where=kustomization.where(reference), hint=_WHICH)
