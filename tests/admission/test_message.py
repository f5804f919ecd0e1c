from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from guard.admission import Case, Decision, Located, message
from guard.admission.case import Verdict
from guard.admission.review import parse
from guard.base import codec
from guard.base.codec import Json
from guard.state import MISSING, Change, Declared, Kind, Nature, Policy, Requester, View
from guard.state.fields import Path
from guard.state.ids import DEFINITION
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, NAMESPACE, REVISION, SECRET, SYNC, declared_as, object_of

CONTAINER: Path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}')
IMAGE: Path = (*CONTAINER, "f:image")
SECRET_TEXT = "hunter2-"
URL = "https://github.com/platform/deploy/blob/3f2c1ab/apps/web.yaml#L21"
JOB = Kind(group="batch", version="v1", kind="Job", resource="jobs", namespaced=True)


def change(
    path: Path, *, git: Json = MISSING, old: Json = MISSING, new: Json = MISSING, nature: Nature = Nature.DECLARED
) -> Change:
    return Change(nature=nature, path=path, git=git, old=old, new=new)


def case_of(kind: Kind, *, name: str = "web", namespace: str = "shop", policy: Policy | None = None) -> Case:
    request = {
        "uid": "1",
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.resource},
        "operation": "UPDATE",
        "name": name,
        "namespace": namespace if kind.namespaced else "",
        "options": {"fieldManager": "guard"},
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Case(parse(codec.encode(body)).request, view=View(), policy=policy or Policy(), now=now)


def worded(
    *changes: Change,
    kind: Kind = DEPLOYMENT,
    name: str = "web",
    namespace: str = "shop",
    reason: str = "DeclaredFieldChanged",
    verdict: Verdict = "deny",
    undeclared: bool = False,
    sync: str = SYNC,
    count: int = 0,
    locate: message.Locate = message.at_the_object,
    origin: str = "apps/web.yaml",
    confidential: bool = False,
    policy: Policy | None = None,
    revision: str = REVISION,
) -> message.Wording:
    declared: Declared | None = None if undeclared else declared_as(kind, object_of(kind), origin=origin)
    if declared is not None:
        declared = structs.replace(declared, confidential=confidential)
    decision = Decision(
        verdict=verdict, reason=reason, requester=Requester.PERSON, sync=sync, declared=declared, changes=changes, count=count
    )
    case = case_of(kind, name=name, namespace=namespace, policy=policy or Policy())
    return message.Wording(
        case, decision, message.field_changes(case, decision), reference="01J9Z", revision=revision, locate=locate
    )


def everything(wording: message.Wording) -> str:
    notes = codec.encode(wording.notes()).decode()
    return "\n".join([wording.refusal(), *wording.warnings(), codec.encode(wording.causes()).decode(), notes])


def lines_at(*lines: int, url: str = "") -> message.Locate:
    return lambda _declared, _paths: Located(lines=lines, url=url)


IMAGE_CHANGE = change(IMAGE, git="nginx:1.25", old="nginx:1.25", new="nginx:1.26")


def test_a_refusal_says_what_git_says_where_and_what_to_do() -> None:
    assert worded(IMAGE_CHANGE, locate=lines_at(21, url=URL)).refusal().splitlines() == [
        "Deployment shop/web is managed from Git, so this change is refused.",
        "  spec.template.spec.containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26",
        f"Change it in Git: apps/web.yaml:21 (main@3f2c1ab) {URL}",
        'Emergency: guard break-glass deployment/web -n shop --for 30m --reason "..."',
        "Reference: 01J9Z (guard audit --reference 01J9Z)",
    ]


def test_what_a_bucket_says_is_not_called_gits() -> None:
    place = "s3://deploy/apps/web.yaml?versionId=01K"
    wording = worded(IMAGE_CHANGE, locate=lines_at(21, url=place), revision=f"deploy@sha256:{'3f2c1ab' * 9}0")
    _, field, where, *_ = wording.refusal().splitlines()
    assert field.endswith(": the bucket has nginx:1.25, you asked for nginx:1.26")
    assert where == f"Change it in the bucket: apps/web.yaml:21 (deploy@3f2c1ab) {place}"


def test_without_a_page_on_the_web_the_place_ends_with_the_revision() -> None:
    assert "\nChange it in Git: apps/web.yaml:17 (main@3f2c1ab)\n" in worded(IMAGE_CHANGE).refusal()


