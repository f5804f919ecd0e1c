"""Which URLs name one repository. No I/O."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# git@host:owner/repository.git, git's short form for SSH.
_SHORT = re.compile(r"(?:[^@/\s]+@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:\[\]\s]+):(?P<path>\S*)")


def repository(url: str) -> str:
    """The same text for all the ways to write one repository's URL: by HTTPS, by SSH, in git's short form, with and without user,
    port and `.git`; a path of this machine, and `file://` before it.

    It goes by host and path, whose case counts for nothing: two repositories that are taken for one cost a fetch, and no more.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return url
    path = parts.path
    if "://" not in url:
        found = _SHORT.fullmatch(url)
        host, path = (found["host"].strip("[]"), found["path"]) if found else ("", url)
    path = unquote(path).strip("/").removesuffix(".git").rstrip("/")
    return f"{host.rstrip('.')}/{path}".casefold()
