"""Helm through its own binary, on a copy of a chart and of values files and of nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from guard.base import codec
from guard.base.codec import Json, JsonObject, leaves
from guard.base.concurrency import in_thread
from guard.base.errors import RenderError
from guard.render import process, scratch, tool
from guard.render.encrypted import format_of
from guard.render.helm_failures import failure
from guard.render.process import Limits
from guard.render.tool import Output, placed, sourced
from guard.render.yaml import documents as values_in
from guard.state.capabilities import Capabilities
from guard.state.ids import Manifest
from guard.state.snapshot import Entry, Tree

_NAME = "helm"
LONGEST_RELEASE = 53  # helm's own limit
_CHART = "Chart.yaml"
# What the chart and the values files are called in the scratch folder: a name of the repository may hold a comma, which would
# part one argument in two.
_CHART_FOLDER = "chart"
_VALUES_FOLDER = "values"

_TAKEN = re.compile(r"(?:^|/)(?:values\.yaml|templates/.*)\Z")
_OTHERWISE = "put the Secret beside the chart, in a Sync of plain manifests, and have the chart refer to it by its name"

# Shorter texts, and words of texts, stand for too much that is none of the values.
_SHORTEST_VALUE = 4
_SHORTEST_WORD = 6
# Ten times the values of a large chart.
_MOST_VALUES = 1024 * 1024
_BETWEEN_WORDS = re.compile(r"[\s=:,;\"'@/]+")


class Helm(Struct, frozen=True, kw_only=True):
    """`helm template` of a chart in the folder (from the source's root). `directory` is where scratch folders may be made.

    Values files are paths from the source's root; `values` win over them. Without `capabilities` charts are told Helm's own.
    Hooks are given out as any object, tests are not, definitions in `crds/` are. There is no cluster to look up, no network, no
    plugin and no post-renderer.
    """

    folder: str
    directory: Path
    release: str
    namespace: str = "default"
    values_files: tuple[str, ...] = ()
    values: JsonObject = {}
    capabilities: Capabilities | None = None
    limits: Limits = Limits()

    @property
    def via(self) -> str:
        return f"Helm {self.folder or '.'}"

    async def key(self, tree: Tree) -> str:
        """A `guard.render.tool.Tool`'s."""
        if len(self.release) > LONGEST_RELEASE:
            told = f"a release is named by {LONGEST_RELEASE} characters at most, and {self.release!r} has {len(self.release)}"
            raise RenderError(told, where=self.folder or ".", hint="set spec.helm.releaseName of the Sync")
        entries = await self._values_entries(tree)
        values = [entry.blob for entry in entries]
        told = codec.encode([self.folder, self.release, self.namespace, values, self.values, self.capabilities])
        binary = process.find(_NAME)
        parts = (_NAME.encode(), binary.identity.encode(), (await tree.id(self.folder)).encode(), told)
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    async def build(self, tree: Tree) -> Output:
        """A `guard.render.tool.Tool`'s."""
        chart = await self._chart(tree)
        files = await self._values_entries(tree)
        binary = process.find(_NAME)
        moved = {f"{_CHART_FOLDER}/{_inside(entry.path, self.folder)}": entry for entry in chart}
        moved |= {f"{_VALUES_FOLDER}/{index}.yaml": entry for index, entry in enumerate(files)}
        async with scratch.scratch(self.directory) as made:
            to_write = [msgspec.structs.replace(entry, path=path) for path, entry in moved.items()]
            for pointer in await scratch.write(tree, to_write, made.files):
                raise RenderError(scratch.POINTER, where=moved[pointer].path)
            await asyncio.to_thread(_refuse_encrypted, made.files, moved)
            given = await in_thread(self._written_values, made.files, len(files))
            top = posixpath.join(self.folder, _CHART)
            done = await process.run(
                binary, self._arguments(given), folder=made.files, scratch=made, limits=self.limits, where=top
            )
            known = {entry.path for entry in chart}
            if done.status:
                # Looking for values in what was said takes long enough to be in the way of reviews.
                raise await asyncio.to_thread(
                    lambda: failure(
                        done.told,
                        root=made.files,
                        names={path: entry.path for path, entry in moved.items()},
                        place=lambda name: self._file(name, known),
                        values=_leaves(made.files, self.values),
                        hint=f"`helm template {self.release} {self.folder or '.'}` in the repository says more",
                    )
                )
            return Output(data=await asyncio.to_thread(self._sourced, done.output, known))

    def place(self, text: bytes, manifest: Manifest) -> Manifest:
        """A `guard.render.tool.Tool`'s."""
        return placed(text, manifest, via=self.via)

    async def _chart(self, tree: Tree) -> tuple[Entry, ...]:
        entries = await tree.entries(self.folder)
        if not any(entry.path == posixpath.join(self.folder, _CHART) for entry in entries):
            raise RenderError(f"the folder holds no {_CHART}", where=self.folder or ".")
        for entry, why in scratch.unfit(entries):
            raise RenderError(why, where=entry.path)
        return entries

    async def _values_entries(self, tree: Tree) -> list[Entry]:
        """The values files, each fit to be read."""
        listings: dict[str, dict[str, Entry]] = {}
        found: list[Entry] = []
        for name in self.values_files:
            path = posixpath.normpath(name)
            if path.startswith(("/", "../")) or path in {".", ".."}:
                raise RenderError(f"the values file {name} is not in the repository", hint="give its path from the root")
            folder = posixpath.dirname(path)
            if folder not in listings:
                try:
                    await tree.id(folder)
                except RenderError as error:
                    raise _missing(path) from error
                listings[folder] = {entry.path: entry for entry in await tree.entries(folder)}
            if path not in listings[folder]:
                raise _missing(path)
            found.append(listings[folder][path])
        for entry, why in scratch.unfit(found):
            raise RenderError(why, where=entry.path)
        return found

    def _written_values(self, files: Path, count: int) -> list[str]:
        """The paths of all values files, the inline ones' last."""
        given = [f"{_VALUES_FOLDER}/{index}.yaml" for index in range(count)]
        if self.values:
            folder = files / _VALUES_FOLDER
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "inline.json").write_bytes(codec.encode(self.values))
            given.append(f"{_VALUES_FOLDER}/inline.json")
        return given

    def _arguments(self, values: list[str]) -> list[str]:
        capabilities = self.capabilities
        told = [f"--kube-version={capabilities.version}"] if capabilities and capabilities.version else []
        apis = capabilities.apis if capabilities else ()
        return [
            "template",
            f"--namespace={self.namespace}",
            "--include-crds",
            "--skip-tests",
            *(f"--values={path}" for path in values),
            *told,
            *(f"--api-versions={api}" for api in apis),
            "--",
            self.release,
            _CHART_FOLDER,
        ]

    def _sourced(self, output: bytes, known: Collection[str]) -> bytes:
        return b"".join(sourced(document, path=self._file(name, known)) for name, document in _named(output))

    def _file(self, name: str, known: Collection[str]) -> str:
        """The file of the repository for what Helm calls `web/charts/redis/templates/pod.yaml`: the file itself, the archive that
        it lies in, or what at least says which chart it is.
        """
        inside = name.partition("/")[2]
        path = posixpath.join(self.folder, inside)
        if path in known:
            return path
        # A chart's name need not be its folder's; its archive's begins with it.
        base, _, rest = inside.rpartition("charts/")
        chart, _, template = rest.partition("/")
        charts = posixpath.join(self.folder, base, "charts") if rest != inside else ""
        archive = re.compile(rf"{re.escape(f'{charts}/{chart}')}(?:-v?\d[^/]*)?\.tgz")
        archives = [path for path in known if charts and archive.fullmatch(path)]
        if len(archives) == 1:
            return archives[0]
        folders = [path for path in known if charts and path.startswith(f"{charts}/") and path.endswith(f"/{template}")]
        return folders[0] if len(folders) == 1 else posixpath.join(self.folder, _CHART)