def test_fields_in_several_lines_each_name_theirs() -> None:
    args = change((*CONTAINER, "f:args"), git=["a"], old=["a"], new=["b"])
    extra = change((*CONTAINER, "f:command"), new=["c"], nature=Nature.ADDITION)
    lines = worded(IMAGE_CHANGE, args, extra, locate=lines_at(21, 23, 20)).refusal().splitlines()
    assert lines[1].endswith("you asked for nginx:1.26 (line 21)")
    assert lines[2].endswith('you asked for ["b"] (line 23)')
    assert lines[3].endswith('not in Git, you asked to add ["c"]')
    assert lines[4].startswith("Change it in Git: apps/web.yaml:21 ")
    assert "(line" not in worded(IMAGE_CHANGE, args, locate=lines_at(21, 21)).refusal()


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (change(("f:data", "f:a"), git="1", old="1"), "data.a: Git has 1, you asked to remove it"),
        (change(("f:data", "f:a"), new="1", nature=Nature.ADDITION), "data.a: not in Git, you asked to add 1"),
        (change(("f:data", "f:a"), old="1", new="2", nature=Nature.ADDITION), "data.a: not in Git, you asked for 2"),
        (change(("f:data", "f:a"), old="1", nature=Nature.ADDITION), "data.a: not in Git, you asked to remove it"),
        (change(("f:data", "f:a"), git=1, old=1, new="1"), 'data.a: Git has 1, you asked for "1"'),
        (change(("f:data", "f:a"), git="", old="", new="1"), 'data.a: Git has "", you asked for 1'),
        (change(("f:data", "f:a"), git=False, old=False, new=True), "data.a: Git has false, you asked for true"),
        (change(("f:env", 'k:{"name":"A"}'), nature=Nature.DUPLICATE), "env[name=A]: appears twice"),
        (
            change(("f:env",), git=["name=A", "name=B"], new=["name=B", "name=A"], nature=Nature.ORDER),
            'env: Git\'s order is ["name=A","name=B"], you asked for ["name=B","name=A"]',
        ),
    ],
)
def test_each_way_to_differ_has_its_words(made: Change, line: str) -> None:
    assert f"  {line}\n" in worded(made, kind=CONFIG_MAP).refusal()


@pytest.mark.parametrize(
    ("reason", "kind", "first"),
    [
        ("DeclaredFieldChanged", DEPLOYMENT, "Deployment shop/web is managed from Git, so this change is refused."),
        ("Addition", DEPLOYMENT, "Deployment shop/web is managed from Git, which does not declare this, so it is refused."),
        ("ReplicasDeclared", DEPLOYMENT, "Deployment shop/web is managed from Git, so scaling it is refused."),
        ("CreatedUnlikeGit", SECRET, "Secret shop/web is managed from Git, so creating it with other content is refused."),
        ("DeclaredObjectDeleted", NAMESPACE, "Namespace web is managed from Git, so deleting it is refused."),
        ("NamespaceHoldsDeclared", NAMESPACE, "Namespace web holds 3 objects managed from Git, so deleting it is refused."),
        (
            "DefinitionHasDeclared",
            DEFINITION,
            "CustomResourceDefinition web has 3 instances managed from Git, so deleting it is refused.",
        ),
        ("StrictNamespace", CONFIG_MAP, "ConfigMap shop/web is not in Git, so creating it in this namespace is refused."),
        (
            "JobHasEnded",
            CONFIG_MAP,
            "ConfigMap shop/web has run as Git says and gone by its time to live, so creating it is refused.",
        ),
        (
            "ScaleNotLoaded",
            DEPLOYMENT,
            "Deployment shop/web may be managed from Git, not loaded yet, so scaling it is refused.",
        ),
        (
            "CascadeNotLoaded",
            CONFIG_MAP,
            "ConfigMap shop/web may hold what is in Git, not loaded yet, so this is refused.",
        ),
        (
            "NamespaceHandedOver",
            NAMESPACE,
            "Namespace web holds 3 objects managed from Git, so giving it an owner is refused.",
        ),
        ("Tampering", DEPLOYMENT, "Deployment shop/web is managed from Git, so its ownership cannot be changed by hand."),
        ("ManagedFieldsWiped", DEPLOYMENT, "Deployment shop/web is managed from Git, so its managedFields cannot be wiped."),
        (
            "ForeignLabel",
            CONFIG_MAP,
            "ConfigMap shop/web is not managed from Git, so it may not carry the label gitopsguard.dev/sync.",
        ),
        (
            "ForeignFieldManager",
            CONFIG_MAP,
            "ConfigMap shop/web may not be written in the name of Guard's own field managers.",
        ),
        (
            "GitNotLoaded",
            DEPLOYMENT,
            "Deployment shop/web is managed from Git, which Guard has not loaded yet, so this change is refused.",
        ),
    ],
)
def test_the_first_line_says_it_all_and_fits_a_terminal(reason: str, kind: Kind, first: str) -> None:
    said = worded(kind=kind, reason=reason, count=3, sync="guard-system/a")
    assert said.refusal().splitlines()[0] == first
    assert len(first) <= message.LONGEST_HEADLINE
    milder = worded(kind=kind, reason=reason, count=3, verdict="warn").warnings()[0]
    assert milder == (
        first.replace("is refused", "would be refused under Deny")
        .replace("cannot", "should not")
        .replace("may not", "should not")
    )


