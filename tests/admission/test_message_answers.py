"""How the judge puts a decision's words into the answer to the API server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from guard.admission import Judge, Located
from guard.audit import Record, References
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.state import Declared, Policy
from guard.state.fields import Path
from guard.state.policy import Enforcement, Mode
from guard.telemetry import Metrics
from tests.state.samples import CONFIG_MAP, LABEL_FIELD, REVISION, SYNC, declared_as, lesson, object_of, ours, owned, view_of


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Asked:
    """A judge over one ConfigMap, with what it asked about its place and what it recorded."""

    def __init__(self, mode: Mode = "Deny") -> None:
        declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "blue"}))
        fields = {**LABEL_FIELD, **owned("f:data f:color")}
        self.view = view_of(declared, learned={declared.key: lesson(declared, fields)})
        self.old = object_of(CONFIG_MAP, data={"color": "blue"}, metadata={"managedFields": [ours(fields)]})
        self.paths: list[tuple[Path, ...]] = []
        self.records: list[Record] = []
        self.judge = Judge(
            view=self.view,
            policy=lambda: Policy(syncs={SYNC: Enforcement(mode=mode)}),
            write=self.records.append,
            references=References(Still()),
            clock=Still(),
            meter=Metrics(),
            locate=self.locate,
        )

    def locate(self, _declared: Declared, paths: tuple[Path, ...]) -> Located:
        self.paths.append(paths)
        return Located(lines=(23,), url="https://github.com/a/b")

    def change(self, **data: Json) -> JsonObject:
        request = {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "operation": "UPDATE",
            "name": "web",
            "namespace": "shop",
            "userInfo": {"username": "ada@example.com"},
            "object": {**self.old, "data": data},
            "oldObject": self.old,
        }
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        response: JsonObject = codec.decode(self.judge.respond(codec.encode(body)))["response"]
        return response


def test_a_denial_is_a_status_that_tools_can_read() -> None:
    asked = Asked()
    answer = asked.change(color="red")
    assert answer["allowed"] is False
    status = answer["status"]
    assert (status["status"], status["code"], status["reason"]) == ("Failure", 403, "Forbidden")
    assert {name: status["details"][name] for name in ("name", "group", "kind")} == {
        "name": "web",
        "group": "",
        "kind": "configmaps",
    }
    assert [cause.get("field", "") for cause in status["details"]["causes"]] == ["", "data.color"]
    assert "\nChange it in Git: apps/web.yaml:23 (main@3f2c1ab) https://github.com/a/b\n" in status["message"]
    (record,) = asked.records
    assert answer["auditAnnotations"] == {
        "reason": "DeclaredFieldChanged",
        "reference": record.id,
        "sync": SYNC,
        "revision": REVISION,
        "fields": "data.color",
    }
    assert asked.paths == [(("f:data", "f:color"),)]


@pytest.mark.parametrize(("mode", "warnings", "lookups"), [("Warn", 3, 1), ("Audit", 0, 0)])
def test_only_what_somebody_reads_is_looked_up(mode: Mode, warnings: int, lookups: int) -> None:
    asked = Asked(mode)
    answer = asked.change(color="red")
    assert answer["allowed"] is True
    assert len(answer["warnings"] if warnings else ()) == warnings == len(answer.get("warnings", ()))
    assert len(asked.paths) == lookups
    assert answer["auditAnnotations"]["fields"] == "data.color"


def test_what_is_allowed_asks_for_no_place() -> None:
    asked = Asked()
    assert asked.change(color="blue") == {"uid": "1", "allowed": True}
    assert asked.paths == []


def test_a_review_that_cannot_be_judged_is_a_bad_request() -> None:
    status = Asked().change(color="red", **{"\x1b": "a"})["status"]
    assert "\x1b" not in status["message"]
    asked = Asked()
    asked.old = {**asked.old, "metadata": {**asked.old["metadata"], "managedFields": "\x1b"}}
    answer = asked.change(color="red")
    assert answer["allowed"] is False
    assert (answer["status"]["code"], answer["status"]["reason"]) == (400, "BadRequest")
    assert answer["status"]["message"].isprintable()
