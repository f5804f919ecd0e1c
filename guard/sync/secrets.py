"""The Secrets that Syncs name: in the cluster, or, for a Guard outside of one, folders of files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from guard.base.errors import SourceError
from guard.cluster import Client, read_secret

# As the API server has it; no folder's name leads elsewhere.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class Secrets:
    """`directory` holds a folder for each Secret, `<namespace>/<name>`, with a file for each of its keys, and counts before the
    cluster; None where all are in the cluster.
    """

    def __init__(self, client: Client, *, directory: Path | None) -> None:
        self._client = client
        self._directory = directory

    async def read(self, namespace: str, name: str) -> dict[str, bytes]:
        """Values by their keys. Raises SourceError where there is none, or it cannot or may not be read, ClusterError."""
        if not _NAME.fullmatch(name):
            raise SourceError(f"there is no Secret {namespace}/{name}: that is no name of one")
        folder = self._folder(namespace, name)
        if folder is None:
            return await read_secret(self._client, namespace, name)
        try:
            return await asyncio.to_thread(_files, folder)
        except OSError as error:
            raise SourceError(f"the credentials cannot be read: {error.strerror}", where=str(error.filename or folder)) from error

    def _folder(self, namespace: str, name: str) -> Path | None:
        if self._directory is None:
            return None
        folder = self._directory / namespace / name
        return folder if folder.is_dir() else None


def _files(folder: Path) -> dict[str, bytes]:
    """A projected volume has hidden folders and links beside the files, or for them."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()}
