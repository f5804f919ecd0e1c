from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.state import fingerprint
from tests.state.samples import LABEL_FIELD, entry, ours, owned

OURS = ours(LABEL_FIELD)


def seen(*entries: JsonObject) -> bytes:
    return fingerprint({"metadata": {"managedFields": list(entries), "resourceVersion": "5"}}).digest


@pytest.mark.parametrize(
    "changed",
    [
        [ours(LABEL_FIELD, time="2026-01-02T03:04:06Z")],
        [ours(owned("f:data f:color"))],
        [],
        [OURS, entry("kubectl-edit", owned("f:data f:more"))],
    ],
    ids=["our-time-moved", "our-fields-changed", "our-entry-gone", "a-person-added"],
)
def test_what_touches_our_entry_or_comes_from_a_persons_tool_is_another_digest(changed: list[JsonObject]) -> None:
    assert seen(*changed) != seen(OURS)


def test_controllers_entries_leave_the_digest_alone() -> None:
    controller = entry("operator", owned("f:spec f:replicas"))
    assert seen(controller, OURS) == seen(OURS)


def test_an_update_under_our_name_is_not_ours() -> None:
    assert seen({**OURS, "operation": "Update"}, OURS) != seen(OURS)


def test_a_heartbeat_moves_the_status_alone() -> None:
    beat = entry("kubelet", owned("f:status f:conditions"), subresource="status")
    body = {"metadata": {"managedFields": [OURS, beat], "generation": 3}}
    later = {"metadata": {"managedFields": [OURS, {**beat, "time": "2026-01-02T03:05:05Z"}], "generation": 3}}
    before, after = fingerprint(body), fingerprint(later)
    assert before.digest == after.digest
    assert before.status != after.status
    assert (before.generation, fingerprint({"metadata": {}}).generation) == (3, 0)
