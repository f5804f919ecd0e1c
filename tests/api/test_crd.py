from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from guard.api import API_VERSION, parse_sync, sync_crd
from guard.api.crd import structural
from guard.base import codec
from guard.base.codec import JsonObject
from tools.controlplane import ControlPlane

SYNC: JsonObject = {
    "apiVersion": API_VERSION,
    "kind": "Sync",
    "metadata": {"name": "apps", "namespace": "default"},
    "spec": {"source": {"git": {"url": "https://git.example.com/platform/deploy"}}},
}


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the type says
    of itself.
    """

    names: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True, rename="camel"):
    plain_one: Inner
    optional: Inner | None = None
    said: Annotated[Inner, Meta(description="What the field says.")] = Inner()
    choice: Literal["A", "B"] = "A"
    counts: dict[str, int] = {}


def test_a_schema_is_structural() -> None:
    inner = {"type": "object", "properties": {"names": {"type": "array", "items": {"type": "string"}}}}
    assert structural(Outer, defaults=False) == {
        "type": "object",
        "required": ["plainOne"],
        "properties": {
            "plainOne": {**inner, "description": "What the type says of itself."},
            "optional": {**inner, "description": "What the type says of itself."},
            "said": {**inner, "description": "What the field says."},
            "choice": {"type": "string", "enum": ["A", "B"]},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
    }


def test_defaults_are_for_the_server_to_fill_in_but_null_is_none() -> None:
    properties = structural(Outer, defaults=True)["properties"]
    assert {name: field["default"] for name, field in properties.items() if "default" in field} == {
        "said": {"names": []},
        "choice": "A",
        "counts": {},
    }


def test_a_union_of_types_has_no_structural_schema() -> None:
    class Either(msgspec.Struct):
        value: int | str

    with pytest.raises(TypeError, match="unions"):
        structural(Either, defaults=True)


@pytest.fixture(scope="module")
async def installed(control_plane: ControlPlane) -> AsyncIterator[ControlPlane]:
    """A control plane that serves Syncs."""
    text = codec.pretty(sync_crd())
    await control_plane.kubectl("apply", "-f", "-", identity="admin", input=text)
    await control_plane.kubectl("wait", "--for=condition=Established", "crd/syncs.gitopsguard.dev", identity="admin")
    yield control_plane
    await control_plane.kubectl("delete", "syncs", "--all", "--namespace=default", identity="admin")


async def refusal(plane: ControlPlane, spec: JsonObject) -> str:
    return await refused(plane, {**SYNC, "metadata": {"name": "wrong", "namespace": "default"}, "spec": spec})


async def refused(plane: ControlPlane, body: JsonObject) -> str:
    done = await plane.kubectl("create", "-f", "-", identity="admin", check=False, input=codec.pretty(body))
    assert done.returncode != 0, done.stdout
    return done.stderr


async def test_the_api_server_takes_the_schema_as_structural(installed: ControlPlane) -> None:
    crd = await installed.call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/syncs.gitopsguard.dev")
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


async def test_a_stored_sync_has_its_defaults_and_can_be_parsed(installed: ControlPlane) -> None:
    await installed.kubectl("apply", "-f", "-", identity="admin", input=codec.pretty(SYNC))
    stored = (await installed.kubectl("get", "sync", "apps", "-n", "default", "-o", "json", identity="admin")).json()
    assert stored["spec"] == {
        "source": {"git": {"url": "https://git.example.com/platform/deploy", "ref": {}}, "interval": "1m"},
        "path": "./",
        "renderer": "Auto",
        "kustomize": {"remoteBases": "Refuse"},
        "helm": {"values": {}},
        "prune": True,
        "pruneLimit": 50,
        "deletionPolicy": "Orphan",
        "suspend": False,
        "wait": False,
        "timeout": "5m",
        "enforcement": {"mode": "Deny", "additions": "Deny"},
    }
    sync = parse_sync(stored, where="")
    assert sync.spec == parse_sync(SYNC, where="").spec
    assert sync.metadata.generation == 1


async def test_a_status_goes_through_the_subresource_and_shows_in_the_columns(installed: ControlPlane) -> None:
    await installed.kubectl("apply", "-f", "-", identity="admin", input=codec.pretty(SYNC))
    status: JsonObject = {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Applied",
                "message": "all applied",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }
        ],
        "lastAppliedRevision": "main@sha1:3f2c1ab",
        "objects": {"declared": 7, "applied": 7, "drifted": 0, "failed": 0},
        "kinds": [{"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments", "namespaced": True}],
    }
    patch = codec.encode({"status": status}).decode()
    await installed.kubectl(
        "patch", "sync/apps", "-n", "default", "--subresource=status", "--type=merge", f"--patch={patch}", identity="admin"
    )
    shown = await installed.kubectl("get", "gitops", "-n", "default", "-o", "wide", identity="admin")
    assert shown.stdout.splitlines()[0].split() == [
        *("NAME", "READY", "HEALTHY", "SUSPENDED", "REVISION", "DECLARED", "DRIFTED", "AGE", "STATUS")
    ]
    for text in ("True", "main@sha1:3f2c1ab", "7", "all applied"):
        assert text in shown.stdout.splitlines()[1]
    stored = (await installed.kubectl("get", "sync", "apps", "-n", "default", "-o", "json", identity="admin")).json()
    assert parse_sync(stored, where="").status.kinds[0].group_kind == "Deployment.apps"


GIT: JsonObject = {"url": "https://git.example.com/platform/deploy"}
BUCKET: JsonObject = {"name": "deploy"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source": {"git": GIT}, "enforcement": {"mode": "deny"}}, 'supported values: "Audit", "Deny", "Warn"'),
        ({"source": {"git": GIT}, "enforcement": {"additions": "Warn"}}, 'supported values: "Allow", "Deny"'),
        ({"source": {"git": {**GIT, "ref": {"branch": "a", "tag": "b"}}}}, "at most one of branch, tag, semver and commit"),
        ({"source": {"git": {**GIT, "ref": {"branch": ""}}}}, "spec.source.git.ref.branch"),
        ({"source": {"git": {**GIT, "ref": {"semver": ">=1.2.0\n"}}}}, "spec.source.git.ref.semver"),
        ({"source": {"git": {**GIT, "ref": {"branch": "-x"}}}}, "spec.source.git.ref.branch"),
        ({"source": {"git": {"url": ""}}}, "spec.source.git.url"),
        ({"source": {"git": {}}}, "spec.source.git.url: Required"),
        ({"source": {"git": GIT, "interval": "1d"}}, "spec.source.interval"),
        ({"source": {}}, "exactly one of git and bucket has to be set"),
        ({"source": {"git": GIT, "bucket": BUCKET}}, "exactly one of git and bucket has to be set"),
        ({"source": {"git": GIT, "push": {"type": "S3", "secretRef": {"name": "hook"}}}}, "push.type is S3 for a bucket"),
        (
            {"source": {"bucket": BUCKET, "push": {"type": "GitHub", "secretRef": {"name": "hook"}}}},
            "push.type is S3 for a bucket",
        ),
        ({"source": {"bucket": {"name": "Up"}}}, "spec.source.bucket.name"),
        ({"source": {"bucket": {**BUCKET, "endpoint": "https://me:pw@s3.example.com"}}}, "spec.source.bucket.endpoint"),
        ({"source": {"bucket": {**BUCKET, "endpoint": "s3.example.com"}}}, "spec.source.bucket.endpoint"),
        ({"source": {"bucket": {**BUCKET, "region": "EU west"}}}, "spec.source.bucket.region"),
        ({"source": {"bucket": {**BUCKET, "prefix": "a/../b"}}}, "prefix must be a folder of the bucket"),
        ({"source": {"bucket": {**BUCKET, "ref": {"revision": "3f2c"}}}}, "spec.source.bucket.ref.revision"),
        (
            {"source": {"git": {**GIT, "verify": {"mode": "Tag", "secretRef": {"name": "keys"}}}}},
            "verify.mode needs a ref that is",
        ),
        ({"source": {"git": {**GIT, "verify": {}}}}, "spec.source.git.verify.secretRef: Required"),
        ({"source": {"git": GIT}, "decryption": {}}, "spec.decryption.secretRef: Required"),
        ({"source": {"git": GIT, "interval": "10ms"}}, "must be at least 1s"),
        ({"source": {"git": GIT}, "path": "a/../b"}, "must be relative to the source"),
        ({"source": {"git": GIT}, "path": "/etc"}, "must be relative to the source"),
        ({"source": {"git": GIT}, "deletionPolicy": "Delete"}, 'supported values: "Orphan", "Prune"'),
        ({"source": {"git": GIT}, "timeout": "0s"}, "must be at least 1s"),
        ({"source": {"git": GIT}, "timeout": ""}, "spec.timeout"),
        ({"source": {"git": GIT}, "retryInterval": "10ms"}, "must be at least 1s"),
        ({"source": {"git": GIT}, "retryInterval": "soon"}, "spec.retryInterval"),
        ({"source": {"git": GIT}, "dependsOn": [{"name": "wrong"}]}, "a Sync cannot depend on itself"),
        ({"source": {"git": GIT}, "dependsOn": [{"namespace": "other"}]}, "spec.dependsOn[0].name: Required"),
        ({"source": {"git": GIT}, "serviceAccountName": "Not A Name"}, "spec.serviceAccountName"),
        ({"source": {"git": GIT}, "path": "a\0b"}, "must be relative to the source"),
        ({"source": {"git": GIT}, "prun": True}, 'unknown field "spec.prun"'),
        ({"source": {"git": {"url": "https://bot:hunter2@git.example.com/a"}}}, "holds a password"),
        *(
            ({"source": {"git": GIT}, "enforcement": {"ignore": [{"paths": [path]}]}}, "spec.enforcement.ignore[0].paths[0]")
            for path in ("/a[b", "spec", "/a~2", "//a", "/a[b]", "/a[b=c/d]")
        ),
    ],
)
async def test_the_api_server_refuses_what_parsing_refuses(installed: ControlPlane, spec: JsonObject, said: str) -> None:
    assert said in await refusal(installed, spec)


async def test_the_api_server_takes_what_parsing_takes(installed: ControlPlane) -> None:
    paths = ["/spec/replicas", "/metadata/annotations/example.com~1team", "/a[*]/b[=c][d=e,f=g]/h", "/a[b=c~1d=e]"]
    spec = {"source": {"git": {"url": "ssh://git@git.example.com:2222/a:b@c"}}, "enforcement": {"ignore": [{"paths": paths}]}}
    # The API server's rules do not see in which namespace a Sync is.
    itself = {"dependsOn": [{"name": SYNC["metadata"]["name"], "namespace": "default"}]}
    body = {**SYNC, "spec": {**spec, **itself}}
    parse_sync(body, where="")
    await installed.kubectl("apply", "-f", "-", "--dry-run=server", identity="admin", input=codec.pretty(body))


async def test_the_api_server_takes_a_bucket_that_parsing_takes(installed: ControlPlane) -> None:
    bucket = {
        "name": "deploy",
        "endpoint": "https://s3.example.com:9000/store",
        "region": "eu-central-1",
        "prefix": "clusters/prod/",
        "pathStyle": False,
        "ref": {"revision": f"deploy@sha256:{'a' * 64}"},
        "secretRef": {"name": "login"},
        "include": ["*.yaml"],
        "verify": {"secretRef": {"name": "keys"}},
    }
    source = {"bucket": bucket, "push": {"type": "S3", "secretRef": {"name": "hook"}}}
    body = {**SYNC, "spec": {"source": source, "decryption": {"secretRef": {"name": "sops"}}}}
    parsed = parse_sync(body, where="").spec.source
    assert parsed.named.address == "s3://deploy/clusters/prod"
    assert parsed.bucket is not None
    assert parsed.bucket.ref.digest == "a" * 64
    await installed.kubectl("apply", "-f", "-", "--dry-run=server", identity="admin", input=codec.pretty(body))


async def test_a_sync_without_spec_is_refused(installed: ControlPlane) -> None:
    assert "spec: Required value" in await refused(installed, {key: value for key, value in SYNC.items() if key != "spec"})
