"""What Guard makes of a folder, through the very parts that a Sync is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kubernetes_asyncio.client import Configuration

from guard import api
from guard.base.codec import JsonObject, child
from guard.base.errors import RenderError
from guard.cluster import Client, Connection, Served
from guard.render.parse import Parser
from guard.state.desired import View
from guard.sync import Secrets, SourceFolder
from tools.rendercheck.alone import Made
from tools.rendercheck.folders import Folder


class Guard:
    """A Sync of one repository, whose path moves from folder to folder. It has no Secrets and is told nothing of a cluster."""

    def __init__(self, git_directory: Path, *, scratch: Path, tools: Mapping[str, Path]) -> None:
        self._url = str(git_directory)
        self._parser = Parser()
        self._spec = api.SyncSpec(source=api.Source(git=api.GitSource(url=self._url)))
        self._folder = SourceFolder(
            sync=self._sync,
            secrets=Secrets(Client(Connection(Configuration())), directory=None),
            served=_served,
            view=View(),
            parser=self._parser,
            directory=scratch / "guard",
            scratch=scratch / "renders",
        )
        self._revision = ""
        # As in Guard's image.
        os.environ["PATH"] = os.pathsep.join([*(str(path.parent) for path in tools.values()), os.environ["PATH"]])

    async def open(self) -> None:
        """Fetch what HEAD names. Raises SourceError."""
        self._revision = await self._folder.fetch()

    async def render(self, folder: Folder) -> Made:
        self._spec = api.SyncSpec(
            source=self._spec.source,
            path=folder.path or ".",
            renderer=folder.form if folder.said else "Auto",
            helm=api.Helm(values_files=folder.values),
        )
        try:
            groups = await self._folder.groups(self._revision)
        except RenderError as error:
            return Made(objects=[], complaint=str(error))
        return Made(objects=[_as_kubectl_has_it(manifest.body) for group in groups.values() for manifest in group])

    async def close(self) -> None:
        await self._folder.close()
        await self._parser.close()

    def _sync(self) -> api.Sync:
        return api.Sync(metadata=api.Metadata(name="check"), spec=self._spec)


def _as_kubectl_has_it(body: JsonObject) -> JsonObject:
    """A namespace that is null is taken out by kubectl; to the API server it is none either way."""
    metadata = child(body, "metadata")
    if metadata.get("namespace", "") is not None:
        return body
    return {**body, "metadata": {name: value for name, value in metadata.items() if name != "namespace"}}


async def _served() -> Served:
    return Served([])
