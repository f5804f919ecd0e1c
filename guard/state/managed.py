"""Reading `metadata.managedFields`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guard.base.codec import JsonObject, child, children
from guard.state.fields import EMPTY, SELF, FieldSet, Path
from guard.state.ids import FIELD_MANAGER, REPAIR_MANAGER
from guard.state.requesters import is_person_tool


class Entry(msgspec.Struct, frozen=True):
    """One entry; `raw` is the JSON as the API server sent it."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    raw: JsonObject

    @property
    def fields(self) -> FieldSet:
        return FieldSet.parse(child(self.raw, "fieldsV1"))

    @property
    def is_ours(self) -> bool:
        return self.manager == FIELD_MANAGER and self.operation == "Apply" and not self.subresource

    @property
    def is_person(self) -> bool:
        """Written by a person's tool (the documented list), to the object or through a subresource."""
        return is_person_tool(self.manager)

    @property
    def is_guard(self) -> bool:
        return self.manager in {FIELD_MANAGER, REPAIR_MANAGER}


def entries(body: JsonObject) -> Iterator[Entry]:
    """The entries of an object, in the order stored."""
    for raw in children(child(body, "metadata"), "managedFields"):
        yield Entry(
            manager=raw.get("manager", ""),
            operation=raw.get("operation", ""),
            subresource=raw.get("subresource", ""),
            api_version=raw.get("apiVersion", ""),
            time=raw.get("time", ""),
            raw=raw,
        )


def our_entry(body: JsonObject) -> Entry | None:
    return next((entry for entry in entries(body) if entry.is_ours), None)


def our_fields(body: JsonObject) -> FieldSet:
    entry = our_entry(body)
    return entry.fields if entry else EMPTY


def reaches(owned: FieldSet, path: Path) -> bool:
    """Whether a set holds `path` or fields below it."""
    return owned.below(path) is not None


def reaches_below(owned: FieldSet, path: Path) -> bool:
    """Whether a set holds fields below `path`: the API server then counts the value there field by field, and not as one."""
    return any(element != SELF for element in owned.below(path) or {})
