"""Reads what a kustomization refers to, before kustomize gets to see it. Pure.

It takes names of fields as kustomize does, whatever their case, since Go's decoder of JSON has it so.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from guard.base.codec import Json, JsonObject, encode, is_array, is_object
from guard.base.errors import RenderError
from guard.render.locate import lines_of
from guard.render.yaml import documents
from guard.state.fields import Path

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# One that lists 10,000 files by their names. It is read in Guard's own process, where that may take 15 MiB of memory at worst.
MOST_BYTES = 256 * 1024
TOO_LARGE = f"is larger than {MOST_BYTES // 2**10} KiB, as no kustomization is"

ORIGINS = "originAnnotations"
_METADATA = "buildMetadata"

# Each entry is a file or a folder with a kustomization of its own; of the second row it may be the thing itself, written inline.
_FOLDERS = ("resources", "bases", "components")
_INLINE = ("generators", "transformers", "validators")
_FILES = ("crds", "configurations")
_HELM = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_PATCHES = ("patches", "patchesJson6902", "replacements")
_MERGES = "patchesStrategicMerge"
_OPENAPI = "openapi"
_OTHERS = (
    *("apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations"),
    *("images", "imageTags", "replicas", "vars", "sortOptions", "generatorOptions", _METADATA),
)
_KNOWN = (*_FOLDERS, *_INLINE, *_FILES, *_HELM, *_GENERATORS, *_PATCHES, _MERGES, _OPENAPI, *_OTHERS)
_BY_FOLDED = {name.casefold(): name for name in _KNOWN}

# As kustomize tells a repository from a path (its RepoSpec): by a scheme, a user, or GitHub's name.
_SCHEME = re.compile(r"(ssh|https?|file)://", re.IGNORECASE)
_USER = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@")
_GITHUB = re.compile(r"github\.com[/:]", re.IGNORECASE)
_FORCED = re.compile(r"git::", re.IGNORECASE)
_REMOTE_FILE = re.compile(r"https?:", re.IGNORECASE)
_MARKERS = ("_git/", "//", ".git")
_SEGMENTS = 2  # organisation and repository


class Reference(Struct, frozen=True):
    """What a field of a kustomization names; `folder` where that may be one, `inline` where it may be the thing itself."""

    field: str
    name: str
    path: Path
    folder: bool = False
    inline: bool = False

    @property
    def remote(self) -> bool:
        return is_remote(self.name)


class Kustomization(Struct, frozen=True):
    """One kustomization file. `file` is from the source's root."""

    file: str
    data: bytes
    line: int
    value: JsonObject
    references: tuple[Reference, ...]

    def where(self, reference: Reference) -> str:
        return f"{self.file}:{lines_of(self.data, (reference.path,), line=self.line)[0]}"

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.file)

    @property
    def origins(self) -> bool:
        """Whether it asks for annotations that say where objects come from."""
        listed = _folded(self.value, _METADATA)
        return is_array(listed) and ORIGINS in listed

    def with_origins(self) -> bytes:
        """The same, asking for those annotations as well. What is no list stays, and is kustomize's to refuse."""
        listed = _folded(self.value, _METADATA)
        others = {key: value for key, value in self.value.items() if key.casefold() != _METADATA.casefold()}
        return encode({**others, _METADATA: [*listed, ORIGINS] if is_array(listed) else listed or [ORIGINS]})


def read(file: str, data: bytes) -> Kustomization:
    """Raises RenderError with file:line for what is no kustomization, and for fields that it does not know or may not have."""
    if len(data) > MOST_BYTES:
        raise RenderError(TOO_LARGE, where=file)
    found = list(documents(file, data))
    if not found:
        return Kustomization(file=file, data=data, line=1, value={}, references=())
    if len(found) > 1:
        raise RenderError("holds more than one document", where=f"{file}:{found[1].line}", hint="a kustomization is one")
    (document,) = found
    if not is_object(document.value):
        raise RenderError("is not an object", where=f"{file}:{document.line}", hint="a kustomization has fields, as resources")
    value = document.value
    for key in value:
        if complaint := _complaint(key, value):
            line = lines_of(data, ((f"f:{key}",),), line=document.line)[0]
            raise RenderError(complaint[0], where=f"{file}:{line}", hint=complaint[1])
    return Kustomization(file=file, data=data, line=document.line, value=value, references=tuple(_references(value)))


