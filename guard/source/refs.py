"""What a repository is asked about a ref, and what it answers."""

from __future__ import annotations

from msgspec import Struct

from guard.base.errors import SourceError
from guard.source.address import GitRef, is_name
from guard.source.semver import newest

_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
# An annotated tag is an object of its own; the remote lists what it points to under its name and this.
_PEELED = "^{}"


class Found(Struct, frozen=True):
    """`name` as a revision shows it, `remote` the ref's full name, the commit that it leads to, and the annotated tag by which it
    does, empty without one.
    """

    name: str
    remote: str
    commit: str
    tag: str = ""


def question(ref: GitRef) -> tuple[str, tuple[str, ...]]:
    """The option and the names that `git ls-remote` is asked with. With --heads and --tags the server sends no others; for its
    default branch it sends all that it has.
    """
    if ref.branch:
        return "--heads", (f"{_BRANCHES}{ref.branch}",)
    if ref.tag:
        return "--tags", (f"{_TAGS}{ref.tag}", f"{_TAGS}{ref.tag}{_PEELED}")
    if ref.semver:
        return "--tags", ()
    return "--symref", ("HEAD",)


def answer(listing: bytes, ref: GitRef) -> Found:
    """Read what `git ls-remote` prints: `<id>TAB<name>`, and `ref: <name>TAB<name>` for a symbolic ref. Raises SourceError."""
    # Names may hold what Python takes for the end of a line as well, and so speak for another ref.
    lines = [line.partition("\t") for line in listing.decode(errors="replace").split("\n")]
    values = {name: value for value, _, name in lines if not value.startswith("ref: ")}
    if ref.branch:
        return _found(values, name=ref.branch, remote=f"{_BRANCHES}{ref.branch}", complaint=f"has no branch {ref.branch!r}")
    if ref.tag:
        return _found(values, name=ref.tag, remote=f"{_TAGS}{ref.tag}", complaint=f"has no tag {ref.tag!r}")
    if ref.semver:
        tags = (name.removeprefix(_TAGS) for name in values if name.startswith(_TAGS) and not name.endswith(_PEELED))
        tag = newest(tags, ref.semver)
        return _found(values, name=tag, remote=f"{_TAGS}{tag}", complaint=f"has no tag that is a version in {ref.semver!r}")
    if "HEAD" not in values:
        raise SourceError("the repository is empty, or its default branch does not exist", hint="name a branch in ref.branch")
    branch = next((value.removeprefix("ref: ") for value, _, of in lines if of == "HEAD" and " " in value), "HEAD")
    name = branch.removeprefix(_BRANCHES)
    if not is_name(name):
        raise SourceError("the repository's default branch has a name that cannot be", hint="name a branch in ref.branch")
    return Found(name=name, remote=branch, commit=values["HEAD"])


def _found(values: dict[str, str], *, name: str, remote: str, complaint: str) -> Found:
    if remote not in values:
        raise SourceError(f"the repository {complaint}")
    peeled = values.get(f"{remote}{_PEELED}", "")
    return Found(name=name, remote=remote, commit=peeled or values[remote], tag=values[remote] if peeled else "")