def _refuse_encrypted(files: Path, entries: Mapping[str, Entry]) -> None:
    """Raises RenderError for values and templates of which a cipher would be taken for a value."""
    for name, entry in entries.items():
        counts = name.startswith(f"{_VALUES_FOLDER}/") or _TAKEN.search(name) is not None
        if counts and format_of(name, (files / name).read_bytes()) is not None:
            raise RenderError("is encrypted with SOPS, which Guard does not decrypt for Helm", where=entry.path, hint=_OTHERWISE)


def _inside(path: str, folder: str) -> str:
    return path[len(folder) + 1 :] if folder else path


def _missing(path: str) -> RenderError:
    return RenderError(f"the values file {path} is not in the repository", hint="spec.helm.valuesFiles are paths from its root")


def _named(output: bytes) -> Iterator[tuple[str, bytes]]:
    """Each document with the name that Helm gives its template. A file with definitions has it at its beginning only, which may
    be a document of comments.
    """
    name = ""
    for piece in tool.pieces(output):
        found = tool.source_of(piece)
        name, document = found or (name, piece)
        if tool.holds_something(document):
            yield name, document


def _leaves(files: Path, inline: JsonObject) -> frozenset[str] | None:
    """All texts and numbers in values: what an error may hold of them is not told. None where they are too many, since this is
    read within Guard and not by a child with limits of its own, or where Guard cannot read what Helm may have read.
    """
    paths = (*files.glob("chart/**/values.yaml"), *files.glob("values/*.yaml"))
    if sum(path.stat().st_size for path in paths) > _MOST_VALUES:
        return None
    found: set[str] = set(_texts(inline))
    for path in paths:
        try:
            for document in values_in(path.name, path.read_bytes()):
                found.update(_texts(document.value))
        except RenderError:
            return None
    return frozenset(text for text in found if len(text) >= _SHORTEST_VALUE)


def _texts(value: Json) -> Iterator[str]:
    for part in leaves(value):
        if isinstance(part, str):
            yield part
            yield from (word for word in _BETWEEN_WORDS.split(part) if len(word) >= _SHORTEST_WORD)
        elif isinstance(part, (int, float)) and not isinstance(part, bool):
            yield str(part)
