"""A folder of manifests as the desired state that it would be if Git held it, or what keeps it from being one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from guard.base.codec import child
from guard.base.errors import RenderError
from guard.inspect import folder
from guard.inspect.kinds import OfflineKinds, define
from guard.render import render
from guard.render.locate import lines_of
from guard.render.manifests import Fault
from guard.render.worker import answer
from guard.state import fields
from guard.state.desired import Declared, DesiredState, View
from guard.state.ids import Kind, Manifest, ObjectKey
from guard.state.snapshot import Snapshot
from guard.sync.plan import resolve

# Nobody knows which Sync will follow the folder; its label is taken from what is checked, as far as that has one.
SYNC = "guard-system/check"
LABEL = "guard-system.check"


class Loaded(msgspec.Struct, frozen=True):
    """`desired` is None where there are faults."""

    desired: Desired | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


async def load(directory: Path, *, known: Iterable[Kind] = ()) -> Loaded:
    """Read a folder with Guard's own renderer. `known` are kinds that need not be guessed. Raises ConfigError where files cannot
    be read.
    """
    try:
        snapshot = folder.read(directory)
    except RenderError as error:
        return Loaded(None, faults=(_fault(error),))
    try:
        manifests = await render(snapshot)
    except RenderError as error:
        return Loaded(None, faults=_unread(snapshot, error))
    kinds = OfflineKinds(manifests, known=known)
    desired = Desired(snapshot, manifests, kinds)
    try:
        empty = not len(desired.view(LABEL).state)
    except RenderError as error:
        return Loaded(None, faults=tuple(desired.faults()) or (_fault(error),), warnings=kinds.warnings)
    return Loaded(desired, warnings=(*kinds.warnings, f"{directory.as_posix()} holds no manifests") if empty else kinds.warnings)


class Desired:
    """The folder as an index, with the label of whichever Sync is asked about."""

    def __init__(self, snapshot: Snapshot, manifests: Sequence[Manifest], kinds: OfflineKinds) -> None:
        self._files = {file.path: file.data for file in snapshot.files}
        self._manifests = manifests
        self._kinds = kinds
        self._views: dict[str, View] = {}

    def kinds(self) -> tuple[Kind, ...]:
        """What the folder defines and declares, and what it takes the rest for."""
        return (*self._kinds.defined, *self.view(LABEL).state.kinds())

    def view(self, label: str) -> View:
        """Raises RenderError with the first few faults."""
        known = self._views.get(label)
        if known is None:
            known = self._views[label] = View()
            objects = self._resolved(self._manifests, label=label)
            known.replace(DesiredState().with_sync(SYNC, objects))
        return known

    def _resolved(self, manifests: Iterable[Manifest], *, label: str = LABEL) -> tuple[Declared, ...]:
        return resolve(manifests, find=self._kinds.find, sync=SYNC, label=label, revision="", define=define)

    def faults(self) -> Iterator[Fault]:
        """Each manifest's own fault, and doubles. Only the first few of them are in the error of `view`."""
        definitions: dict[tuple[str, str], Manifest] = {}
        for manifest in self._manifests:
            if manifest.body.get("kind") == "CustomResourceDefinition":
                spec = child(manifest.body, "spec")
                definitions[str(spec.get("group")), str(child(spec, "names").get("kind"))] = manifest
        seen: dict[ObjectKey, Manifest] = {}
        for manifest in self._manifests:
            body = manifest.body
            definition = definitions.get((str(body.get("apiVersion")).rpartition("/")[0], str(body.get("kind"))))
            beside = self._complaint([definition]) if definition else ""
            told = self._complaint([definition, manifest] if definition else [manifest]).removeprefix(beside)
            if told:
                yield Fault(where=str(manifest.origin), message=told.removeprefix("; ").removeprefix(f"{manifest.origin}: "))
            elif not beside:
                declared = self._resolved([definition, manifest] if definition else [manifest])[-1]
                twin = seen.setdefault(declared.key, manifest)
                if twin is not manifest:
                    yield Fault(
                        where=str(manifest.origin), message=f"{declared.key} is declared a second time, first at {twin.origin}"
                    )

    def _complaint(self, manifests: Sequence[Manifest]) -> str:
        try:
            self._resolved(manifests)
        except RenderError as error:
            return error.message
        return ""

    def lines(self, declared: Declared, paths: tuple[fields.Path, ...]) -> tuple[int, ...]:
        return lines_of(self._files[declared.origin.file], paths, line=declared.origin.line)


def _unread(snapshot: Snapshot, error: RenderError) -> tuple[Fault, ...]:
    """All that is wrong with files that cannot be read; the error has the first few. One without a line did not come from the
    parser, or the file was too much for it.
    """
    if error.where.rpartition(":")[2].isdigit():
        faults = tuple(fault for file in snapshot.files for fault in answer(file).faults)
        if faults:
            return faults
    return (_fault(error),)


def _fault(error: RenderError) -> Fault:
    return Fault(where=error.where, message=error.message, hint=error.hint)
