"""Turns the documents of one file into manifests, and says of every one that is none what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.base.errors import RenderError
from guard.base.naming import plural
from guard.render.encrypted import left_in, may_hold_values
from guard.render.yaml import Document, documents
from guard.state import notation

_NEEDED = "every object needs apiVersion, kind and metadata.name"
_ENCRYPT = "encrypt the file as a whole with sops, which writes its metadata below a key `sops` that begins a line"


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
    """An object, and the line (from 1) of its first key; in which file it was found is the reader's to say. `confidential` where
    a value of it was encrypted there.
    """

    body: JsonObject
    line: int
    confidential: bool = False


class Parsed(Struct, frozen=True):
    """What a file holds. The manifests stand for something only if there are no faults."""

    manifests: list[Found]
    faults: list[Fault]


def parse(path: str, data: bytes) -> Parsed:
    """The manifests of a file, items of lists each on its own, and all faults that can be found: a fault of YAML's own ends it,
    and so do MOST_FAULTS others. A value that SOPS has encrypted is a fault.

    Bodies may share parts where the file uses aliases.
    """
    manifests: list[Found] = []
    faults: list[Fault] = []
    looked_into = may_hold_values(data)
    try:
        for document, body, line in _read(path, data):
            fault = fault_of(body, looked_into=looked_into)
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
        for body, at in objects_in(document.value):
            yield document, body, line_at(document, at)


def objects_in(value: Json, at: tuple[int, ...] = ()) -> Iterator[tuple[Json, tuple[int, ...]]]:
    """The value itself, or what it lists, with the places in the lists; lists of lists included."""
    if not is_object(value) or not _is_list(value):
        yield value, at
        return
    for index, item in enumerate(value["items"] or ()):
        # A typed list's items may leave out what the list says of them.
        if is_object(item) and not item.get("apiVersion") and not item.get("kind") and value["kind"] != "List":
            told = {"apiVersion": value.get("apiVersion"), "kind": value["kind"].removesuffix("List")}
            yield {**told, **item, **told}, (*at, index)
        else:
            yield from objects_in(item, (*at, index))


def line_at(document: Document, at: tuple[int, ...]) -> int:
    """The line of an item of its lists, or where that is no object, of the list."""
    line, part = document.line, document.value
    for index in (*at, None):
        line = document.line_of(part) if is_object(part) else line
        if index is not None:
            part = item_at(part, index)
    return line


def item_at(value: Json, index: int) -> Json:
    """Null where there is none."""
    items = value.get("items") if is_object(value) else None
    return items[index] if is_array(items) and index < len(items) else None


def _is_list(value: JsonObject) -> bool:
    kind = value.get("kind")
    return (
        isinstance(kind, str)
        and kind.endswith("List")
        and "items" in value
        and (value["items"] is None or is_array(value["items"]))
    )


def fault_of(body: Json, *, looked_into: bool = True) -> tuple[str, str, JsonObject | None] | None:
    """What keeps a value from being a manifest, what to do about it, and the object in it where that is written. It is looked
    into for values that are encrypted still. No value is told.
    """
    if looked_into and (place := left_in(body)) is not None:
        told = notation.written(place) or "the value"
        return f"{told} was encrypted with SOPS, and the file says nothing of it", _ENCRYPT, None
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