def test_a_long_name_does_not_push_the_point_out_of_the_first_line() -> None:
    first = worded(IMAGE_CHANGE, name="a" * 200 + "-web", namespace="shop-" + "b" * 50).refusal().splitlines()[0]
    assert len(first) == message.LONGEST_HEADLINE
    assert first.startswith("Deployment shop-")
    assert first.endswith("a-web is managed from Git, so this change is refused.")


def test_one_object_is_not_called_objects() -> None:
    said = worded(kind=NAMESPACE, reason="NamespaceHoldsDeclared", count=1, undeclared=True).refusal()
    assert said.startswith("Namespace web holds 1 object managed from Git, so deleting it is refused.\n")
    assert "Remove them from Git first." in said
    assert "Change it in Git" not in said
    assert '\nEmergency: guard break-glass --namespace-wide -n web --for 30m --reason "..."\n' in said


def test_a_strict_namespace_names_the_sync_that_made_it_so() -> None:
    said = worded(kind=CONFIG_MAP, reason="StrictNamespace", undeclared=True).refusal()
    assert "\n  guard-system/apps has the namespace among its strictNamespaces. Declare the object in Git.\n" in said
    assert "ConfigMap shop/(name to be generated) is" in worded(kind=CONFIG_MAP, reason="StrictNamespace", name="").refusal()


def test_while_git_is_not_loaded_the_message_says_where_to_look() -> None:
    said = worded(IMAGE_CHANGE, reason="GitNotLoaded", undeclared=True).refusal()
    assert "\n  What keeps Git from being loaded: guard status guard-system/apps\n" in said
    assert "image: Git had nginx:1.25, you asked for nginx:1.26\n" in said


@pytest.mark.parametrize(
    ("kind", "path", "hint"),
    [
        (DEPLOYMENT, ("f:spec", "f:paused"), "to pause a rollout, declare it in Git"),
        (JOB, ("f:spec", "f:suspend"), "to suspend it, declare it in Git"),
    ],
)
def test_what_has_a_better_way_says_so(kind: Kind, path: Path, hint: str) -> None:
    added = change(path, new=True, nature=Nature.ADDITION)
    assert f": not in Git, you asked to add true ({hint})\n" in worded(added, kind=kind, reason="Addition").refusal()
    assert hint not in worded(added, kind=CONFIG_MAP, reason="Addition").refusal()


@pytest.mark.case(39)
@pytest.mark.parametrize(
    "path",
    [
        ("f:data",),
        ("f:data", "f:password"),
        ("f:type",),
        ("f:metadata",),
        ("f:metadata", "f:annotations"),
        ("f:metadata", "f:annotations", "f:openshift.io/token-secret.value"),
        ("f:metadata", "f:annotations", "f:kubectl.kubernetes.io/last-applied-configuration"),
        ("f:data", f'v:"{SECRET_TEXT}"'),
        ("f:data", f'k:{{"name":"{SECRET_TEXT}"}}', "f:value"),
    ],
)
@pytest.mark.parametrize("nature", list(Nature))
@pytest.mark.parametrize("absent", ["git", "old", "new", "none"])
def test_values_of_a_secret_are_never_shown(path: Path, nature: Nature, absent: str) -> None:
    values: dict[str, Json] = {name: {"key": SECRET_TEXT + name} for name in ("git", "old", "new")}
    values.pop(absent, None)
    said = worded(change(path, nature=nature, **values), kind=SECRET)
    assert SECRET_TEXT not in everything(said)
    assert path[-1].removeprefix("f:") in said.refusal() or path[-1][0] != "f" or path[-1] == "f:value"


