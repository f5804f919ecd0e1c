"""Break-glass: enforcement and healing stop for exactly what was opened, and what Git says comes back when that ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children
from tests.e2e.conftest import App, World
from tools.guardrun import eventually

PERSON = "ada@example.com"
REASON = "the shop is down"
APIS = "/apis/gitopsguard.dev/v1alpha1/namespaces"


def document(namespace: str, target: JsonObject, *, name: str = "glass", duration: str = "10m", **spec: Json) -> JsonObject:
    return {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "BreakGlass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"target": target, "duration": duration, "reason": REASON, "by": PERSON, **spec},
    }


def web(namespace: str) -> JsonObject:
    return {"object": {"group": "apps", "kind": "Deployment", "name": "web", "namespace": namespace}}


class Glass:
    """One BreakGlass, made by kubectl as a person."""

    def __init__(self, world: World, body: JsonObject) -> None:
        self.world = world
        self.body = body
        self.namespace, self.name = body["metadata"]["namespace"], body["metadata"]["name"]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def make(self) -> Glass:
        await self.world.plane.kubectl("create", "-f", "-", input=codec.pretty(self.body))
        await self.becomes("Active")
        return self

    async def becomes(self, condition: str, *, seconds: float = 20.0) -> None:
        async def is_so() -> bool:
            found = children(child(await self.get(), "status"), "conditions")
            return any(one["type"] == condition and one["status"] == "True" for one in found)

        await eventually(is_so, what=f"{self.key} is {condition}; the log ends:\n{self.world.guard.tail()}", seconds=seconds)

    async def get(self) -> JsonObject:
        return await self.world.get(f"breakglass/{self.name}", self.namespace)

    async def end(self) -> None:
        await self.world.plane.kubectl("delete", "breakglass", self.name, "-n", self.namespace)

    def events(self, *names: str) -> list[JsonObject]:
        found = [record for record in self.world.guard.records() if record.get("breakGlass") == self.key]
        return [record for record in found if not names or record["event"] in names]


async def image(world: World, namespace: str) -> str:
    body = await world.get("deployment/web", namespace)
    return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


async def set_image(world: World, namespace: str, wanted: str) -> None:
    await world.plane.kubectl("set", "image", "deployment/web", f"web={wanted}", "-n", namespace)


async def heals(world: World, namespace: str, wanted: str = "nginx:1.25") -> None:
    async def is_back() -> bool:
        return await image(world, namespace) == wanted

    await eventually(is_back, what=f"{namespace}/web is {wanted}; the log ends:\n{world.guard.tail()}")


async def stays(world: World, namespace: str, wanted: str) -> None:
    """Whatever Guard does by itself, and when the Sync is reconciled."""
    await world.settled()
    assert await image(world, namespace) == wanted


async def test_an_open_object_is_neither_refused_nor_healed_and_comes_back_when_it_ends(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, web(ns))).make()
    changed = await world.plane.kubectl("set", "image", "deployment/web", "web=nginx:2", "-n", ns)
    assert f"Warning: Open by break-glass {ns}/glass: this is recorded" in changed.stderr
    await world.plane.kubectl("scale", "deployment/web", "--replicas=7", "-n", ns)
    await world.plane.kubectl("annotate", "deployment/web", "note=mine", "-n", ns)
    await stays(world, ns, "nginx:2")
    # Another object beside it is refused as ever.
    await world.refused("patch", "configmap", "settings", "-n", ns, "-p", '{"data":{"color":"red"}}')
    await world.refused("delete", "service", "web", "-n", ns)
    await glass.end()
    await heals(world, ns)

    async def is_as_declared() -> bool:
        body = await world.get("deployment/web", ns)
        return body["spec"]["replicas"] == 2 and "note" not in child(body["metadata"], "annotations")

    await eventually(is_as_declared, what=f"all of it is back; the log ends:\n{world.guard.tail()}")
    await world.refused("set", "image", "deployment/web", "web=nginx:2", "-n", ns)

    opened, *used, ended = glass.events()
    assert (opened["event"], opened["user"], opened["groups"][0]) == ("break-glass-opened", PERSON, "platform")
    assert REASON in opened["message"]
    assert {record["event"] for record in used} == {"break-glass-used"}
    assert [record["reason"] for record in used] == ["DeclaredFieldChanged", "ReplicasDeclared", "Addition"]
    assert used[0]["fields"][0]["asked"] == "nginx:2"
    assert (ended["event"], ended["user"], ended["reason"]) == ("break-glass-ended", PERSON, "Deleted")
    assert any(record["event"] == "healed" for record in world.recorded("web", ns))


async def test_it_ends_by_itself(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, web(ns), duration="5s")).make()
    await set_image(world, ns, "nginx:2")
    assert await world.guard.metric("guard_break_glass_active") >= 1
    await glass.becomes("Expired")
    await heals(world, ns)
    await world.refused("set", "image", "deployment/web", "web=nginx:2", "-n", ns)
    body = await glass.get()
    begun = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    assert datetime.fromisoformat(body["status"]["expiresAt"]) == begun + timedelta(seconds=5)
    assert body["status"]["by"] == PERSON
    assert [record["event"] for record in glass.events()][-1] == "break-glass-expired"


async def test_what_was_deleted_or_cut_loose_meanwhile_comes_back(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, {"namespace": ns})).make()
    await world.plane.kubectl("delete", "service", "web", "-n", ns)
    await world.plane.kubectl("label", "configmap", "settings", "gitopsguard.dev/sync-", "-n", ns)
    await world.plane.kubectl("patch", "configmap", "settings", "-n", ns, "-p", '{"data":{"color":"red"}}')
    await world.plane.kubectl("label", "namespace", ns, "team=red")
    await set_image(world, ns, "nginx:2")
    await stays(world, ns, "nginx:2")
    assert not await world.exists("service", "web", ns)
    await glass.end()
    await heals(world, ns)

    async def is_back() -> bool:
        if not await world.exists("service", "web", ns):
            return False
        found = await world.get("configmap/settings", ns)
        space = await world.get(f"namespace/{ns}", ns)
        return (
            found["data"]["color"] == "blue"
            and found["metadata"]["labels"]["gitopsguard.dev/sync"] == "guard-system.apps"
            and "team" not in space["metadata"]["labels"]
        )

    await eventually(is_back, what=f"the Service, the label and the value are back; the log ends:\n{world.guard.tail()}")
