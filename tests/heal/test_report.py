from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from guard.apply import Applied
from guard.audit import Record, References
from guard.heal import Drift, Report
from guard.heal.fights import HEALS, MOST_FIELDS, WINDOW_SECONDS
from guard.state.desired import Declared
from guard.state.fields import Path
from guard.state.metadata import Metadata
from tests.breakglass.clocks import SetClock
from tests.state.samples import CONFIG_MAP, SYNC, declared_as, object_of, view_of

WEB = declared_as(CONFIG_MAP, object_of(CONFIG_MAP))
COLOR: Path = ("f:data", "f:color")


class Told:
    """A report, and what it says of heals of one config map."""

    def __init__(self, declared: Declared = WEB) -> None:
        self.declared = declared
        self.clock = SetClock(datetime(2026, 1, 2, tzinfo=UTC))
        self.records: list[Record] = []
        self.report = Report(
            view=view_of(declared),
            clock=self.clock,
            references=References(self.clock),
            write=self.records.append,
            healed=lambda _cause, _result, _seconds: None,
            news=lambda _sync: None,
        )

    def heals(self, *paths: Path, times: int = 1) -> None:
        drift = Drift(metadata=Metadata(), at=self.clock.monotonic())
        for _ in range(times):
            self.report.restored(self.declared, None, drift, Applied(changed=True, created=False, removed=paths))

    def passes(self, seconds: float) -> None:
        self.clock.passes(seconds)
        self.report.settle()

    @property
    def events(self) -> list[str]:
        return [record.event for record in self.records if record.event != "healed"]


def test_a_fight_that_begins_anew_when_its_time_was_over_ends_like_any() -> None:
    told = Told()
    told.heals(COLOR, times=HEALS)
    assert told.report.fights(SYNC)
    # Nobody has looked since, when the other side comes back.
    told.clock.passes(2 * WINDOW_SECONDS)
    told.heals(COLOR)
    assert told.report.fights(SYNC) == ()
    assert told.events == ["fight", "fight-ended"]
    told.passes(2 * WINDOW_SECONDS)
    assert told.events == ["fight", "fight-ended"]
    assert told.report.is_quiet()


def test_a_fight_about_one_field_ends_though_many_others_were_healed_beside_it() -> None:
    told = Told()
    told.heals(COLOR, times=HEALS)
    for number in range(MOST_FIELDS + 1):
        told.heals(("f:data", f"f:field-{number}"))
    (line,) = told.report.fights(SYNC)
    assert "data.color keeps being changed" in line
    told.passes(2 * WINDOW_SECONDS)
    assert told.report.fights(SYNC) == ()
    assert told.events == ["fight", "fight-ended"]


@pytest.mark.case(39)
def test_items_of_what_is_encrypted_in_git_are_not_named() -> None:
    for confidential in (False, True):
        told = Told(structs.replace(WEB, confidential=confidential))
        told.heals(("f:spec", "f:tags", 'v:"hunter2"'), ("f:spec", "f:tags", 'v:"hunter3"'), times=HEALS)
        said = repr((told.records, told.report.fights(SYNC)))
        assert "spec.tags" in said
        assert ("hunter" in said) is not confidential
