from __future__ import annotations

from datetime import UTC, datetime

import pytest

from guard.api import Sync, SyncStatus, parse_sync
from guard.base.codec import JsonObject
from guard.base.errors import DependencyCycle, DependencyError
from guard.sync.dependencies import check
from guard.sync.status import Outcome, advanced

NEW, OLD = "main@sha1:b", "main@sha1:a"


def sync(
    name: str,
    *needs: str,
    url: str = "https://git.example.com/deploy",
    bucket: JsonObject | None = None,
    generation: int = 1,
) -> Sync:
    namespace, _, short = name.partition("/")
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": short, "namespace": namespace, "generation": generation},
        "spec": {
            "source": {"bucket": bucket} if bucket else {"git": {"url": url}},
            "dependsOn": [dict(zip(("namespace", "name"), need.split("/"), strict=True)) for need in needs],
        },
    }
    return parse_sync(body, where="test")


def status(of: Sync, *, ready: bool = True, revision: str = NEW, message: str = "fine") -> SyncStatus:
    outcome = Outcome(ready=ready, reason="Applied", message=message, applied_revision=revision)
    return advanced(of, SyncStatus(), outcome, now=datetime(2026, 1, 2, tzinfo=UTC))


def refused(of: Sync, *others: tuple[Sync, SyncStatus]) -> str:
    with pytest.raises(DependencyError) as caught:
        checked(of, *others)
    return str(caught.value)


def checked(of: Sync, *others: tuple[Sync, SyncStatus]) -> None:
    check(of, NEW, find={other.key: (other, found) for other, found in others}.get)


APPS, INFRA = sync("shop/apps", "shop/infra"), sync("shop/infra")


def test_nothing_is_waited_for_where_all_is_ready() -> None:
    checked(INFRA)
    checked(APPS, (INFRA, status(INFRA)))


def test_a_bucket_is_the_same_source_where_the_same_is_read_of_it() -> None:
    whole: JsonObject = {"name": "deploy", "endpoint": "https://s3.example.com"}
    apps = sync("shop/apps", "shop/infra", bucket=whole)
    same, part = sync("shop/infra", bucket=whole), sync("shop/infra", bucket={**whole, "include": ["*.yaml"]})
    assert "to apply" in refused(apps, (same, status(same, revision=OLD)))
    checked(apps, (part, status(part, revision=OLD)))


def test_a_sync_that_is_not_there_is_named() -> None:
    assert "Sync shop/infra, which does not exist" in refused(APPS)


def test_a_sync_that_is_not_ready_is_named_with_what_it_says() -> None:
    assert "Sync shop/infra, which is not ready: it burns" in refused(
        APPS, (INFRA, status(INFRA, ready=False, message="it burns"))
    )
    assert "not ready" in refused(APPS, (INFRA, SyncStatus()))


def test_what_a_sync_elsewhere_says_is_not_a_tenants_to_read() -> None:
    platform = sync("guard-system/infra")
    said = status(platform, ready=False, message="Secret guard-system/vault burns")
    assert "vault" not in refused(sync("shop/apps", "guard-system/infra"), (platform, said))
    assert "vault" in refused(sync("guard-system/apps", "guard-system/infra"), (platform, said))


def test_a_sync_whose_newest_spec_was_not_looked_at_is_not_ready() -> None:
    assert "not ready" in refused(APPS, (sync("shop/infra", generation=2), status(INFRA)))


def test_of_one_source_the_other_has_to_be_at_the_same_revision() -> None:
    assert f"to apply {NEW}" in refused(APPS, (INFRA, status(INFRA, revision=OLD)))
    elsewhere = sync("shop/infra", url="https://git.example.com/infra")
    checked(APPS, (elsewhere, status(elsewhere, revision=OLD)))


def test_a_cycle_is_told_as_one() -> None:
    one, two, three = sync("a/one", "a/two"), sync("a/two", "a/three"), sync("a/three", "a/one")
    with pytest.raises(DependencyCycle, match="a/one -> a/two -> a/three -> a/one"):
        checked(one, (one, status(one)), (two, status(two)), (three, status(three)))


def test_who_depends_on_itself_is_told_so() -> None:
    one = sync("a/one", "a/one")
    with pytest.raises(DependencyCycle, match="it depends on itself"):
        checked(one, (one, status(one)))


def test_who_depends_on_a_cycle_waits_for_it() -> None:
    outside, two, three = sync("a/one", "a/two"), sync("a/two", "a/three"), sync("a/three", "a/two")
    assert "not ready" in refused(outside, (two, status(two, ready=False)), (three, status(three)))