@pytest.mark.case(39)
@pytest.mark.parametrize(
    "path",
    [
        ("f:data", "f:password"),
        ("f:metadata", "f:labels", "f:color"),
        ("f:metadata", "f:annotations", "f:copy"),
        ("f:metadata", "f:finalizers", f'v:"{SECRET_TEXT}"'),
        ("f:spec", "f:replicas"),
        ("f:spec", "f:users", f'k:{{"name":"{SECRET_TEXT}"}}', "f:value"),
    ],
)
@pytest.mark.parametrize("nature", list(Nature))
@pytest.mark.parametrize("reason", ["DeclaredFieldChanged", "ReplicasDeclared", "Tampering", "Addition"])
@pytest.mark.parametrize("kind", [CONFIG_MAP, DEPLOYMENT, SECRET])
def test_values_of_what_is_encrypted_in_git_are_never_shown(kind: Kind, path: Path, nature: Nature, reason: str) -> None:
    values: dict[str, Json] = {name: [SECRET_TEXT + name] for name in ("git", "old", "new")}
    for absent in ("git", "old", "new", "none"):
        left = {name: value for name, value in values.items() if name != absent}
        said = worded(change(path, nature=nature, **left), kind=kind, reason=reason, confidential=True)
        assert SECRET_TEXT not in everything(said)
        assert path[1].removeprefix("f:") in said.refusal()


@pytest.mark.case(39)
def test_before_git_is_loaded_nothing_is_shown_of_a_sync_that_decrypts() -> None:
    made = change(("f:data", "f:color"), git=SECRET_TEXT, old=SECRET_TEXT, new=SECRET_TEXT + "2")
    for policy, shows in ((Policy(decrypting=frozenset({SYNC})), False), (Policy(), True)):
        said = worded(made, kind=CONFIG_MAP, reason="GitNotLoaded", undeclared=True, policy=policy)
        assert (SECRET_TEXT in everything(said)) is shows


@pytest.mark.case(39)
def test_a_changed_key_of_a_secret_is_named() -> None:
    password = ("f:data", "f:password")
    said = [
        worded(made, kind=SECRET).refusal().splitlines()[1]
        for made in (
            change(password, git="a", old="a", new="b"),
            change(password, git="a", old="a"),
            change(password, new="b", nature=Nature.ADDITION),
        )
    ]
    assert said == [
        "  data.password: differs from Git (not shown)",
        "  data.password: Git has (not shown), you asked to remove it",
        "  data.password: not in Git, you asked to add it",
    ]


def test_labels_of_a_secret_are_shown() -> None:
    text = worded(change(("f:metadata", "f:labels", "f:app"), git="web", new="other"), kind=SECRET).refusal()
    assert "metadata.labels.app: Git has web, you asked for other" in text


def test_a_message_stays_short_whatever_was_changed() -> None:
    many = [change(("f:data", f"f:k{number:03}"), git="a" * 5000, new="b\n" * 5000) for number in range(20_000)]
    said = worded(*many, kind=CONFIG_MAP)
    lines = said.refusal().splitlines()
    assert "  and 19990 more fields" in lines
    assert max(map(len, lines)) < 250
    assert len(lines) < 40
    assert len(message.field_changes(case_of(CONFIG_MAP), Decision("deny", "", Requester.PERSON, changes=tuple(many)))) == 100


def long_fields() -> list[Change]:
    deep = tuple(f"f:{'x' * 60}" for _ in range(20))
    return [change((*deep, f"f:{number}\u202e"), git="é" * 900 + "\x1b", new="=?" * 900) for number in range(50)]


def test_warnings_are_within_what_the_api_server_passes_on() -> None:
    """kube-apiserver cuts each to 256 characters once all are longer than 4,096, and drops one that holds a control character."""
    far = worded(*long_fields(), verdict="warn", origin="apps/" + "y" * 500, name="z" * 253, locate=lines_at(*range(10), url=URL))
    warned = far.warnings()
    assert max(map(len, warned)) <= message.LONGEST_WARNING
    assert sum(map(len, warned)) <= 4096
    assert len(warned) == 1 + message.MOST_FIELDS + 2
    assert all(line.isprintable() and "=?" not in line for line in warned)
    assert warned[1].startswith("x")
    assert ": Git has " in warned[1]
    assert warned[-1].startswith("Change it in Git: apps/")
    assert warned[-1].endswith(" (main@3f2c1ab)")


