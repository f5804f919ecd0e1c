from __future__ import annotations

import json

from guard.audit import Counts, FieldChange, Record


def test_a_record_is_one_line_of_camel_case_without_what_is_empty() -> None:
    line = Record(
        time="2026-01-02T03:04:05.678Z",
        id="01J",
        event="denied",
        kind="Deployment",
        dry_run=True,
        took_ms=1.5,
        fields=(FieldChange(path="spec.replicas", git="3", asked="5"),),
    ).line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05.678Z",
        "id": "01J",
        "event": "denied",
        "kind": "Deployment",
        "dryRun": True,
        "tookMs": 1.5,
        "fields": [{"path": "spec.replicas", "git": "3", "asked": "5"}],
    }


def test_a_newline_in_a_message_does_not_end_the_line() -> None:
    line = Record(time="t", id="1", event="sync-failed", message="first\nsecond", counts=Counts(applied=3)).line()
    assert line.count(b"\n") == 1
    assert json.loads(line)["message"] == "first\nsecond"
    assert json.loads(line)["counts"] == {"applied": 3}


def test_text_that_utf8_cannot_hold_is_escaped_not_lost() -> None:
    line = Record(time="t", id="1", event="denied", user="a\udcff", groups=("b\udcff",)).line()
    assert json.loads(line)["user"] == "a\\udcff"
    assert json.loads(line)["groups"] == ["b\\udcff"]
