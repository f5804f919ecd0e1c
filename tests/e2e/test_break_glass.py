"""Break-glass: enforcement and healing stop for exactly what was opened, and what Git says comes back when that ends."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children
from tests.e2e.conftest import App, World, config_map
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

    async def becomes(self, condition: str) -> None:
        async def is_so() -> bool:
            found = children(child(await self.get(), "status"), "conditions")
            return any(one["type"] == condition and one["status"] == "True" for one in found)

        await eventually(is_so, what=lambda: f"{self.key} is {condition}; the log ends:\n{self.world.guard.tail()}")

    async def get(self) -> JsonObject:
        return await self.world.get(f"breakglass/{self.name}", self.namespace)

    async def end(self) -> None:
        await self.world.plane.kubectl("delete", "breakglass", self.name, "-n", self.namespace)

    def events(self, *names: str) -> list[JsonObject]:
        found = [record for record in self.world.guard.records() if record.get("breakGlass") == self.key]
        return [record for record in found if not names or record["event"] in names]


@asynccontextmanager
async def down(world: World) -> AsyncGenerator[None]:
    """Without Guard."""
    await world.guard.kill()
    try:
        yield
    finally:
        await world.guard.start()


async def image(world: World, namespace: str) -> str:
    body = await world.get("deployment/web", namespace)
    return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


async def set_image(world: World, namespace: str, wanted: str) -> None:
    await world.plane.kubectl("set", "image", "deployment/web", f"web={wanted}", "-n", namespace)


async def heals(world: World, namespace: str, wanted: str = "nginx:1.25") -> None:
    async def is_back() -> bool:
        return await image(world, namespace) == wanted

    await eventually(is_back, what=lambda: f"{namespace}/web is {wanted}; the log ends:\n{world.guard.tail()}")


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

    await eventually(is_as_declared, what=lambda: f"all of it is back; the log ends:\n{world.guard.tail()}")
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
    glass = await Glass(world, document(ns, web(ns), duration="15s")).make()
    await set_image(world, ns, "nginx:2")
    assert await world.guard.metric("guard_break_glass_active") >= 1
    await glass.becomes("Expired")
    await heals(world, ns)
    await world.refused("set", "image", "deployment/web", "web=nginx:2", "-n", ns)
    body = await glass.get()
    begun = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    assert datetime.fromisoformat(body["status"]["expiresAt"]) == begun + timedelta(seconds=15)
    assert body["status"]["by"] == PERSON
    assert [record["event"] for record in glass.events()][-1] == "break-glass-expired"


async def test_what_was_deleted_or_cut_loose_meanwhile_comes_back(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, {"namespace": ns})).make()
    await world.plane.kubectl("delete", "service", "web", "-n", ns)
    await world.plane.kubectl("label", "configmap", "settings", "gitopsguard.dev/sync-", "-n", ns)
    await world.plane.kubectl("patch", "configmap", "settings", "-n", ns, "-p", '{"data":{"color":"red"}}')
    await world.plane.kubectl("label", "namespace", ns, "team=red")
    await world.plane.kubectl("patch", "secret", "login", "-n", ns, "-p", '{"stringData":{"password":"wrong-horse"}}')
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

    await eventually(is_back, what=lambda: f"the Service, the label and the value are back; the log ends:\n{world.guard.tail()}")
    assert any(record["name"] == "login" for record in glass.events("break-glass-used"))
    told = codec.pretty(world.guard.records()) + world.guard.log.read_text()
    assert not any(value in told for value in ("wrong-horse", b64encode(b"wrong-horse").decode()))


async def test_a_commit_to_an_open_object_waits_and_the_rest_of_it_does_not(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, web(ns))).make()
    await set_image(world, ns, "nginx:2")
    text = app.text.replace("nginx:1.25", "nginx:1.30").replace("color: blue", "color: green")
    await world.declare({app.file: text})
    assert (await world.get("configmap/settings", ns))["data"]["color"] == "green"
    assert await image(world, ns) == "nginx:2"
    ready = next(one for one in (await world.guard.sync("apps"))["status"]["conditions"] if one["type"] == "Ready")
    assert ready["message"].endswith("; 1 object left to people by break-glass")
    await glass.end()
    await heals(world, ns, "nginx:1.30")

    async def says_so() -> bool:
        found = (await world.guard.sync("apps"))["status"]["conditions"]
        return "break-glass" not in next(one for one in found if one["type"] == "Ready")["message"]

    await eventually(says_so, what=lambda: f"the Sync leaves nothing to people; the log ends:\n{world.guard.tail()}")


async def test_what_git_drops_is_not_pruned_while_it_is_open(world: World, app: App) -> None:
    ns = app.namespace
    await world.declare({f"apps/{ns}-more.yaml": config_map("more", ns, "  a: b")})
    target = {"object": {"kind": "ConfigMap", "name": "more"}}
    glass = await Glass(world, document(ns, target)).make()
    await world.declare({f"apps/{ns}-more.yaml": None})
    await world.settled()
    assert await world.exists("configmap", "more", ns)
    await glass.end()

    async def is_gone() -> bool:
        return not await world.exists("configmap", "more", ns)

    await eventually(is_gone, what=lambda: f"it is pruned; the log ends:\n{world.guard.tail()}")


async def test_a_whole_sync_may_be_opened(world: World, app: App, fresh: str) -> None:
    sync = f"{fresh}-sync"
    await world.add_sync(sync, enforcement={"mode": "Deny"})
    body = document("guard-system", {"sync": {"name": sync}}, name=fresh)
    glass = await Glass(world, body).make()
    edit = ("patch", "configmap", f"{sync}-first", "-n", "default", "-p", '{"data":{"a":"c"}}')
    await world.plane.kubectl(*edit)
    await world.plane.kubectl("delete", "configmap", f"{sync}-first", "-n", "default")
    await world.settled(sync)
    assert not await world.exists("configmap", f"{sync}-first", "default")
    await world.refused("patch", "configmap", "settings", "-n", app.namespace, "-p", '{"data":{"color":"red"}}')
    await glass.end()

    async def is_back() -> bool:
        return await world.exists("configmap", f"{sync}-first", "default")

    await eventually(is_back, what=lambda: f"it is back; the log ends:\n{world.guard.tail()}")
    await world.refused(*edit)


async def test_a_namespace_is_deleted_only_when_all_in_it_is_open(world: World, app: App) -> None:
    ns = app.namespace
    dry = ("delete", "namespace", ns, "--dry-run=server")
    one = await Glass(world, document(ns, web(ns), name="one")).make()
    assert f"guard break-glass --namespace-wide -n {ns} " in (await world.refused(*dry)).stderr
    # The Namespace itself is one object more, and not what it holds.
    itself = {"object": {"kind": "Namespace", "name": ns}}
    two = await Glass(world, document("guard-system", itself, name=ns)).make()
    await world.refused(*dry)
    all_of_it = await Glass(world, document(ns, {"namespace": ns}, name="all")).make()
    await world.plane.kubectl(*dry)
    assert [record["dryRun"] for record in all_of_it.events("break-glass-used")] == [True]
    for glass in (one, two, all_of_it):
        await glass.end()


async def test_a_dry_run_opens_and_changes_nothing(world: World, app: App) -> None:
    ns = app.namespace
    body = codec.pretty(document(ns, web(ns)))
    await world.plane.kubectl("create", "-f", "-", "--dry-run=server", input=body)
    await world.refused("set", "image", "deployment/web", "web=nginx:2", "-n", ns)


async def test_an_exemption_lifts_the_refusal_and_break_glass_the_healing_too(world: World, fresh: str) -> None:
    sync = f"{fresh}-exempt"
    await world.add_sync(sync, enforcement={"exempt": [{"users": [PERSON]}]})
    edit = ("patch", "configmap", f"{sync}-first", "-n", "default", "-p", '{"data":{"a":"c"}}')

    async def value() -> object:
        return (await world.get(f"configmap/{sync}-first", "default"))["data"]["a"]

    async def is_healed() -> bool:
        return await value() == "b"

    await world.plane.kubectl(*edit)
    await eventually(is_healed, what="what an exempt person did is undone")
    target = {"object": {"kind": "ConfigMap", "name": f"{sync}-first"}}
    glass = await Glass(world, document("default", target, name=fresh)).make()
    await world.plane.kubectl(*edit)
    await world.settled(sync)
    assert await value() == "c"
    assert [record["reason"] for record in glass.events("break-glass-used")] == ["DeclaredFieldChanged"]
    await glass.end()
    await eventually(is_healed, what="what was done by break-glass is undone when it ends")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"duration": "4h1s"}, "break-glass may last 4h at most"),
        ({"duration": "999999h"}, "break-glass may last 4h at most"),
        ({"duration": "1d"}, "spec.duration"),
        ({"duration": "500ms"}, "must be at least 1s"),
        ({"reason": ""}, "spec.reason"),
        ({"reason": "  "}, "must say why"),
        ({"by": "bob@example.com"}, f"spec.by has to be your own user name: {PERSON}"),
        ({"by": ""}, f"spec.by has to be your own user name: {PERSON}"),
        ({"target": {}}, "exactly one of object, namespace and sync"),
        ({"target": {"namespace": "default", "sync": {"name": "apps"}}}, "exactly one of object, namespace and sync"),
        ({"target": {"namespace": "kube-system"}}, "opens only what is in its own namespace"),
        ({"target": {"sync": {"name": "apps", "namespace": "guard-system"}}}, "opens only what is in its own namespace"),
        (
            {"target": {"object": {"kind": "Secret", "name": "x", "namespace": "kube-system"}}},
            "opens only what is in its own namespace",
        ),
    ],
)
async def test_the_api_server_refuses_what_may_not_be(world: World, spec: JsonObject, said: str) -> None:
    body = document("default", web("default"), name="wrong")
    body["spec"] |= spec
    done = await world.plane.kubectl("create", "-f", "-", "--dry-run=server", check=False, input=codec.pretty(body))
    assert done.returncode != 0, done.stdout
    assert said in done.stderr


async def test_nobody_makes_more_of_one_or_says_what_came_of_it(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, web(ns))).make()
    for change in (
        {"spec": {"duration": "3h"}},
        {"spec": {"target": {"object": None, "namespace": ns}}},
        {"spec": {"by": "bob"}},
    ):
        patch = codec.encode(change).decode()
        done = await world.plane.kubectl("patch", "breakglass", "glass", "-n", ns, "--type=merge", "-p", patch, check=False)
        assert "cannot be changed; delete it and make another" in done.stderr, done.stdout
    forged = '{"status":{"conditions":[]}}'
    where = ("patch", "breakglass", "glass", "-n", ns, "--subresource=status", "--type=merge", "-p", forged)
    assert "this is Guard's own" in (await world.plane.kubectl(*where, check=False)).stderr
    where = ("patch", "breakglass", "glass", "-n", ns, "--type=merge", "-p", '{"metadata":{"labels":{"team":"red"}}}')
    await world.plane.kubectl(*where)
    await glass.end()


async def test_rbac_decides_who_may_and_where(world: World, app: App) -> None:
    ns, tenant = app.namespace, "tina@example.com"
    as_tenant = (f"--as={tenant}", "--as-group=system:authenticated")
    binding = ("create", "rolebinding", "glass", "-n", ns, "--clusterrole=guard-break-glass", f"--user={tenant}")
    body = document(ns, web(ns), by=tenant)

    async def tries(document_: JsonObject, *flags: str) -> str:
        done = await world.plane.kubectl(
            "create", "-f", "-", *flags, *as_tenant, identity="admin", check=False, input=codec.pretty(document_)
        )
        return done.stderr

    assert 'breakglasses.gitopsguard.dev is forbidden: User "tina@example.com" cannot create' in await tries(body)
    await world.plane.kubectl(*binding, identity="admin")

    async def may() -> bool:
        return not await tries(body, "--dry-run=server")

    await eventually(may, what="the binding counts")
    assert "cannot create" in await tries(document("guard-system", web(ns), by=tenant))
    assert "cannot create" in await tries(document("default", web(ns), by=tenant))
    assert not await tries(body)
    glass = Glass(world, body)
    await glass.becomes("Active")
    assert (await glass.get())["status"]["by"] == tenant
    await glass.end()


async def test_the_commands_open_list_and_end(world: World, app: App) -> None:
    ns = app.namespace
    opened = await world.guard.guard("break-glass", "deploy/web", "-n", ns, "--for", "30m", "--reason", REASON)
    assert opened.returncode == 0, opened.stderr
    assert f"Deployment {ns}/web is neither enforced nor healed until " in opened.stdout
    name = opened.stdout.splitlines()[-1].split()[-3]
    await set_image(world, ns, "nginx:2")
    listed = (await world.guard.guard("break-glass", "list", "-n", ns, "-o", "json")).json()
    assert [(row["name"], row["opens"], row["state"], row["by"], row["reason"]) for row in listed] == [
        (f"{ns}/{name}", f"Deployment {ns}/web", "Active", "admin", REASON)
    ]
    assert "Active" in (await world.guard.guard("break-glass", "list")).stdout
    explained = await world.guard.guard("explain", "deployment/web", "-n", ns)
    assert f"break-glass {ns}/{name}, and it is left so until that ends" in explained.stdout
    ended = await world.guard.guard("break-glass", "end", name, "-n", ns)
    assert ended.returncode == 0, ended.stderr
    await heals(world, ns)
    again = await world.guard.guard("break-glass", "end", "deployment/web", "-n", ns)
    assert (again.returncode, "nothing opens just" in again.stderr) == (2, True)
    audited = await world.guard.guard("audit", "--event", "break-glass-opened", "--name", "web", "-n", ns, "-o", "json")
    assert [record["breakGlass"] for record in audited.json()] == [f"{ns}/{name}"]
    too_long = await world.guard.guard("break-glass", "deploy/web", "-n", ns, "--for", "9h", "--reason", REASON)
    assert (too_long.returncode, "may last 4h at most" in too_long.stderr) == (2, True)
    wide = await world.guard.guard("break-glass", "--namespace-wide", "-n", ns, "--for", "30m", "--reason", REASON)
    assert wide.returncode == 0, wide.stderr
    await world.plane.kubectl("delete", "service", "web", "-n", ns)
    ended = await world.guard.guard("break-glass", "end", "--namespace-wide", "-n", ns)
    assert ended.returncode == 0, ended.stderr
    await eventually(lambda: world.exists("service", "web", ns), what="the Service is back")


async def test_it_outlives_a_restart_and_all_of_it_comes_back_at_its_end(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, {"namespace": ns})).make()
    await set_image(world, ns, "nginx:2")
    await world.plane.kubectl("delete", "service", "web", "-n", ns)
    async with down(world):
        pass
    await stays(world, ns, "nginx:2")
    assert not await world.exists("service", "web", ns)
    # Seen by the Guard that runs now, and before it had applied anything here.
    await world.plane.kubectl("delete", "configmap", "settings", "-n", ns)
    await glass.end()
    await heals(world, ns)

    async def is_back() -> bool:
        return await world.exists("service", "web", ns) and await world.exists("configmap", "settings", ns)

    await eventually(is_back, what=lambda: f"what was deleted is back; the log ends:\n{world.guard.tail()}")
    assert [record["event"] for record in glass.events("break-glass-opened", "break-glass-ended")] == [
        "break-glass-opened",
        "break-glass-ended",
    ]


async def test_what_ended_while_guard_was_down_is_healed_at_its_start(world: World, app: App) -> None:
    ns = app.namespace
    glass = await Glass(world, document(ns, web(ns), name="first")).make()
    await set_image(world, ns, "nginx:2")
    settings = {"object": {"kind": "ConfigMap", "name": "settings"}}
    short = await Glass(world, document(ns, settings, duration="15s")).make()
    await world.plane.kubectl("patch", "configmap", "settings", "-n", ns, "-p", '{"data":{"color":"red"}}')
    async with down(world):
        await glass.end()
        end = datetime.fromisoformat((await short.get())["metadata"]["creationTimestamp"]) + timedelta(seconds=16)
        await eventually(lambda: datetime.now(UTC) > end, what="the other one is over, too")
    await heals(world, ns)

    async def is_blue() -> bool:
        return bool((await world.get("configmap/settings", ns))["data"]["color"] == "blue")

    await eventually(is_blue, what=lambda: f"the ConfigMap is healed; the log ends:\n{world.guard.tail()}")
    await short.becomes("Expired")


@pytest.mark.case(38)
async def test_while_guard_is_down_break_glass_can_be_made_and_is_honoured_when_it_is_back(world: World, app: App) -> None:
    ns = app.namespace
    edit = ("set", "image", "deployment/web", "web=nginx:2", "-n", ns)
    async with down(world):
        refused = await world.plane.kubectl(*edit, check=False)
        assert "failed calling webhook" in refused.stderr
        made = await world.guard.guard("break-glass", "deployment/web", "-n", ns, "--for", "30m", "--reason", REASON)
        assert made.returncode == 2
        assert "Guard has not confirmed it: it counts as soon as Guard is there" in made.stderr
        assert "kubectl --as=admin --as-group=gitopsguard:break-glass " in made.stderr
        glass = Glass(world, document(ns, {"object": {"kind": "ConfigMap", "name": "settings"}}))
        await world.plane.kubectl("create", "-f", "-", input=codec.pretty(glass.body))
        # The policies hold without Guard.
        body = document(ns, web(ns), name="long", duration="5h")
        done = await world.plane.kubectl("create", "-f", "-", check=False, input=codec.pretty(body))
        assert "may last 4h at most" in done.stderr
        # Nobody can say yet that it is open; the group passes all the same, and so do the cluster's own controllers.
        assert "failed calling webhook" in (await world.plane.kubectl(*edit, check=False)).stderr
        await world.past(*edit)
        await world.past("patch", "configmap", "settings", "-n", ns, "-p", '{"data":{"color":"red"}}')
        controller = ("--as=system:kube-controller-manager", "--as-group=system:masters")
        await world.plane.kubectl("annotate", "deployment/web", "seen=yes", "-n", ns, *controller, identity="admin")
        await world.past("delete", "service", "web", "-n", ns)
    await glass.becomes("Active")

    async def is_back() -> bool:
        return await world.exists("service", "web", ns)

    await eventually(is_back, what="what was not open is healed")
    await stays(world, ns, "nginx:2")
    assert (await world.get("configmap/settings", ns))["data"]["color"] == "red"
    assert (await world.plane.kubectl("set", "image", "deployment/web", "web=nginx:3", "-n", ns)).returncode == 0
    ended = await world.guard.guard("break-glass", "end", "deployment/web", "-n", ns)
    assert ended.returncode == 0, ended.stderr
    await heals(world, ns)
    assert [record["user"] for record in glass.events("break-glass-opened")] == [PERSON]
    await glass.end()

    async def is_blue() -> bool:
        return bool((await world.get("configmap/settings", ns))["data"]["color"] == "blue")

    await eventually(is_blue, what="the ConfigMap is healed")
