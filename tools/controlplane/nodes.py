"""A node that kwok plays, and a stand-in for the scheduler: enough for pods to run as far as their owners can see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp

from guard.base.codec import Json, children
from guard.base.errors import ApiStatusError

STAGES: Final = Path(__file__).with_name("stages.yaml")
NODE: Final = "kwok"
BIND_SECONDS = 0.1

Call = Callable[..., Awaitable[Json]]


async def make_node(call: Call) -> None:
    await call("POST", "/api/v1/nodes", body={"metadata": {"name": NODE}})


async def is_ready(call: Call) -> bool:
    """Whether kwok has taken the node over, and the node controller lets pods onto it."""
    node = await call("GET", f"/api/v1/nodes/{NODE}")
    conditions = children(node["status"], "conditions")
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions) and not node["spec"].get("taints")


async def bind_all(call: Call) -> None:
    """Put every pod that has no node onto the only one there is, until cancelled.

    This stands in for kube-scheduler, of which nothing but the outcome is needed: it looks at neither resources nor affinities.
    """
    while True:
        try:
            answer = await call("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3D&resourceVersion=0")
            for pod in children(answer, "items"):
                await _bind(call, pod["metadata"]["namespace"], pod["metadata"]["name"])
        except (ApiStatusError, aiohttp.ClientError, TimeoutError):
            pass  # the API server is away, as a test may want it
        await asyncio.sleep(BIND_SECONDS)


async def _bind(call: Call, namespace: str, name: str) -> None:
    body = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
    try:
        await call("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", body=body)
    except ApiStatusError as error:
        if error.code not in (404, 409):  # gone, or bound meanwhile: the list comes from a cache
            raise
