from __future__ import annotations

from guard.api import Sync, parse_sync
from guard.base.codec import Json, JsonObject
from guard.sync import compiled

APPLIED: JsonObject = {"lastAppliedRevision": "main@sha1:a"}
KINDS: JsonObject = {
    "kinds": [{"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments", "namespaced": True}]
}


def sync(name: str, status: JsonObject | None = None, **spec: Json) -> Sync:
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}, **spec},
        "status": status or {},
    }
    return parse_sync(body, where="test")


def test_what_is_not_loaded_is_known_by_its_label() -> None:
    policy = compiled([sync("a"), sync("b")], loaded={"ns/a"}, sync_user="me")
    assert policy.unloaded == {"ns.b": "ns/b"}


def test_only_what_has_applied_something_has_a_stake() -> None:
    syncs = [sync("new"), sync("revision", APPLIED), sync("kinds", KINDS), sync("loaded", APPLIED)]
    policy = compiled(syncs, loaded={"ns/loaded"}, sync_user="me")
    assert policy.staked == {"ns/revision", "ns/kinds"}
    assert set(policy.unloaded.values()) == {"ns/new", "ns/revision", "ns/kinds"}


def test_a_sync_that_cannot_be_read_protects_what_it_applied() -> None:
    policy = compiled([], loaded=(), unread={"ns/broken"}, sync_user="me")
    assert policy.unloaded == {"ns.broken": "ns/broken"}
    assert policy.staked == {"ns/broken"}


def test_a_loaded_sync_that_cannot_be_read_any_more_stays_as_it_was() -> None:
    policy = compiled([sync("a")], loaded={"ns/a"}, unread={"ns/a"}, sync_user="me")
    assert (policy.unloaded, policy.staked, set(policy.syncs)) == ({}, frozenset(), {"ns/a"})


def test_what_may_be_encrypted_is_known_by_its_sync_also_where_that_cannot_be_read() -> None:
    syncs = [sync("plain"), sync("keys", decryption={"secretRef": {"name": "keys"}})]
    assert compiled(syncs, loaded={"ns/keys"}, unread={"ns/broken"}, sync_user="me").decrypting == {"ns/keys", "ns/broken"}