def is_remote(name: str) -> bool:
    """Whether kustomize would take a name for a repository or for a file to be had by HTTP."""
    if _REMOTE_FILE.match(name):
        return True
    if name.startswith("/"):
        return False
    rest = _FORCED.sub("", name.partition("?")[0], count=1) if _FORCED.match(name) else name.partition("?")[0]
    scheme = _SCHEME.match(rest)
    rest = rest[scheme.end() :] if scheme else rest
    user = _USER.match(rest)
    rest = rest[user.end() :] if user else rest
    if scheme:
        return True
    if not user and not _GITHUB.match(rest):
        return False
    path = re.split("[/:]", rest, maxsplit=1)[1:]
    return bool(path) and (any(marker in path[0] for marker in _MARKERS) or len(path[0].split("/")) >= _SEGMENTS)


def _complaint(key: str, value: JsonObject) -> tuple[str, str] | None:
    known = _BY_FOLDED.get(key.casefold())
    if known is None:
        close = difflib.get_close_matches(key, _KNOWN, n=1)
        return f"a kustomization has no field {key!r}", f"did you mean {close[0]}?" if close else ""
    if known in _HELM:
        return f"{known}: Guard does not run Helm from within Kustomize", "make the chart the path of a Sync of its own"
    if sum(other.casefold() == key.casefold() for other in value) > 1:
        return f"the field {known} stands there twice, in other letters", ""
    return None


def _references(value: JsonObject) -> Iterator[Reference]:
    for key in value:
        field = _BY_FOLDED[key.casefold()]
        yield from _of_field(field, value[key], at=(f"f:{key}",))


def _of_field(field: str, value: Json, *, at: Path) -> Iterator[Reference]:
    if field in _FOLDERS or field in _INLINE:
        for name, path in _texts(value, at=at):
            yield Reference(field=field, name=name, path=path, folder=True, inline=field in _INLINE)
    elif field in _FILES or field == _MERGES:
        for name, path in _texts(value, at=at):
            yield Reference(field=field, name=name, path=path, inline=field == _MERGES)
    elif field == _OPENAPI:
        yield from _named(value, ("path",), field=field, at=at)
    elif field in _PATCHES:
        for item, path in _items(value, at=at):
            yield from _named(item, ("path",), field=field, at=path)
    elif field in _GENERATORS:
        for item, path in _items(value, at=at):
            yield from _named(item, ("files", "envs", "env"), field=field, at=path)


def _named(value: Json, keys: Iterable[str], *, field: str, at: Path) -> Iterator[Reference]:
    """Files in fields of an object. A generator's may have a key before them: `key=path`."""
    if not is_object(value):
        return
    for key in value:
        folded = next((name for name in keys if name == key.casefold()), "")
        if folded:
            for text, path in _texts(value[key], at=(*at, f"f:{key}")):
                name = text.partition("=")[2] if folded == "files" and "=" in text else text
                yield Reference(field=f"{field}.{folded}", name=name, path=path)


def _texts(value: Json, *, at: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(value, str):
        yield value, at
    for item, path in _items(value, at=at):
        if isinstance(item, str):
            yield item, path


def _items(value: Json, *, at: Path) -> Iterator[tuple[Json, Path]]:
    if is_array(value):
        for index, item in enumerate(value):
            yield item, (*at, f"i:{index}")


def _folded(value: JsonObject, name: str) -> Json:
    return next((found for key, found in value.items() if key.casefold() == name.casefold()), None)
