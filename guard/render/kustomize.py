"""Kustomize through its own binary, on a copy of those folders that a kustomization refers to and of nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from guard.api.sync import RemoteBases
from guard.base.concurrency import end, in_thread
from guard.base.errors import RenderError
from guard.render import process, scratch
from guard.render.bases import Bases, visit
from guard.render.ciphers import encrypted_in
from guard.render.decrypt import Decryption, needed
from guard.render.kustomize_failures import failure
from guard.render.process import Binary, Finished, Limits
from guard.render.scratch import Scratch
from guard.render.tool import Output, documents, placed, sourced
from guard.state.ids import Manifest
from guard.state.snapshot import Tree

_NAME = "kustomize"

# As kustomize writes the annotation: in a block, since it has several lines. Objects begin in the first column.
_ORIGIN = re.compile(
    rb"^metadata:\n(?:  .*\n)*?  annotations:\n(?:    .*\n)*?    config\.kubernetes\.io/origin: \|\n((?:      .*\n)+)",
    re.MULTILINE,
)
_FILE = re.compile(rb"^      (?:path|configuredIn): (.+)$", re.MULTILINE)
_ELSEWHERE = re.compile(rb"^      repo: ", re.MULTILINE)


class Kustomize(Struct, frozen=True, kw_only=True):
    """`kustomize build` of a folder (from the source's root). `directory` is where scratch folders may be made; a build with
    files that `decryption` opens has one in memory.

    What it gives out are the very objects that the binary alone gives. Where they come from is learned from a second run at the
    same time, on a copy that asks for annotations: patches and replacements could see those, if they were in the first.
    """

    folder: str
    directory: Path
    remote_bases: RemoteBases = "Refuse"
    decryption: Decryption | None = None
    limits: Limits = Limits()

    @property
    def via(self) -> str:
        return f"Kustomize {self.folder or '.'}"

    async def key(self, tree: Tree) -> str:
        """A `guard.render.tool.Tool`'s. With remote bases it is another for each revision, since they may be anything by then;
        with keys it is another in each process.
        """
        bases = await self._bases(tree)
        binary = process.find(_NAME)
        parts = [_NAME, binary.identity, self.folder, self.remote_bases, tree.revision if bases.remote else ""]
        parts.append(self.decryption.digest if self.decryption is not None else "")
        for folder in sorted(bases.folders):
            parts += [folder, await tree.id(folder)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def build(self, tree: Tree) -> Output:
        """A `guard.render.tool.Tool`'s."""
        bases = await self._bases(tree)
        binary = process.find(_NAME)
        encrypted = await encrypted_in(bases, tree)
        opened = await needed(self.decryption, encrypted).open_again(encrypted) if encrypted else []
        instead = {each.file.path: each.data for each in opened}
        async with scratch.scratch(self.directory, in_memory=bool(opened)) as made:
            plain = made.files / "plain"
            pointers = await scratch.write(tree, bases.entries.values(), plain, instead=instead)
            bases.check(dict.fromkeys(pointers, scratch.POINTER))
            if bases.top.origins:
                done = traced = await self._run(binary, made, root=plain, bases=bases)
            else:
                twin = made.files / "traced"
                await in_thread(_copy, bases.entries, plain, twin, replace=(bases.top.file, bases.top.with_origins()))
                done, traced = await self._run_both(binary, made, roots=(plain, twin), bases=bases)
            if done.status:
                raise failure(done.told, root=plain, folder=self.folder, file=bases.top.file)
            data = await asyncio.to_thread(self._sourced, done.output, traced.output if traced else b"", bases)
            return Output(data=data, opened=tuple(opened), is_kept=self.decryption is None)

    def place(self, text: bytes, manifest: Manifest) -> Manifest:
        """A `guard.render.tool.Tool`'s."""
        return placed(text, manifest, via=self.via)

    async def _bases(self, tree: Tree) -> Bases:
        return await visit(tree, self.folder, remote=self.remote_bases == "Allow")

    async def _run_both(
        self, binary: Binary, made: Scratch, *, roots: tuple[Path, Path], bases: Bases
    ) -> tuple[Finished, Finished | None]:
        """What the first run gave, and the second where it was of use; nothing hangs on that."""
        plain, traced = (asyncio.ensure_future(self._run(binary, made, root=root, bases=bases)) for root in roots)
        try:
            done = await plain
            if done.status:
                return done, None
            try:
                return done, await traced
            except RenderError:
                return done, None
        finally:
            await end((plain, traced))

    async def _run(self, binary: Binary, made: Scratch, *, root: Path, bases: Bases) -> Finished:
        return await process.run(
            binary,
            ["build", "."],
            folder=root / self.folder,
            scratch=made,
            limits=self.limits,
            where=bases.top.file,
            network=bases.remote,
        )

    def _sourced(self, plain: bytes, traced: bytes, bases: Bases) -> bytes:
        found = list(documents(plain))
        files = [_file(document, self.folder, known=bases.entries) for document in documents(traced)]
        if len(files) != len(found):
            files = [""] * len(found)
        return b"".join(sourced(document, path=file or bases.top.file) for document, file in zip(found, files, strict=True))


def _file(document: bytes, folder: str, *, known: Mapping[str, object]) -> str:
    """The file that an annotated object was made of, if it is one of ours."""
    origin = _ORIGIN.search(document)
    if origin is None or _ELSEWHERE.search(origin[1]):
        return ""
    named = _FILE.search(origin[1])
    path = posixpath.normpath(posixpath.join(folder, named[1].decode(errors="replace").strip("'\""))) if named else ""
    return path if path in known else ""


def _copy(paths: Iterable[str], source: Path, target: Path, *, replace: tuple[str, bytes]) -> None:
    """The same files under another folder, but for one of them."""
    name, data = replace
    for path in paths:
        place = target / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path == name:
            place.write_bytes(data)
        elif (source / path).exists():
            os.link(source / path, place)
