from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest

from guard.admission import Decision
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.base.errors import ConfigError, RenderError
from guard.inspect.check import Checked, Question, Verdict, check, policy, question
from guard.state.ids import SYNC_LABEL
from guard.state.policy import Mode
from tests.state.samples import LABEL, ours, owned

NOW = datetime(2026, 1, 2, tzinfo=UTC)

SETTINGS = """\
# who owns it
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
data:
  color: blue
  size: large
"""
LOGIN = """\
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData:
  password: correct-horse
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gizmos.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Gizmo, plural: gizmos}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {scale: {specReplicasPath: .spec.size}}
"""
GIZMO = """\
apiVersion: example.com/v1
kind: Gizmo
metadata: {name: g, namespace: shop}
spec: {size: 1, parts: [{name: a}, {name: b}]}
"""


async def checked(
    directory: Path,
    files: Mapping[str, str],
    asked: Question | None = None,
    *,
    mode: Mode = "Deny",
    additions: Literal["Deny", "Allow"] = "Deny",
) -> Checked:
    for name, text in files.items():
        path = directory / "desired" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return await check(directory / "desired", asked or Question(), policy=policy(mode=mode, additions=additions), now=NOW)


async def verdict(directory: Path, files: Mapping[str, str], text: str, **options: Json) -> Verdict:
    found = await checked(directory, files, question("asked.yaml", text.encode()), **options)
    (only,) = found.verdicts
    return only


def review(old: JsonObject | None, new: JsonObject | None, *, user: str = "ada", operation: str = "UPDATE", **more: Json) -> str:
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    request = {
        "uid": "1",
        "kind": kind,
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "operation": operation,
        "name": "settings",
        "namespace": "shop",
        "userInfo": {"username": user},
        "object": new,
        "oldObject": old,
        **more,
    }
    return codec.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).decode()


def settings(*, label: str = LABEL, **data: str) -> JsonObject:
    fields = owned(f"f:metadata f:labels f:{SYNC_LABEL}", "f:data f:color", "f:data f:size")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "shop",
            "labels": {SYNC_LABEL: label},
            "managedFields": [ours(fields)],
        },
        "data": {"color": "blue", "size": "large", **data},
    }


# ---- the folder


async def test_a_folder_that_guard_would_take_has_no_faults(tmp_path: Path) -> None:
    files = {"a.yaml": SETTINGS, "b/login.yaml": LOGIN, "crd.yaml": CRD, "gizmo.yaml": GIZMO}
    assert await checked(tmp_path, files) == Checked(objects=4)


async def test_every_fault_of_every_file_is_told_with_its_line(tmp_path: Path) -> None:
    faulty = "".join(f"kind: ConfigMap\nmetadata: {{name: x{number}}}\n---\n" for number in range(7))
    found = await checked(tmp_path, {"a.yaml": faulty, "b.yaml": "a: [\n"})
    places = [fault.where.removeprefix(f"{tmp_path}/desired/") for fault in found.faults]
    assert places == [*(f"a.yaml:{1 + 3 * number}" for number in range(7)), "b.yaml:2:1"]


async def test_every_object_that_cannot_be_is_told_with_its_line(tmp_path: Path) -> None:
    lost = "".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x{number}}}\n---\n" for number in range(7))
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: one, namespace: shop}\n"
    unserved = GIZMO.replace("example.com/v1", "example.com/v2")
    files = {"a.yaml": lost, "b.yaml": node, "c.yaml": CRD, "d.yaml": unserved, "e.yaml": SETTINGS, "f.yaml": SETTINGS}
    found = await checked(tmp_path, files)
    told = [(fault.where.removeprefix(f"{tmp_path}/desired/"), fault.message) for fault in found.faults]
    lacking = "has no metadata.namespace, nor has the Sync a targetNamespace"
    assert told[:7] == [(f"a.yaml:{1 + 4 * number}", f"ConfigMap x{number} {lacking}") for number in range(7)]
    assert told[7:] == [
        ("b.yaml:1", "Node one has a metadata.namespace, but its kind is cluster-scoped"),
        ("d.yaml:1", "the cluster serves no Gizmo in example.com/v2, nor does this revision define it"),
        ("f.yaml:2", f"ConfigMap shop/settings is declared a second time, first at {tmp_path}/desired/e.yaml:2"),
    ]


async def test_what_guard_cannot_render_is_a_fault(tmp_path: Path) -> None:
    found = await checked(tmp_path, {"a.yaml": SETTINGS, "in/kustomization.yaml": "resources: []\n"})
    assert [fault.message for fault in found.faults] == ["is Kustomize's, and no manifest"]


async def test_a_kind_that_nothing_defines_is_a_warning(tmp_path: Path) -> None:
    found = await checked(tmp_path, {"g.yaml": GIZMO})
    assert found.objects == 1
    assert "Gizmo.example.com is not built in" in found.warnings[0]


async def test_a_folder_without_manifests_is_a_warning(tmp_path: Path) -> None:
    found = await checked(tmp_path, {"README.md": "hello\n"})
    assert (found.objects, found.faults, len(found.warnings)) == (0, (), 1)


