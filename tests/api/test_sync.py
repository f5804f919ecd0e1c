from __future__ import annotations

import re
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.api import API_VERSION, Enforcement, GitRef, label_value, parse_sync
from guard.api.enforcement import POINTER_PATTERN, Mode
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.base.errors import ConfigError
from guard.state.pointers import parse_pointer

GIT: JsonObject = {"url": "https://git.example.com/platform/deploy"}


def body(spec: JsonObject | None = None, **metadata: Json) -> JsonObject:
    return {
        "apiVersion": API_VERSION,
        "kind": "Sync",
        "metadata": {"name": "apps", **metadata},
        "spec": {"source": {"git": GIT}, **(spec or {})},
    }


def with_git(**git: Json) -> JsonObject:
    return body({"source": {"git": {**GIT, **git}}})


def problem(value: JsonObject) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_sync(value, where="syncs.yaml:3")
    assert str(caught.value).startswith("syncs.yaml:3: ")
    return caught.value.message


def test_what_is_left_out_has_the_documented_default() -> None:
    sync = parse_sync(body(), where="")
    assert sync.key == "guard-system/apps"
    assert sync.spec.source.interval_seconds == 60
    assert (sync.spec.path, sync.spec.prune) == (".", True)
    assert sync.spec.enforcement == Enforcement(mode="Deny", heal=None, additions="Deny")
    assert sync.spec.source.named.ref == GitRef()
    assert sync.status.conditions == ()


@pytest.mark.parametrize(
    ("mode", "heal", "heals"),
    [("Deny", None, True), ("Warn", None, False), ("Audit", None, False), ("Deny", False, False), ("Audit", True, True)],
)
def test_healing_follows_the_mode_unless_it_is_set(*, mode: str, heal: bool | None, heals: bool) -> None:
    assert Enforcement(mode=cast("Mode", mode), heal=heal).heals is heals


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"timeout": "10ms"}, "timeout must be at least 1s"),
        ({"retryInterval": "10ms"}, "retryInterval must be at least 1s"),
        ({"deletionPolicy": "Delete"}, "spec.deletionPolicy"),
    ],
)
def test_what_makes_no_sense_is_refused(spec: JsonObject, said: str) -> None:
    assert said in problem(body(spec))


def test_a_dependency_is_of_the_syncs_own_namespace_unless_it_names_another() -> None:
    sync = parse_sync(body({"dependsOn": [{"name": "infra"}, {"name": "apps", "namespace": "shop"}]}), where="")
    assert sync.dependencies == ("guard-system/infra", "shop/apps")


def test_times_to_wait_are_in_seconds_and_retries_are_left_to_a_backoff_unless_set() -> None:
    spec = parse_sync(body(), where="").spec
    assert (spec.timeout_seconds, spec.retry_seconds) == (300, None)
    assert parse_sync(body({"retryInterval": "90s"}), where="").spec.retry_seconds == 90


def test_null_counts_as_not_set() -> None:
    sync = parse_sync(body({"prune": None, "enforcement": {"mode": None, "heal": None}}, annotations=None), where="")
    assert sync.spec.prune
    assert sync.spec.enforcement.heals


def test_an_object_as_the_api_server_returns_it_is_taken() -> None:
    answer = body(uid="u", generation=3, resourceVersion="7", managedFields=[{}], creationTimestamp="2026-01-02T03:04:05Z")
    answer["status"] = {"lastAppliedRevision": "main@sha1:3f2c", "objects": {"declared": 3}, "laterField": 1}
    sync = parse_sync(answer, where="")
    assert (sync.metadata.uid, sync.metadata.generation, sync.metadata.resource_version) == ("u", 3, "7")
    assert (sync.status.last_applied_revision, sync.status.objects.declared) == ("main@sha1:3f2c", 3)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("./", "."),
        (".", "."),
        ("./clusters//prod/", "clusters/prod"),
        ("clusters/prod/.", "clusters/prod"),
        ("..a/b..", "..a/b.."),
    ],
)
def test_a_path_is_normalised(written: str, normal: str) -> None:
    assert parse_sync(body({"path": written}), where="").spec.path == normal


@pytest.mark.parametrize("path", ["/etc", "..", "a/../../b", "a/..", "a\0b"])
def test_a_path_out_of_the_source_is_refused(path: str) -> None:
    assert problem(body({"path": path})) == "spec: path must be relative to the source, without .."


@pytest.mark.parametrize(
    ("written", "seconds"), [("1s", 1), ("1m", 60), ("1m0s", 60), ("1h30m", 5400), ("1.5s", 1.5), ("2500ms", 2.5)]
)
def test_an_interval_is_written_as_go_writes_it(written: str, seconds: float) -> None:
    assert parse_sync(body({"source": {"git": GIT, "interval": written}}), where="").spec.source.interval_seconds == seconds


