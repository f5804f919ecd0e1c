"""A folder of manifests as the desired state that it would be if Git held it, or what keeps it from being one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from guard.base.codec import child
from guard.base.errors import RenderError
from guard.inspect.folder import FolderTree
from guard.inspect.kinds import OfflineKinds, define
from guard.render import scratch
from guard.render.decrypt import Decryption
from guard.render.detect import Form
from guard.render.helm import Helm
from guard.render.keys import Keys
from guard.render.kustomize import Kustomize
from guard.render.manifests import Fault, FaultsError
from guard.render.parse import Parser
from guard.render.render import Renderer
from guard.render.texts import Texts
from guard.render.tool import Tool
from guard.state import fields
from guard.state.desired import Declared, DesiredState, View
from guard.state.ids import Kind, Manifest, ObjectKey
from guard.sync.plan import compare, resolve

# Nobody knows which Sync will follow the folder; its label is taken from what is checked, as far as that has one.
SYNC = "guard-system/check"
LABEL = "guard-system.check"
RELEASE = "check"


class Loaded(msgspec.Struct, frozen=True):
    """`desired` is None where there are faults."""

    desired: Desired | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


async def load(directory: Path, *, known: Iterable[Kind] = (), keys: Keys | None = None) -> Loaded:
    """Read a folder with Guard's own renderer. `known` are kinds that need not be guessed, `keys` open what SOPS has encrypted.
    Raises ConfigError where files cannot be read.
    """
    tree, texts, parser = FolderTree(directory), Texts(), Parser()
    if keys:
        await asyncio.to_thread(scratch.sweep_abandoned)
    try:
        with TemporaryDirectory() as folder:
            make = partial(_tool, folder=tree.folder, directory=Path(folder))
            opened = Decryption(keys, directory=Path(folder), turns=parser.openings) if keys else None
            groups = await Renderer(parser, texts=texts).render(tree, tree.folder, tool=make, decryption=opened)
    except RenderError as error:
        return Loaded(None, faults=tuple(_fault(fault, tree) for fault in _all_of(error)))
    finally:
        await parser.close()
    manifests = tuple(_shown(manifest, tree) for found in groups.values() for manifest in found)
    kinds = OfflineKinds(manifests, known=known)
    desired = Desired(tree, texts, manifests, kinds)
    try:
        empty = not len(desired.view(LABEL).state)
    except RenderError as error:
        return Loaded(None, faults=tuple(desired.faults()) or _all_of(error), warnings=kinds.warnings)
    return Loaded(desired, warnings=(*kinds.warnings, f"{directory.as_posix()} holds no manifests") if empty else kinds.warnings)


class Desired:
    """The folder as an index, with the label of whichever Sync is asked about."""

    def __init__(self, tree: FolderTree, texts: Texts, manifests: Sequence[Manifest], kinds: OfflineKinds) -> None:
        self._tree = tree
        self._texts = texts
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
        # Each by itself, so that they stay in order.
        groups = {str(number): (manifest,) for number, manifest in enumerate(manifests)}
        found = resolve(compare(groups), find=self._kinds.find, sync=SYNC, label=label, define=define)
        return tuple(found.objects.values())

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
        origin = msgspec.structs.replace(declared.origin, file=declared.origin.file.removeprefix(self._tree.shown("")))
        return self._texts.lines(origin, paths, revision=self._tree.revision)


async def _tool(form: Form, *, folder: str, directory: Path) -> Tool | None:
    """As a Sync without a word about its renderer has it. There is no cluster to tell charts about."""
    match form:
        case "YAML":
            return None
        case "Kustomize":
            return Kustomize(folder=folder, directory=directory)
        case "Helm":
            return Helm(folder=folder, directory=directory, release=RELEASE)


def _all_of(error: RenderError) -> tuple[Fault, ...]:
    return error.faults if isinstance(error, FaultsError) else (Fault(where=error.where, message=error.message, hint=error.hint),)


def _fault(fault: Fault, tree: FolderTree) -> Fault:
    return msgspec.structs.replace(fault, where=tree.shown(fault.where)) if fault.where else fault


def _shown(manifest: Manifest, tree: FolderTree) -> Manifest:
    origin = msgspec.structs.replace(manifest.origin, file=tree.shown(manifest.origin.file))
    return msgspec.structs.replace(manifest, origin=origin)
