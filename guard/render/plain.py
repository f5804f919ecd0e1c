"""Which files of a folder are plain manifests: YAML and JSON, by their names. Pure."""

from __future__ import annotations

from guard.base.errors import RenderError
from guard.render.detect import check_plain
from guard.state.snapshot import Entry

SUFFIXES = (".yaml", ".yml", ".json")
# The API server stores no object over 1.5 MiB; a file of more than ten times that is not a manifest.
MOST_IN_FILE = 16 * 1024 * 1024
# 10,000 objects of 5 KB are 50 MB.
MOST_IN_ALL = 128 * 1024 * 1024


def may_be_manifest(path: str, *, folder: str) -> bool:
    """Whether the file counts: nothing that begins with a dot does, nor does what is below it."""
    inside = path[len(folder) + 1 :] if folder else path
    return not inside.startswith(".") and "/." not in inside


def is_manifest(entry: Entry) -> bool:
    """Raises RenderError for what leads elsewhere, belongs to a tool, or is too large."""
    path = entry.path
    name = path.rpartition("/")[2]
    if entry.type == "link":
        raise RenderError("is a symbolic link, which Guard does not follow", where=path)
    if entry.type == "submodule":
        raise RenderError("is a submodule, which Guard does not fetch", where=path)
    check_plain([path])
    if not name.endswith(SUFFIXES):
        return False
    if entry.size > MOST_IN_FILE:
        raise RenderError(f"is larger than {MOST_IN_FILE // 2**20} MiB", where=path)
    return True
