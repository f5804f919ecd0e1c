"""What `manifest_of` reads off an object is applied to a real API server, and makes the very same object of it."""

from __future__ import annotations

import pytest

from guard.apply import prepare
from guard.base.codec import JsonObject, child
from guard.cluster import Client
from guard.state.equality import same
from guard.state.fields import at, written
from guard.state.ids import Kind
from guard.state.managed import our_fields, reaches_below
from guard.state.rebuilt import is_ours, manifest_of
from tests.state.test_stored_server import MANIFESTS, answered, with_account


def kind_of(body: JsonObject) -> Kind:
    group, _, version = body["apiVersion"].rpartition("/")
    return Kind(group=group, version=version, kind=body["kind"], resource="", namespaced=True)


@pytest.mark.parametrize(
    "body", MANIFESTS, ids=[f"{one['apiVersion']} {one['kind']} {one['metadata']['name']}" for one in MANIFESTS]
)
async def test_what_is_read_off_an_object_is_the_object(client: Client, namespace: str, body: JsonObject) -> None:
    await with_account(client, namespace)
    live = await answered(client, prepare(body, label="guard-system.apps"), namespace=namespace)
    assert is_ours(live)
    manifest = manifest_of(live, kind_of(body))
    if body["kind"] == "Node" and child(body, "spec").get("taints"):
        assert manifest is None
        return
    assert manifest is not None
    again = await answered(client, manifest, namespace=namespace)
    owned, owned_again = our_fields(live), our_fields(again)
    differing = {
        written(path) for path, value in owned.walk(live) if owned.below(path) == {} and not same(value, at(again, path))
    }
    assert differing == set()
    # No field is given up; one that was declared empty, and filled with defaults, is then declared with them.
    assert {written(path) for path in owned.minus(owned_again).paths() if not reaches_below(owned_again, path)} == set()
    # None is gained but such defaults, and none is asked of whoever gave it to us.
    gained = {
        written(path) for path in owned_again.minus(owned).paths() if not any(path[:depth] in owned for depth in range(len(path)))
    }
    assert gained == set()