@pytest.mark.parametrize("interval", ["", "1", "1 m", "-1m", "1d", "m", "1m\n", "999ms", "0s"])
def test_an_interval_that_is_none_or_too_short_is_refused(interval: str) -> None:
    assert "spec.source" in problem(body({"source": {"git": GIT, "interval": interval}}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (body({"enforcement": {"mode": "deny"}}), "spec.enforcement.mode: 'deny' is not one of Audit, Deny, Warn"),
        (body({"enforcement": {"additions": "Warn"}}), "spec.enforcement.additions: 'Warn' is not one of Allow, Deny"),
        (
            body({"enforcement": {"modes": "x"}}),
            "spec.enforcement.modes is not known; allowed: mode, heal, additions, strictNamespaces, ignore, exempt",
        ),
        (
            body({"prun": True}),
            (
                "spec.prun is not known; allowed: source, path, targetNamespace, renderer, kustomize, helm, decryption, "
                "prune, pruneLimit, deletionPolicy, suspend, dependsOn, serviceAccountName, wait, timeout, retryInterval, "
                "enforcement"
            ),
        ),
        ({**body(), "specs": {}}, "specs is not known; allowed: apiVersion, kind, metadata, spec, status"),
        (with_git(ref={"brnch": "x"}), "spec.source.git.ref.brnch is not known; allowed: branch, tag, semver, commit"),
        (with_git(secretRef={}), "spec.source.git.secretRef.name is missing"),
        (with_git(secretRef={"key": "x"}), "spec.source.git.secretRef.key is not known; allowed: name"),
        (body({"source": {}}), "spec.source: exactly one of git and bucket has to be set"),
        (body({"source": {"git": {}}}), "spec.source.git.url is missing"),
        ({"apiVersion": API_VERSION, "kind": "Sync", "metadata": {"name": "a"}}, "spec is missing"),
        (body({"prune": "yes"}), "spec.prune: expected `bool`, got `str`"),
        (
            with_git(ref={"branch": "a", "tag": "b"}),
            "spec.source.git.ref: at most one of branch, tag, semver and commit may be set",
        ),
        (
            {**body(), "apiVersion": "v1", "kind": "Secret"},
            f"expected kind Sync of {API_VERSION}, got kind Secret of v1",
        ),
    ],
)
def test_an_error_names_the_field_and_what_is_allowed(value: JsonObject, expected: str) -> None:
    assert problem(value) == expected


@pytest.mark.parametrize("name", ["", "Apps", "a_b", "-a", "a..b", "a" * 254])
def test_a_name_that_the_api_server_would_refuse_is_refused(name: str) -> None:
    assert problem(body(name=name)).startswith("metadata.name: ")


@pytest.mark.parametrize(
    "git",
    [
        {"ref": {"branch": "--upload-pack=x"}},
        {"ref": {"branch": ""}},
        {"ref": {"tag": "a b"}},
        {"ref": {"tag": "a^{}"}},
        {"ref": {"branch": "main\n"}},
        {"ref": {"commit": "3f2c1ab"}},
        {"ref": {"commit": "3F" * 20}},
        {"ref": {"commit": "3f" * 32}},
        {"ref": {"commit": "3f" * 20 + "\n"}},
        {"url": ""},
        {"url": "--upload-pack=x"},
        {"url": "https://git.example.com/a b"},
        {"url": "https://git.example.com/a\n"},
    ],
)
def test_what_git_could_take_for_something_else_is_refused(git: JsonObject) -> None:
    assert problem(with_git(**git)).startswith("spec.source.git")


@pytest.mark.parametrize(
    "git",
    [
        {"ref": {"branch": "release/1.2"}},
        {"ref": {"commit": "3f" * 20}},
        {"url": "ssh://git@git.example.com:2222/platform/deploy"},
        {"url": "git@git.example.com:platform/deploy.git"},
        {"url": "/srv/git/deploy"},
        {"url": "https://git.example.com:8443/a@b:c"},
    ],
)
def test_what_git_takes_is_taken(git: JsonObject) -> None:
    parse_sync(with_git(**git), where="")


@given(st.text("/[]=,*~01a\n", max_size=12))
@example("/a[b")
@example("/a[*][=b][c=d,e=f=g]/h~1")
def test_the_pattern_of_a_path_takes_what_parsing_takes(path: str) -> None:
    try:
        parse_pointer(path)
    except ValueError:
        taken = False
    else:
        taken = True
    # Of the API server's `$`, which no newline comes after.
    assert bool(re.fullmatch(POINTER_PATTERN.rstrip("$"), path)) == taken


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    text = problem(with_git(url="https://bot:hunter2@git.example.com/a"))
    assert "secretRef" in text
    assert "hunter2" not in text


def test_a_sync_survives_being_written_and_read() -> None:
    sync = parse_sync(body({"path": "./a/", "enforcement": {"mode": "Warn"}}, annotations={"a": "b"}), where="")
    assert parse_sync(codec.plain(sync), where="") == sync


def test_a_label_is_namespace_and_name() -> None:
    assert label_value("guard-system", "apps") == "guard-system.apps"
    assert parse_sync(body(), where="").label == "guard-system.apps"


NAMESPACES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?){0,4}", fullmatch=True)


@given(NAMESPACES, NAMES)
def test_every_label_is_one_that_the_api_server_takes(namespace: str, name: str) -> None:
    value = label_value(namespace, name)
    assert len(value) <= 63
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", value)
    assert value == label_value(namespace, name)


def test_long_names_that_begin_alike_have_labels_of_their_own() -> None:
    names = ["a" * 62 + letter for letter in "bcd"]
    labels = {label_value("guard-system", name) for name in names}
    assert len(labels) == 3
    # A name cannot be chosen so that its plain label is another's hashed one: it may hold no underscore.
    assert all("_" in label for label in labels)


def test_what_is_nested_too_deeply_is_refused_like_anything_else() -> None:
    values: JsonObject = {}
    for _ in range(700):
        values = {"a": values}
    assert "nested too deeply" in problem(body({"helm": {"values": values}}))
