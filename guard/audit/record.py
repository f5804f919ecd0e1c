"""What the journal holds: one record for each thing that someone may ask about later."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from msgspec import Struct

from guard.base import codec

# denied, warned, audited: what a manual change met under Deny, Warn and Audit. exempted, break-glass-used: let pass where it
# would have been refused. The other break-glass-*: what became of a BreakGlass itself. fight: a field that keeps coming back,
# so that healing backs off; fight-ended: it stays. revision-refused: it is not signed as asked, `user` is who signed it as far as
# that is known. sync-deleted: what a deleted Sync had applied is gone, or given up.
Event: TypeAlias = Literal[
    "denied",
    "warned",
    "audited",
    "exempted",
    "break-glass-opened",
    "break-glass-used",
    "break-glass-ended",
    "break-glass-expired",
    "break-glass-rejected",
    "healed",
    "heal-failed",
    "fight",
    "fight-ended",
    "synced",
    "sync-failed",
    "revision-refused",
    "sync-deleted",
]


class FieldChange(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A field as people write it, with Git's value and the one asked for. Both are texts that the caller has shortened, and
    cleared of secret values.
    """

    path: str
    git: str = ""
    asked: str = ""


class Counts(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a sync did, in objects."""

    applied: int = 0
    unchanged: int = 0
    pruned: int = 0
    failed: int = 0


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One line of the journal. `time` is RFC 3339 in UTC, `id` the reference that the refused person was shown, `sync` is
    `namespace/name`, `origin` is `file:line`, `managers` are the field managers that caused a drift, `break_glass` is the
    BreakGlass (`namespace/name`) that it is about.
    """

    time: str
    id: str
    event: Event
    reason: str = ""
    sync: str = ""
    revision: str = ""
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    origin: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    operation: str = ""
    subresource: str = ""
    dry_run: bool = False
    fields: tuple[FieldChange, ...] = ()
    managers: tuple[str, ...] = ()
    took_ms: float = 0.0
    message: str = ""
    counts: Counts | None = None
    break_glass: str = ""

    def line(self) -> bytes:
        """One line of JSON, its newline included. Text that UTF-8 cannot hold does not cost the record."""
        try:
            return codec.encode(self) + b"\n"
        except UnicodeEncodeError:
            return codec.encode(_printable(codec.plain(self))) + b"\n"


def _printable(value: codec.Json) -> codec.Json:
    """Lone surrogates, which a name read from a file system can hold, written as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if codec.is_object(value):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in cast("list[codec.Json]", value)]
    return value
