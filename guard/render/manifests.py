"""Turns the documents of one file into manifests, and says of every one that is none what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.base.errors import RenderError
from guard.base.naming import plural
from guard.render.yaml import Document, documents
from guard.state import notation

_NEEDED = "every object needs apiVersion, kind and metadata.name"


class Fault(Struct, frozen=True):
    """What is wrong, where: a RenderError that can be sent on and counted."""

    where: str
    message: str
    hint: str = ""


# An error is one line for a terminal.
_TOLD_AT_ONCE = 4
# Who has so many in one file needs no more, and a file may be made of nothing else.
MOST_FAULTS = 1000


class FaultsError(RenderError):
    """All faults of a revision in one line, the first of them in full."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults[0].message, where=faults[0].where, hint=_hint(faults))
        self.faults = tuple(faults)


def _hint(faults: Sequence[Fault]) -> str:
    first, *others = faults
    if not others:
        return first.hint
    told = "; ".join(f"{other.where}: {other.message}" for other in others[:_TOLD_AT_ONCE])
    more = f"; and {len(others) - _TOLD_AT_ONCE} more" if len(others) > _TOLD_AT_ONCE else ""
    hint = f"{first.hint}; " if first.hint else ""
    return f"{hint}{plural(len(others), 'other error')}: {told}{more}"


class Found(Struct, frozen=True):
    """An object, and the line (from 1) of its first key; in which file it was found is the reader's to say."""

    body: JsonObject
    line: int


class Parsed(Struct, frozen=True):
    """What a file holds. The manifests stand for something only if there are no faults."""

    manifests: list[Found]
    faults: list[Fault]


def parse(path: str, data: bytes) -> Parsed:
    """The manifests of a file, items of lists each on its own, and all faults that can be found: a fault of YAML's own ends it,
    and so do MOST_FAULTS others.

    Bodies may share parts where the file uses aliases.
    """
    manifests: list[Found] = []
    faults: list[Fault] = []
    try:
        for document, body, line in _read(path, data):
            fault = _fault(body)
            if fault is None and is_object(body):
                manifests.append(Found(body=body, line=line))
            elif fault is not None:
                message, hint, part = fault
                line = line if part is None else document.line_of(part)  # noqa: PLW2901
                faults.append(Fault(where=f"{path}:{line}", message=message, hint=hint))
                if len(faults) == MOST_FAULTS:
                    break
    except RenderError as error:
        faults.append(Fault(where=error.where, message=error.message, hint=error.hint))
    return Parsed(manifests=manifests, faults=faults)


def _read(path: str, data: bytes) -> Iterator[tuple[Document, Json, int]]:
    for document in documents(path, data):
        for body, line in _objects(document, document.value):
            yield document, body, line


def _objects(document: Document, value: Json, *, line: int = 0) -> Iterator[tuple[Json, int]]:
    """The value itself, or what it lists, with the line of each; lists of lists included."""
    line = document.line_of(value) if is_object(value) else line or document.line
    if not is_object(value) or not _is_list(value):
        yield value, line
        return
    for item in value["items"] or ():
        # A typed list's items may leave out what the list says of them.
        if is_object(item) and not item.get("apiVersion") and not item.get("kind") and value["kind"] != "List":
            told = {"apiVersion": value.get("apiVersion"), "kind": value["kind"].removesuffix("List")}
            yield {**told, **item, **told}, document.line_of(item)
        else:
            yield from _objects(document, item, line=line)


def _is_list(value: JsonObject) -> bool:
    kind = value.get("kind")
    return (
        isinstance(kind, str)
        and kind.endswith("List")
        and "items" in value
        and (value["items"] is None or is_array(value["items"]))
    )


def _fault(body: Json) -> tuple[str, str, JsonObject | None] | None:
    """What keeps a value from being a manifest, what to do about it, and the object in it where that is written."""
    if not is_object(body):
        return f"is {_called(body)}, not a Kubernetes object", _NEEDED, None
    metadata = body.get("metadata", {})
    if not is_object(metadata):
        return f"metadata is {_called(metadata)}, not an object", _NEEDED, None
    if not metadata.get("name") and metadata.get("generateName"):
        return "metadata.generateName would make a new object at every apply", "give the object a metadata.name", None
    fields = {"apiVersion": body.get("apiVersion"), "kind": body.get("kind"), "metadata.name": metadata.get("name")}
    if missing := [name for name, value in fields.items() if value is None or value == ""]:
        return f"the object has no {' and no '.join(missing)}", _NEEDED, None
    if metadata.get("namespace") is not None:
        fields["metadata.namespace"] = metadata["namespace"]
    for name, value in fields.items():
        if not isinstance(value, str):
            return f"{name} is {_called(value)}, not a text", "put it in quotes", None
    return _fault_of_texts(metadata, "labels") or _fault_of_texts(metadata, "annotations")


def _fault_of_texts(metadata: JsonObject, name: str) -> tuple[str, str, JsonObject | None] | None:
    """What is wrong with labels or annotations: `version: 1.10`, `enabled: yes`. The API server says so, too, without a line."""
    if metadata.get(name) is not None and not is_object(metadata[name]):
        return f"metadata.{name} is {_called(metadata[name])}, not an object", "", metadata
    texts = child(metadata, name)
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            path = notation.written(("f:metadata", f"f:{name}", f"f:{key}"))
            return f"{path} is {_called(value)}, not a text", "put it in quotes", texts
    return None


def _called(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
