"""What a request does to managedFields, which clients may write themselves. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from guard.admission.review import Request
from guard.state import fields
from guard.state.additions import ADOPTED_MANAGER
from guard.state.equality import MISSING, same
from guard.state.fields import FieldSet
from guard.state.managed import RawEntry, held_by

ANCIENT_CHANGES = "ancient-changes"


def padding(request: Request) -> FieldSet:
    """What our entry holds more than before."""
    ours, before = request.new_sections.ours, request.old_sections.ours
    if ours is None or (before is not None and ours.fields is before.fields):
        return fields.EMPTY
    return ours.fields.minus(before.fields if before else fields.EMPTY)


def is_misplaced(request: Request) -> bool:
    """Whether an entry of another subresource gains fields: the API server writes those of the one that is asked, so the client
    made it up, and healing looks into no entry of a subresource. (What it merges of too many entries has a name of its own.)
    """
    return any(entry.subresource != request.sub_resource and entry.manager != ANCIENT_CHANGES for entry, _more in request.gained)


def is_wiped(ours: RawEntry, request: Request) -> bool:
    """Our entry is gone, and with it the only record of who owns some field. Losing it because somebody else took every field of
    it, unchanged, is harmless; fields that are gone themselves are judged as changes.
    """
    if request.new_sections.ours is not None:
        return False
    left = ours.fields
    for entry in request.new_sections.managed:
        left = left.minus(entry.fields)
    return any(fields.at(request.new, path) is not MISSING for path in left.paths())


def is_disowned(request: Request, managers: Container[str]) -> bool:
    """Whether machines no longer hold what they held and what is there as it was. A forced apply of the same value takes nothing
    from them: then both hold it. What the requester's own `managers` hold now may have been written in another notation; healing
    knows of that (`Case.taken`).
    """
    lost = _machines(before for before, _after in request.rewritten if before is not None)
    if lost:
        new = request.new_sections.managed
        lost = lost.minus(_machines(new)).minus(held_by(entry for entry in new if entry.manager in managers))
    return any(
        (value := fields.at(request.old, path)) is not MISSING and same(value, fields.at(request.new, path))
        for path in lost.paths()
    )


def _machines(entries: Iterable[RawEntry]) -> FieldSet:
    return held_by(entry for entry in entries if not (entry.is_ours or entry.is_person or entry.manager == ADOPTED_MANAGER))
