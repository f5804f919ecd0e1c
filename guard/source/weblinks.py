"""Links to a line of a file on the web pages of the common Git hosts.

A host is known by its name: the public services, and hosts of which a part of the name is the product's (`gitlab.example.com`,
`git-gitea.example.com`). Others get no link, since a wrong one is worse than none: no two products agree on the form.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from guard.base.errors import SourceError
from guard.source.revision import commit_of

# As `git log --oneline` shows it; hosts find the commit by it. Azure DevOps and Bitbucket Server want the whole.
SHORT = 7

_SERVICES = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
    "bitbucket.org": "bitbucket-cloud",
    "dev.azure.com": "azure",
    "ssh.dev.azure.com": "azure",
    "vs-ssh.visualstudio.com": "azure",
    "git.sr.ht": "sourcehut",
}
_SUFFIXES = {".visualstudio.com": "azure", ".ghe.com": "github"}
_PARTS = {
    "github": "github",
    "ghe": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "gitea",
    "bitbucket": "bitbucket-server",
    "stash": "bitbucket-server",
}

# Names that only a cluster or a machine resolves: no browser gets there.
_INSIDE = (".svc", ".cluster.local", ".localhost")

# git@host:owner/repo.git, git's short form for SSH.
_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>(?!//)\S+)")
_HOST = re.compile(r"[A-Za-z0-9.-]+")


class _Repository(Struct, frozen=True):
    """`origin` is where the web pages are (`https://host:port`); `parts` are the unquoted parts of the path, without `.git`."""

    host: str
    origin: str
    parts: tuple[str, ...]


def web_link(url: str, revision: str, file: str, line: int) -> str:
    """The page that shows `line` of `file` in `revision` (as `guard.source.revision` writes it) of the repository at `url`.

    Empty for hosts that are not known, paths of this machine, and revisions that are no commits. User names and passwords of the
    URL are left out.
    """
    try:
        commit = commit_of(revision)
        repository = _repository(url)
    except (SourceError, ValueError):
        return ""
    if repository is None or not file or line < 1:
        return ""
    return _page(repository, _product(repository.host), commit=commit, file=quote(file, safe="/"), line=line)


def _repository(url: str) -> _Repository | None:
    """Raises ValueError for what cannot be read."""
    if "://" not in url:
        found = _SCP.fullmatch(url)
        return _known(found["host"], found["path"]) if found else None
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http", "ssh", "git+ssh"} or not parts.hostname or parts.query or parts.fragment:
        return None
    # The port of SSH says nothing about the web's.
    port = f":{parts.port}" if parts.port and parts.scheme in {"https", "http"} else ""
    return _known(parts.hostname, parts.path, port=port, scheme="http" if parts.scheme == "http" else "https")


def _known(host: str, path: str, *, port: str = "", scheme: str = "https") -> _Repository | None:
    host = host.lower().rstrip(".")
    parts = tuple(unquote(part) for part in path.split("/") if part)
    if not _HOST.fullmatch(host) or not parts or ".." in parts or not "".join(parts).isprintable():
        return None
    parts = (*parts[:-1], parts[-1].removesuffix(".git"))
    return _Repository(host=host, origin=f"{scheme}://{host}{port}", parts=parts)


def _product(host: str) -> str:
    if host in _SERVICES:
        return _SERVICES[host]
    for suffix, product in _SUFFIXES.items():
        if host.endswith(suffix):
            return product
    if host.endswith(_INSIDE):
        return ""
    # The last part is a top-level domain, unless it is the only one.
    *labels, last = host.split(".")
    for word in (word for label in labels or [last] for word in label.split("-")):
        if word in _PARTS:
            return _PARTS[word]
    return ""


def _page(repository: _Repository, product: str, *, commit: str, file: str, line: int) -> str:
    base = f"{repository.origin}/{_quoted(repository.parts)}"
    short = commit[:SHORT]
    match product:
        case "github":
            return f"{base}/blob/{short}/{file}#L{line}"
        case "gitlab":
            return f"{base}/-/blob/{short}/{file}#L{line}"
        case "gitea":
            return f"{base}/src/commit/{short}/{file}#L{line}"
        case "bitbucket-cloud":
            return f"{base}/src/{short}/{file}#lines-{line}"
        case "bitbucket-server":
            return _bitbucket_server(repository, commit=commit, file=file, line=line)
        case "azure":
            return _azure(repository, commit=commit, file=file, line=line)
        case "sourcehut":
            return f"{base}/tree/{short}/item/{file}#L{line}"
        case _:
            return ""


def _bitbucket_server(repository: _Repository, *, commit: str, file: str, line: int) -> str:
    """Cloned from /scm/<project>/<repository> or over SSH from <project>/<repository>; `~name` is a person's project."""
    *before, project, name = ("", "", *repository.parts)
    if before[-1:] == ["scm"]:
        before.pop()
    context = "".join(f"/{_quoted((part,))}" for part in before if part)
    if not project or not name:
        return ""
    owner = f"users/{_quoted((project[1:],))}" if project.startswith("~") else f"projects/{_quoted((project.upper(),))}"
    return f"{repository.origin}{context}/{owner}/repos/{_quoted((name,))}/browse/{file}?at={commit}#{line}"


def _azure(repository: _Repository, *, commit: str, file: str, line: int) -> str:
    """https://dev.azure.com/<organisation>/<project>/_git/<repository>, git@ssh.dev.azure.com:v3/<organisation>/<project>/
    <repository>, and the older https://<organisation>.visualstudio.com/[DefaultCollection/]<project>/_git/<repository>.
    """
    origin, parts = repository.origin, repository.parts
    if repository.host in {"ssh.dev.azure.com", "vs-ssh.visualstudio.com"}:
        if len(parts) != 4 or parts[0] != "v3":  # noqa: PLR2004 (v3 and the three names)
            return ""
        origin, parts = "https://dev.azure.com", (*parts[1:3], "_git", parts[3])
    if "_git" not in parts[:-1]:
        return ""
    lines = f"line={line}&lineEnd={line + 1}&lineStartColumn=1&lineEndColumn=1"
    return f"{origin}/{_quoted(parts)}?path=/{file}&version=GC{commit}&{lines}"


def _quoted(parts: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe="~") for part in parts)
