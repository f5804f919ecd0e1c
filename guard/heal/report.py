"""What healing tells: to the journal and the log at once, and to a Sync's status about fights for as long as they last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from guard import telemetry
from guard.apply import Applied, Known, told
from guard.audit import FieldChange, Record, References
from guard.audit.record import Event
from guard.base.clock import Clock, rfc3339, rfc3339_seconds
from guard.base.errors import ApiStatusError, ClusterError
from guard.base.naming import plural, printable
from guard.heal.fights import UNSEEN, WHOLE, Fight, Fights, Way
from guard.state import fields
from guard.state.desired import Declared, View
from guard.state.fields import Path
from guard.state.ids import ObjectKey
from guard.state.metadata import Metadata

FIELDS_NAMED = 10
FIELDS_IN_STATUS = 3

_log = telemetry.get("heal")


class Drift(msgspec.Struct, frozen=True):
    """Why an object is looked at: the watch's last word about it. `at` is monotonic seconds; `gone` when the object was
    deleted or lost our label, which look the same.
    """

    metadata: Metadata
    at: float
    gone: bool = False


class Report:
    """`news` is told the Sync of an object about which a fight begins or ends."""

    def __init__(
        self,
        *,
        view: View,
        clock: Clock,
        references: References,
        write: Callable[[Record], None],
        healed: Callable[[str, str, float], None],
        news: Callable[[str], None],
    ) -> None:
        self._view = view
        self._clock = clock
        self._references = references
        self._write = write
        self._healed = healed
        self._news = news
        self._fights = Fights()
        self._lines: dict[ObjectKey, tuple[Declared, str]] = {}
        self._failing: dict[ObjectKey, str] = {}

    def fights(self, sync: str) -> tuple[str, ...]:
        """A line for each of a Sync's objects that is fought about."""
        return tuple(sorted(line for declared, line in self._lines.values() if declared.sync == sync))

    def pause(self, key: ObjectKey, known: Known | None, drift: Drift) -> float:
        """Seconds to wait before this drift is undone."""
        return self._fights.delay(key, frozenset(taken(known, drift)), at=self._clock.monotonic())

    def is_quiet(self) -> bool:
        """Whether no object was healed lately, so that nothing can end."""
        return not len(self._fights)

    def settle(self) -> None:
        """See which fights have ended."""
        for key, fight in self._fights.end(at=self._clock.monotonic()):
            self._ended(key, fight)

    def _ended(self, key: ObjectKey, fight: Fight) -> None:
        declared, _ = self._lines.pop(key)
        self._record(
            "fight-ended",
            declared,
            reason="FieldStays",
            paths=_named(fight.paths),
            managers=fight.managers,
            message=f"{key} stays as it is in Git, after {plural(fight.count, 'heal')}",
        )
        self._news(declared.sync)

    def restored(self, declared: Declared, known: Known | None, drift: Drift, applied: Applied) -> None:
        key, now = declared.key, self._clock.monotonic()
        if (over := self._fights.ended(key, at=now)) is not None:
            self._ended(key, over)
        took = now - drift.at
        way: Way = ("deleted" if applied.created else "unlabelled") if drift.gone else "changed"
        undone = (*(path for path in taken(known, drift) if path != UNSEEN), *applied.removed)
        changed = _changed(drift, undone)
        paths = _named(undone)
        managers = tuple(sorted({manager for found in changed.values() for manager in found}))
        reason = {"deleted": "Recreated", "unlabelled": "LabelRestored", "changed": "Restored"}[way]
        self._failing.pop(key, None)
        self._healed("gone" if drift.gone else "changed", "healed", took)
        self._record("healed", declared, reason=reason, paths=paths, managers=managers, took=took)
        fight = self._fights.healed(key, changed, way=way, at=now)
        if not fight.is_one:
            return
        begins, line = key not in self._lines, self._line(declared, fight, at=now)
        self._lines[key] = declared, line
        if begins:
            paths = _named(fight.paths)
            self._record("fight", declared, reason="FieldKeepsComingBack", paths=paths, managers=fight.managers, message=line)
            self._news(declared.sync)

    def is_right(self, key: ObjectKey) -> None:
        """There is nothing wrong with the object any more."""
        self._failing.pop(key, None)

    def failed(self, declared: Declared, drift: Drift, error: ClusterError) -> None:
        """An object that stays as it is, whatever is tried, is told of once for each reason."""
        took = self._clock.monotonic() - drift.at
        self._healed("gone" if drift.gone else "changed", "failed", took)
        message = told(error, declared.secrecy)
        if self._failing.get(declared.key) == message:
            return
        self._failing[declared.key] = message
        reason = error.reason if isinstance(error, ApiStatusError) else "Unreachable"
        self._record("heal-failed", declared, reason=reason, took=took, message=message)

    def _line(self, declared: Declared, fight: Fight, *, at: float) -> str:
        key = declared.key
        who = printable(" and ".join(fight.managers))
        by = f" by {who}" if who else ""
        what = {"deleted": "keeps being deleted", "unlabelled": "keeps losing Guard's label", "changed": "keeps being changed"}
        named = [printable(path) for path in _texts(declared, _named(fight.paths))]
        more = f" and {plural(len(named) - FIELDS_IN_STATUS, 'field')} more" if len(named) > FIELDS_IN_STATUS else ""
        subject = f"{key}: {', '.join(named[:FIELDS_IN_STATUS])}{more}" if named else str(key)
        way = fight.way if WHOLE in fight.paths else "changed"
        tried = rfc3339_seconds(self._clock.now() + timedelta(seconds=fight.next - at))
        return f"{subject} {what[way]}{by} (healed {fight.count} times, next try at {tried})"

    def _record(
        self,
        event: Event,
        declared: Declared,
        *,
        reason: str,
        paths: tuple[Path, ...] = (),
        managers: tuple[str, ...] = (),
        took: float = 0.0,
        message: str = "",
    ) -> None:
        key = declared.key
        _log.info(event, object=str(key), reason=reason, took_ms=round(took * 1000, 1), managers=managers)
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event=event,
                reason=reason,
                sync=declared.sync,
                revision=self._view.state.revision(declared.sync),
                group=key.group,
                kind=key.kind,
                namespace=key.namespace,
                name=key.name,
                origin=str(declared.origin),
                fields=tuple(FieldChange(path=path) for path in _texts(declared, paths[:FIELDS_NAMED])),
                managers=managers,
                took_ms=round(took * 1000, 1),
                message=message,
            )
        )