# ---- reviews


async def test_a_review_that_changes_a_declared_field_is_denied_with_the_line_of_the_field(tmp_path: Path) -> None:
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, review(settings(), settings(color="red")))
    assert (found.verdict, found.reason) == ("deny", "DeclaredFieldChanged")
    assert found.message == "ConfigMap shop/settings is managed from Git, so this change is refused."
    assert found.origin == f"{tmp_path}/desired/a.yaml:2"
    (field,) = found.fields
    assert (field.path, field.git, field.asked, field.line) == ("data.color", "blue", "red", 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (review(settings(color="red"), settings()), "NothingDeclaredChanged"),
        (review(settings(), settings(color="red"), user="system:serviceaccount:guard-system:guard"), "SyncController"),
        (review(settings(), settings(color="red"), user="system:kube-controller-manager"), "ControlPlane"),
        (review(settings(), settings(color="red"), name="other"), "NotDeclared"),
    ],
    ids=["back to Git", "guard", "control plane", "undeclared"],
)
async def test_a_review_is_judged_by_who_asks_and_what_for(tmp_path: Path, text: str, reason: str) -> None:
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, text)
    assert (found.verdict, found.reason, found.is_refused) == ("allow", reason, False)


async def test_a_review_in_yaml_is_read_as_well(tmp_path: Path) -> None:
    import yaml

    text: str = yaml.safe_dump(codec.decode(review(settings(), None, operation="DELETE").encode()))
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, text)
    assert (found.verdict, found.reason, found.where) == ("deny", "DeclaredObjectDeleted", "asked.yaml:1")


async def test_taking_off_the_label_is_tampering_whatever_the_sync_is_called(tmp_path: Path) -> None:
    new = settings(label="x.y")
    del new["metadata"]["labels"]
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, review(settings(label="x.y"), new))
    assert (found.reason, found.fields[0].git) == ("Tampering", "x.y")


@pytest.mark.parametrize(("user", "told"), [("ada", "deny"), ("system:kube-controller-manager", "allow")])
async def test_what_cannot_be_read_is_refused_as_the_webhook_does_but_for_the_control_plane(
    tmp_path: Path, user: str, told: str
) -> None:
    old, new = settings(), settings(color="red")
    old["metadata"]["labels"] = new["metadata"]["labels"] = 7
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, review(old, new, user=user))
    assert (found.verdict, found.reason, found.kind, found.name) == (told, "Failure", "ConfigMap", "settings")
    assert "could not judge this change" in found.message
    assert "metadata.labels" in found.message


@pytest.mark.parametrize("text", [review(settings(), settings(color="red")), SETTINGS.replace("blue", "red")])
async def test_a_decision_that_fails_is_a_refusal_and_quotes_no_value(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> Decision:
        raise KeyError("hunter2")

    # The package's `check` is the function.
    monkeypatch.setattr(import_module("guard.inspect.check"), "decide", fails)
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, text)
    assert (found.verdict, found.reason, found.name) == ("deny", "Failure", "settings")
    assert found.message == "Guard could not judge this change, so it is refused (KeyError)."


@pytest.mark.parametrize(("mode", "told"), [("Warn", "warn"), ("Audit", "audit")])
async def test_another_mode_lets_it_through(tmp_path: Path, mode: Mode, told: str) -> None:
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, review(settings(), settings(color="red")), mode=mode)
    assert (found.verdict, found.is_refused) == (told, False)


async def test_a_scale_of_a_defined_kind_is_judged_by_its_own_path(tmp_path: Path) -> None:
    about: JsonObject = {
        "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "resource": {"group": "example.com", "version": "v1", "resource": "gizmos"},
        "subResource": "scale",
        "name": "g",
    }
    text = review({"spec": {"replicas": 1}}, {"spec": {"replicas": 3}}, **about)
    found = await verdict(tmp_path, {"crd.yaml": CRD, "g.yaml": GIZMO}, text)
    assert (found.verdict, [field.path for field in found.fields], found.kind) == ("deny", ["spec.size"], "Gizmo")


@pytest.mark.case(39)
async def test_values_of_secrets_are_not_shown(tmp_path: Path) -> None:
    found = await verdict(tmp_path, {"a.yaml": LOGIN}, LOGIN.replace("correct-horse", "hunter2"))
    assert (found.verdict, [field.path for field in found.fields], found.fields[0].line) == ("deny", ["data.password"], 5)
    text = codec.encode(found).decode()
    assert not any(value in text for value in ("correct-horse", "Y29ycmVjd", "hunter2", "aHVudGVyM"))


# ---- manifests


async def test_the_very_file_from_git_is_allowed(tmp_path: Path) -> None:
    files = {"a.yaml": SETTINGS, "b.yaml": LOGIN, "c.yaml": CRD, "d.yaml": GIZMO}
    found = await checked(tmp_path, files, question("all.yaml", "---\n".join(files.values()).encode()))
    assert [one.verdict for one in found.verdicts] == ["allow"] * 4