def test_a_warning_shows_the_link_where_there_is_room() -> None:
    assert worded(IMAGE_CHANGE, verdict="warn", locate=lines_at(21, url=URL)).warnings() == (
        "Deployment shop/web is managed from Git, so this change would be refused under Deny.",
        "spec.template.spec.containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26",
        f"Change it in Git: apps/web.yaml:21 (main@3f2c1ab) {URL}",
    )


def test_notes_for_the_audit_log_name_fields_and_no_values() -> None:
    assert worded(IMAGE_CHANGE).notes() == {
        "reason": "DeclaredFieldChanged",
        "reference": "01J9Z",
        "sync": "guard-system/apps",
        "revision": "main@sha1:3f2c1ab0000000000000000000000000000000aa",
        "fields": "spec.template.spec.containers[name=web].image",
    }
    many = worded(*long_fields()).notes()["fields"]
    assert many.endswith(", 40 more fields")
    assert many.isprintable()
    assert len(many) <= 1024


def test_causes_tell_tools_field_by_field() -> None:
    twice = change((*CONTAINER, "f:env", 'k:{"name":"A"}'), nature=Nature.DUPLICATE)
    assert worded(IMAGE_CHANGE, twice, locate=lines_at(21, 22)).causes() == [
        {"reason": "DeclaredFieldChanged", "message": "Change it in Git: apps/web.yaml:21 (main@3f2c1ab) Reference: 01J9Z"},
        {
            "reason": "FieldValueForbidden",
            "field": "spec.template.spec.containers[name=web].image",
            "message": "Git has nginx:1.25, you asked for nginx:1.26",
        },
        {
            "reason": "FieldValueDuplicate",
            "field": "spec.template.spec.containers[name=web].env[name=A]",
            "message": "appears twice",
        },
    ]


def test_nothing_that_a_terminal_obeys_gets_into_the_message() -> None:
    made = change(("f:data", "f:\x1b]0;x\x07"), git="\x1b[31mred", old="\x1b[31mred", new="\u202ealb")
    said = worded(made, kind=CONFIG_MAP, name="\x1b[2Jweb", origin="apps/\x1b[1m.yaml")
    assert everything(said).replace("\n", "").isprintable()
    assert "ConfigMap shop/\\x1b[2Jweb is managed" in said.refusal()


def test_an_object_that_git_does_not_declare_has_no_place_in_git() -> None:
    label = change(("f:metadata", "f:labels", "f:gitopsguard.dev/sync"), new="guard-system.apps", nature=Nature.ADDITION)
    text = worded(label, kind=CONFIG_MAP, reason="ForeignLabel", undeclared=True, sync="").refusal()
    assert text.splitlines() == [
        "ConfigMap shop/web is not managed from Git, so it may not carry the label gitopsguard.dev/sync.",
        "  metadata.labels[gitopsguard.dev/sync]: not in Git, you asked to add guard-system.apps",
        "Reference: 01J9Z (guard audit --reference 01J9Z)",
    ]


WIDGET = Kind(group="widgets.example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
ROLE = Kind(group="rbac.authorization.k8s.io", version="v1", kind="ClusterRole", resource="clusterroles", namespaced=False)


@pytest.mark.parametrize(
    ("kind", "reason", "name", "namespace", "command"),
    [
        (DEPLOYMENT, "Addition", "web", "shop", "deployment/web -n shop"),
        (WIDGET, "Addition", "web", "shop", "widget.widgets.example.com/web -n shop"),
        (ROLE, "Addition", "system:reader", "", "clusterrole/system:reader"),
        (ROLE, "Addition", "a;b $(c)", "", "'clusterrole/a;b $(c)'"),
        (CONFIG_MAP, "StrictNamespace", "", "shop", "--namespace-wide -n shop"),
        (NAMESPACE, "NamespaceHoldsDeclared", "shop", "", "--namespace-wide -n shop"),
        (NAMESPACE, "DeclaredObjectDeleted", "shop", "", "namespace/shop"),
        (DEFINITION, "DefinitionHasDeclared", "widgets.example.com", "", "--sync guard-system/apps"),
    ],
)
def test_the_way_out_names_what_has_to_be_opened(kind: Kind, reason: str, name: str, namespace: str, command: str) -> None:
    said = worded(kind=kind, reason=reason, name=name, namespace=namespace, undeclared=True).refusal()
    assert f'\nEmergency: guard break-glass {command} --for 30m --reason "..."\n' in said
