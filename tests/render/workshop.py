"""A repository, a source that reads it, and the real Kustomize and Helm to render it with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from guard.base.errors import RenderError
from guard.render import scratch, tool
from guard.render.decrypt import Decryption
from guard.render.helm import Helm
from guard.render.kustomize import Kustomize
from guard.render.manifests import parse
from guard.render.process import Limits
from guard.render.tool import Tool
from guard.source import GitSource
from guard.state.ids import Manifest, Origin
from guard.state.snapshot import Tree
from tests.source.repository import Repository


class Workshop:
    """`home` is where tools run by hand may write; `scratches` is where Guard makes its scratch folders."""

    def __init__(self, folder: Path, *, tools: Mapping[str, Path]) -> None:
        self.repository = Repository(folder / "repository")
        self.home = folder / "home"
        self.home.mkdir()
        self.scratches = folder / "scratches"
        self._tools = tools
        self._source = GitSource(url=self.repository.url, directory=folder / "copy")

    async def commit(self, files: Mapping[str, str | None]) -> Tree:
        self.repository.commit(files)
        return await self.read()

    async def read(self) -> Tree:
        """What was committed last."""
        return self._source.tree(await self._source.fetch())

    def kustomize(self, folder: str, *, limits: Limits | None = None, decryption: Decryption | None = None) -> Kustomize:
        return Kustomize(folder=folder, directory=self.scratches, limits=limits or Limits(), decryption=decryption)

    def helm(self, folder: str, *, limits: Limits | None = None) -> Helm:
        return Helm(folder=folder, directory=self.scratches, release="web", limits=limits or Limits())

    async def manifests(self, made_by: Tool, tree: Tree) -> list[Manifest]:
        """What a tool makes, parsed and placed as the renderer does it."""
        found: list[Manifest] = []
        for document in tool.documents((await made_by.build(tree)).data):
            parsed = parse("output.yaml", document)
            assert parsed.faults == []
            bare = (Manifest(body=each.body, origin=Origin(file="", line=each.line)) for each in parsed.manifests)
            found += [made_by.place(document, manifest) for manifest in bare]
        self.check_clean()
        return found

    async def refusal(self, made_by: Tool, files: Mapping[str, str | None]) -> str:
        """What is said of files that cannot be rendered."""
        return await self.refusal_of(made_by, await self.commit(files))

    async def refusal_of(self, made_by: Tool, tree: Tree) -> str:
        try:
            output = await made_by.build(tree)
        except RenderError as error:
            self.check_clean()
            return str(error)
        raise AssertionError(f"built: {output.data[:1000].decode(errors='replace')}")

    def check_clean(self) -> None:
        """No scratch folder is left."""
        assert scratch.folders(self.scratches) == ()

    def by_hand(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """A tool alone, in the repository's work tree."""
        environment = {"HOME": str(self.home), "PATH": "", "KUBECONFIG": os.devnull}
        return subprocess.run(
            [self._tools[name], *arguments], cwd=self.repository.path, env=environment, capture_output=True, check=False
        )

    async def close(self) -> None:
        await self._source.close()