async def test_items_of_lists_are_judged_each_on_its_own(tmp_path: Path) -> None:
    other = SETTINGS.replace("settings", "other")
    items = [codec.decode(codec.encode(settings(color="red"))), {**settings(), "metadata": {"name": "new"}}]
    asked = codec.encode({"apiVersion": "v1", "kind": "List", "items": items})
    found = await checked(tmp_path, {"a.yaml": SETTINGS, "b.yaml": other}, question("x.json", asked, namespace="shop"))
    assert [(one.name, one.verdict, one.reason) for one in found.verdicts] == [
        ("settings", "deny", "DeclaredFieldChanged"),
        ("new", "allow", "NotDeclared"),
    ]


async def test_an_addition_is_refused_unless_additions_are_allowed(tmp_path: Path) -> None:
    text = SETTINGS + "  shape: round\n"
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, text)
    assert (found.reason, [field.path for field in found.fields], found.fields[0].git) == ("Addition", ["data.shape"], "")
    allowed = await verdict(tmp_path, {"a.yaml": SETTINGS}, text, additions="Allow")
    assert allowed.verdict == "allow"


async def test_what_the_server_keeps_of_an_exported_object_is_no_difference(tmp_path: Path) -> None:
    exported = settings()
    exported["metadata"] |= {"uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z", "generation": 3}
    found = await verdict(tmp_path, {"a.yaml": SETTINGS}, codec.encode(exported).decode())
    assert found.verdict == "allow"


async def test_a_manifest_without_a_namespace_is_of_the_one_that_is_given(tmp_path: Path) -> None:
    text = SETTINGS.replace("  namespace: shop\n", "").replace("blue", "red")
    assert (await verdict(tmp_path, {"a.yaml": SETTINGS}, text)).reason == "NotDeclared"
    found = await checked(tmp_path, {"a.yaml": SETTINGS}, question("x.yaml", text.encode(), namespace="shop"))
    assert found.verdicts[0].reason == "DeclaredFieldChanged"


async def test_a_list_of_a_custom_resource_is_replaced_as_kubectl_does(tmp_path: Path) -> None:
    text = GIZMO.replace("[{name: a}, {name: b}]", "[{name: a}]")
    found = await verdict(tmp_path, {"crd.yaml": CRD, "g.yaml": GIZMO}, text)
    assert [field.path for field in found.fields] == ["spec.parts"]


async def test_another_version_than_gits_is_not_compared_and_that_is_said(tmp_path: Path) -> None:
    text = GIZMO.replace("example.com/v1", "example.com/v2").replace("size: 1", "size: 2")
    found = await verdict(tmp_path, {"g.yaml": GIZMO}, text)
    assert (found.verdict, found.reason) == ("allow", "OtherVersion")
    assert "example.com/v1" in found.message


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole", ("ClusterRole", "", "other")),
        ("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role", ("Role", "default", "other")),
        ("apiVersion: example.com/v1\nkind: Gizmo", ("Gizmo", "default", "other")),
        ("apiVersion: example.com/v7\nkind: Gizmo", ("Gizmo", "default", "other")),
    ],
)
async def test_an_undeclared_object_has_the_scope_of_its_kind(tmp_path: Path, kind: str, named: tuple[str, str, str]) -> None:
    asked = question("asked.yaml", f"{kind}\nmetadata: {{name: other}}\n".encode())
    found = await checked(tmp_path, {"crd.yaml": CRD}, asked)
    (only,) = found.verdicts
    assert ((only.kind, only.namespace, only.name), only.reason) == (named, "NotDeclared")
    assert found.warnings == ()


async def test_a_kind_that_comes_with_its_definition_needs_no_guess(tmp_path: Path) -> None:
    text = f"{CRD.replace('Namespaced', 'Cluster')}---\n{GIZMO}"
    found = await checked(tmp_path, {"a.yaml": SETTINGS}, question("asked.yaml", text.encode()))
    assert [(one.kind, one.namespace) for one in found.verdicts] == [("CustomResourceDefinition", ""), ("Gizmo", "")]
    assert found.warnings == ()


@pytest.mark.parametrize(("text", "namespace"), [(GIZMO, "shop"), (GIZMO.replace(", namespace: shop", ""), "")])
async def test_a_kind_that_nothing_tells_of_is_guessed_with_a_warning(tmp_path: Path, text: str, namespace: str) -> None:
    found = await checked(tmp_path, {"a.yaml": SETTINGS}, question("asked.yaml", text.encode()))
    assert [one.namespace for one in found.verdicts] == [namespace]
    (warning,) = found.warnings
    assert warning.startswith("asked.yaml:1: Gizmo.example.com is not built in")


# ---- what is asked


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_anything_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="neither an AdmissionReview nor a manifest"):
        question("asked.yaml", text.encode())


@pytest.mark.parametrize("text", ["a: [\n", "kind: ConfigMap\n", "[1]"])
def test_a_file_that_is_no_manifest_is_an_error_with_its_line(text: str) -> None:
    with pytest.raises(RenderError) as raised:
        question("asked.yaml", text.encode())
    assert raised.value.where.startswith("asked.yaml:")


def test_a_review_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no AdmissionReview that Guard reads"):
        question("asked.json", b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "request": {}}')