def taken(known: Known | None, drift: Drift) -> tuple[Path, ...]:
    """The declared fields that somebody has taken from our entry, as far as metadata shows."""
    if drift.gone:
        return (WHOLE,)
    if known is None or not drift.metadata.resource_version:
        return (UNSEEN,)
    return tuple(known.fields.minus(drift.metadata.our_fields).paths()) or (UNSEEN,)


def _named(paths: frozenset[Path] | tuple[Path, ...]) -> tuple[Path, ...]:
    """Those that are fields, in the order of a tuple."""
    found = [path for path in paths if path not in {WHOLE, UNSEEN}]
    return tuple(sorted(found) if isinstance(paths, frozenset) else found)


def _texts(declared: Declared, paths: tuple[Path, ...]) -> tuple[str, ...]:
    """The paths for people, as far as they are shown, each once."""
    return tuple(dict.fromkeys(fields.written(declared.secrecy.shown(path)) for path in paths))


def _changed(drift: Drift, paths: tuple[Path, ...]) -> dict[Path, tuple[str, ...]]:
    """The fields that were put right, each with the managers that held it in the drifted object. Where nothing shows which field
    it was, who wrote last.
    """
    entries = [entry for entry in drift.metadata.entries if not entry.is_ours]
    if paths:
        return {path: tuple(sorted({entry.manager for entry in entries if path in entry.fields})) for path in paths}
    newest = max((entry.time or "" for entry in entries), default="")
    return {UNSEEN: tuple(sorted({entry.manager for entry in entries if entry.time == newest and not entry.subresource}))}
