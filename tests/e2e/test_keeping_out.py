"""What keeps a revision out and what does not, and that what is in force waits for neither."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import SYNCS, Followed, World, config_map
from tools.guardrun import Repository, eventually, sync_document

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
MANY = 600


@asynccontextmanager
async def refusing(world: World, resource: str, name: str) -> AsyncGenerator[None]:
    """A webhook that nobody answers stands before the objects of this name."""
    webhook = {
        "name": "nobody.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/nobody"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}],
        "matchConditions": [{"name": "name", "expression": f"object.metadata.name == '{name}'"}],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    await world.plane.call("POST", HOOKS, body={**kind, "metadata": {"name": name}, "webhooks": [webhook]})

    async def stands() -> bool:
        dry = await world.plane.kubectl(
            "create", "--dry-run=server", "-f", "-", identity="admin", check=False, input=_of(resource, name)
        )
        return "nobody.example.com" in dry.stderr

    await eventually(stands, what="the webhook is asked")
    try:
        yield
    finally:
        await world.plane.kubectl("delete", "validatingwebhookconfiguration", name, identity="admin")


def _of(resource: str, name: str) -> str:
    return config_map(name, "default", "  a: b") if resource == "configmaps" else namespace(name)


def namespace(name: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n"


def service(name: str, spec: str, *, port: str = "") -> str:
    return f"""apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  {spec}
  ports: [{{name: http, port: 80{port}}}]
"""


async def test_another_target_namespace_moves_what_names_none(followed: Followed) -> None:
    world, (first, second) = followed.world, (f"{followed.name}-1", f"{followed.name}-2")
    for name in (first, second):
        await world.plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    await followed.patch({"targetNamespace": first})
    await followed.commit({"x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n"})
    assert await world.exists("configmap", "x", first)

    await followed.patch({"targetNamespace": second})

    async def moved() -> bool:
        return await world.exists("configmap", "x", second) and not await world.exists("configmap", "x", first)

    await eventually(moved, what="the object is where the Sync says now")


@pytest.mark.case(25, 39)
async def test_a_file_that_cannot_be_read_rejects_the_revision_and_shows_no_value(followed: Followed) -> None:
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {followed.name}}}\nstringData:\n  password: *correct-horse\n"
    followed.repository.commit({"secret.yaml": secret})

    assert "correct-horse" not in await followed.says("secret.yaml:5:13", reason="RevisionRejected")
    assert "correct-horse" not in followed.world.guard.log.read_text()


async def test_a_change_that_the_live_object_forbids_keeps_nothing_else_out(followed: Followed) -> None:
    await followed.commit({"service.yaml": service(followed.name, "type: ClusterIP")})

    headless = service(followed.name, "clusterIP: None")
    followed.repository.commit({"service.yaml": headless, "map.yaml": followed.colored("red")})

    await followed.says("may not change once set", reason="ApplyFailed")
    assert await followed.color() == "red"


async def test_a_port_moves_from_one_service_to_another_in_one_commit(followed: Followed) -> None:
    one, other = f"{followed.name}-1", f"{followed.name}-2"
    await followed.commit({"1.yaml": service(one, "type: NodePort", port=", nodePort: 30034")})

    await followed.commit(
        {
            "1.yaml": service(one, "type: NodePort", port=", nodePort: 30035"),
            "2.yaml": service(other, "type: NodePort", port=", nodePort: 30034"),
        }
    )


async def test_a_policy_of_the_cluster_keeps_nothing_else_out(followed: Followed) -> None:
    plane, name = followed.world.plane, followed.name
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": f"object.metadata.name != '{name}-unwanted'", "message": "unwanted"}],
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    await plane.call("POST", f"{path}ies", body={**api, "kind": "ValidatingAdmissionPolicy", "spec": spec})
    binding = {"policyName": name, "validationActions": ["Deny"]}
    await plane.call("POST", f"{path}ybindings", body={**api, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding})
    text = config_map(f"{name}-unwanted", "default", "  a: b")

    async def stands() -> bool:
        dry = await plane.kubectl("create", "--dry-run=server", "-f", "-", identity="admin", check=False, input=text)
        return "unwanted" in dry.stderr

    await eventually(stands, what="the policy is in force")
    followed.repository.commit({"unwanted.yaml": text, "map.yaml": followed.colored("red")})
    try:
        await followed.says("denied request: unwanted", reason="ApplyFailed")
    finally:
        await plane.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name, identity="admin")
    assert await followed.color() == "red"


async def test_a_namespace_that_could_not_be_applied_keeps_no_later_commit_out(followed: Followed) -> None:
    name = f"{followed.name}-ns"
    async with refusing(followed.world, "namespaces", name):
        followed.repository.commit({"ns.yaml": namespace(name), "a.yaml": config_map("a", name, "  a: b")})
        await followed.says("ns.yaml:1: ")
        later = followed.repository.commit({"b.yaml": config_map("b", name, "  a: b")})
        await followed.says("b.yaml:1: ")

    await followed.world.guard.applied(later, sync=followed.name)


@pytest.mark.case(25)
async def test_what_is_in_force_is_tried_again_although_the_next_commit_is_bad(followed: Followed) -> None:
    async with refusing(followed.world, "configmaps", followed.name):
        followed.repository.commit({"map.yaml": followed.colored("red")})
        await followed.says("map.yaml:1: ", reason="ApplyFailed")
        followed.repository.commit({"bad.yaml": "a: [\n"})
        await followed.says("bad.yaml:2:1")

    await followed.becomes("red")


async def test_healing_that_was_turned_off_while_a_bad_commit_stood_undoes_nothing_after_it(followed: Followed) -> None:
    world, name = followed.world, followed.name
    followed.repository.commit({"bad.yaml": "a: [\n"})
    await followed.says("bad.yaml:2:1")
    await followed.patch({"enforcement": {"mode": "Audit", "heal": False}})
    await world.plane.kubectl(
        "patch", f"configmap/{name}", "-n", "default", "--type=merge", '-p={"data":{"color":"black"}}', identity="person"
    )

    await followed.commit({"bad.yaml": None, "other.yaml": config_map(f"{name}-other", "default", "  a: b")})

    assert await followed.color() == "black"


@pytest.mark.case(28)
async def test_of_two_syncs_that_ask_about_one_object_at_once_one_keeps_it(world: World, fresh: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    many: dict[str, str | None] = {f"a/{n}.yaml": config_map(f"{fresh}-{n}", "default", "  a: b") for n in range(MANY)}
    shared: dict[str, str | None] = {f"{sync}/x.yaml": config_map(fresh, "default", f"  of: {sync}") for sync in "ab"}
    commit = repository.commit({**many, **shared})
    slow, quick = Followed(world, repository, f"{fresh}a"), Followed(world, repository, f"{fresh}b")
    before = await world.guard.metric("guard_api_requests_total", verb="PATCH")
    await world.plane.call("POST", SYNCS, body=sync_document(slow.name, repository.directory, path="a"))

    async def asking() -> bool:
        return await world.guard.metric("guard_api_requests_total", verb="PATCH") - before > MANY / 20

    await eventually(asking, what="the API server is asked about the many", every=0.02)
    await world.plane.call("POST", SYNCS, body=sync_document(quick.name, repository.directory, path="b"))

    await world.guard.applied(commit, sync=quick.name)
    await slow.says(f"is declared by two Syncs: guard-system/{quick.name} (b/x.yaml:1) keeps it")
    assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"of": "b"}
    for sync in (slow, quick):
        await world.plane.kubectl("delete", "sync", sync.name, "-n", "guard-system", identity="admin")
