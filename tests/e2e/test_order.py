"""The order of what Git declares is part of it, and so is that each list key stands there once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import World, widget
from tools.controlplane import KubectlError

TWO_OF_EACH = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: default
spec:
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      initContainers:
        - {{name: first, image: busybox}}
        - {{name: second, image: busybox}}
      containers:
        - name: web
          image: nginx:1.25
          args: [a, b]
          env:
            - {{name: A, value: "1"}}
            - {{name: B, value: $(A)}}
          ports:
            - {{containerPort: 80}}
            - {{containerPort: 81}}
        - {{name: side, image: busybox}}
"""


def pod(deployment: JsonObject) -> JsonObject:
    found: JsonObject = deployment["spec"]["template"]["spec"]
    return found


LISTS: dict[str, Callable[[JsonObject], list[JsonObject]]] = {
    "containers": lambda found: pod(found)["containers"],
    "initContainers": lambda found: pod(found)["initContainers"],
    "env": lambda found: pod(found)["containers"][0]["env"],
    "ports": lambda found: pod(found)["containers"][0]["ports"],
    "args": lambda found: pod(found)["containers"][0]["args"],
}


@pytest.mark.case(16)
async def test_reordering_what_git_declares_is_refused(world: World, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": TWO_OF_EACH.format(name=fresh)})
    before = await world.get(f"deployment/{fresh}", "default")
    for name, items in LISTS.items():
        body: JsonObject = codec.decode(codec.encode(before))
        items(body).reverse()
        refused = await world.refused("replace", "-f", "-", text=codec.encode(body).decode())
        assert name in refused.stderr
    assert await world.get(f"deployment/{fresh}", "default") == before
    # As it is, it may be put.
    await world.plane.kubectl("replace", "-f", "-", input=codec.encode(before).decode())


@pytest.mark.case(16)
@pytest.mark.parametrize(("name", "said"), [("env", "env[name=A]"), ("ports", "ports[")])
async def test_doubling_a_list_key_is_refused(world: World, fresh: str, name: str, said: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": TWO_OF_EACH.format(name=fresh)})
    before = await world.get(f"deployment/{fresh}", "default")
    body: JsonObject = codec.decode(codec.encode(before))
    items = LISTS[name](body)
    items.append(dict(items[0]))
    refused = await world.refused("replace", "-f", "-", text=codec.encode(body).decode())
    assert said in refused.stderr
    assert "appears twice" in refused.stderr
    assert await world.get(f"deployment/{fresh}", "default") == before


@pytest.mark.case(16)
async def test_members_of_a_set_keep_their_order(world: World, widgets: str, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, widgets, "{tags: [a, b, c]}")})
    resource = f"widgets.{widgets}/{fresh}"
    before = await world.get(resource, "default")
    for tags in (["c", "b", "a"], ["a", "b"], ["a", "b", "c", "d"]):
        patch = codec.encode({"spec": {"tags": tags}}).decode()
        refused = await world.refused("patch", resource, "--type=merge", "-p", patch)
        assert "spec.tags" in refused.stderr
    assert await world.get(resource, "default") == before
    # The API server takes no member twice.
    with pytest.raises(KubectlError, match="Duplicate value"):
        await world.plane.kubectl("patch", resource, "--type=merge", '-p={"spec":{"tags":["a","a"]}}')
