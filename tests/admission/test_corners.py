"""Requests at the edges of the rules, judged as the API server would deliver them."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from guard.admission import Decision, decide
from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject
from guard.state import Declared, Enforcement, FieldSet, Kind, Learned, Policy, View
from guard.state.definition import definition_of
from guard.state.fields import Path
from guard.state.ids import DEFINITION, SYNC_LABEL
from guard.state.policy import Exemption
from tests.admission.asking import (
    DECLARED,
    FIELDS,
    NOW,
    OPERATOR,
    PERSON,
    changed_paths,
    config,
    held,
    ignoring,
    judged,
    live,
    merged,
    review,
)
from tests.state.samples import (
    CONFIG_MAP,
    DEPLOYMENT,
    LABEL_FIELD,
    NAMESPACE,
    NODE,
    declared_as,
    entry,
    lesson,
    object_of,
    ours,
    owned,
    view_of,
)

SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
WIDGET = Kind(group="example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
EVENT = Kind(group="", version="v1", kind="Event", resource="events", namespaced=True)
QUESTION = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    resource="localsubjectaccessreviews",
    namespaced=True,
)


def test_wiping_our_entry_together_with_a_harmless_change_is_refused() -> None:
    """PUT and PATCH may supply managedFields that hold other entries, so nothing but ours is missing."""
    cause = {"kubernetes.io/change-cause": "tidying"}
    theirs = entry("kubectl-patch", owned("f:metadata f:annotations f:kubernetes.io/change-cause"))
    new = config(metadata={"annotations": cause, "managedFields": [theirs]})
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED)).reason == "ManagedFieldsWiped"


def test_taking_every_field_of_ours_over_with_its_value_is_harmless() -> None:
    new = config(metadata={"managedFields": [entry("argocd-controller", FIELDS, operation="Apply")]})
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED)).allowed


@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_finalizers_that_git_declares_may_go_from_an_object_that_is_going(user: str) -> None:
    tree = merged(FIELDS, {"f:metadata": {**LABEL_FIELD["f:metadata"], "f:finalizers": {'v:"example.com/keep"': {}}}})
    going = {"deletionTimestamp": "2026-01-02T03:04:05Z"}
    old = live(fields=tree, finalizers=["example.com/keep", "example.com/more"], **going)
    new = live(fields=FIELDS, **going)
    declared = declared_as(CONFIG_MAP, config(metadata={"finalizers": ["example.com/keep"]}))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=user), view_of(declared)).allowed
    old["metadata"].pop("deletionTimestamp")
    assert not judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=user), view_of(declared)).allowed


@pytest.mark.case(9)
@pytest.mark.parametrize("known", [True, False], ids=["after-an-apply", "before-any"])
@pytest.mark.parametrize(("label", "allowed"), [("guard-system.apps", True), ("", True), ("guard-system.other", False)])
def test_a_declared_name_may_be_created_with_our_label_or_without_but_not_with_another(
    label: str, *, allowed: bool, known: bool
) -> None:
    view = view_of(DECLARED, learned={DECLARED.key: lesson(DECLARED, FIELDS)} if known else {})
    new = object_of(CONFIG_MAP, label=label, data={"color": "blue"})
    decision = judged(review("CREATE", CONFIG_MAP, new=new), view)
    assert decision.allowed is allowed
    assert changed_paths(decision) == ([] if allowed else [f"metadata.labels[{SYNC_LABEL}]"])


@pytest.mark.case(9)
def test_a_created_object_may_not_lack_a_declared_list_item() -> None:
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}]
    body = object_of(DEPLOYMENT, spec={"ports": [{"port": 80}, {"port": 443}]})
    declared = declared_as(DEPLOYMENT, body)
    tree = merged(
        LABEL_FIELD, {"f:spec": {"f:ports": {f"k:{codec.encode(port).decode()}": {".": {}, "f:port": {}} for port in ports}}}
    )
    stored = object_of(DEPLOYMENT, spec={"ports": ports})
    view = view_of(declared, learned={declared.key: lesson(declared, tree, stored)})
    lacking = object_of(DEPLOYMENT, spec={"ports": ports[:1]})
    decision = judged(review("CREATE", DEPLOYMENT, new=lacking), view)
    assert changed_paths(decision) == ["spec.ports[port=443,protocol=TCP]"]
    assert judged(review("CREATE", DEPLOYMENT, new=stored), view).allowed


def test_an_object_is_judged_in_the_version_that_git_declares_it_in() -> None:
    """With another version of the kind registered as well, the API server asks in both; paths mean nothing across versions."""
    beta = Kind(group="apps", version="v1beta1", kind="Deployment", resource="deployments", namespaced=True)
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec={"replicas": 2}))
    old, new = (
        object_of(
            DEPLOYMENT,
            spec={"replicas": count},
            metadata={"managedFields": [ours(owned("f:spec f:replicas"), apiVersion="apps/v1")]},
        )
        for count in (2, 3)
    )
    assert judged(review("UPDATE", beta, old=old, new=new), view_of(declared)).reason == "OtherVersion"
    assert not judged(review("UPDATE", DEPLOYMENT, old=old, new=new), view_of(declared)).allowed


@pytest.mark.case(3)
@pytest.mark.parametrize(("spec", "allowed"), [({"replicas": 2}, False), ({"replicas": None}, True), ({}, True)])
def test_scaling_is_refused_where_git_declares_a_number_of_replicas(spec: JsonObject, *, allowed: bool) -> None:
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec=spec))
    sizes = [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": count}} for count in (2, 5)]
    asked = review(
        "UPDATE",
        DEPLOYMENT,
        old=sizes[0],
        new=sizes[1],
        subResource="scale",
        kind=SCALE,
    )
    assert judged(asked, view_of(declared)).allowed is allowed


def rolled(annotations: JsonObject) -> JsonObject:
    return {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": []}}}


NODE_TAINT = {"key": "a", "effect": "NoSchedule"}
ALLOWED: list[tuple[str, Kind, JsonObject, JsonObject]] = [
    ("rollout-restart", DEPLOYMENT, {}, {"spec": rolled({"kubectl.kubernetes.io/restartedAt": "now"})}),
    ("scale-where-git-has-no-replicas", DEPLOYMENT, {}, {"spec": {**rolled({}), "replicas": 5}}),
    ("cordon", NODE, {}, {"spec": {**rolled({}), "unschedulable": True}}),
    ("taint", NODE, {}, {"spec": {**rolled({}), "taints": [NODE_TAINT]}}),
    ("client-side-apply", CONFIG_MAP, {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, {}),
    ("change-cause", DEPLOYMENT, {"annotations": {"kubernetes.io/change-cause": "a release"}}, {}),
]


def bare(kind: Kind) -> tuple[Declared, JsonObject]:
    """A declared object, and the same as it stands."""
    declared = declared_as(kind, object_of(kind, spec={"template": {"spec": {"containers": []}}}))
    entries = {"managedFields": [ours(LABEL_FIELD, apiVersion=kind.api_version)]}
    return declared, object_of(kind, spec=rolled({}), metadata=entries)


@pytest.mark.case(5)
@pytest.mark.parametrize(("kind", "metadata", "more"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED])
def test_people_may_do_what_the_list_allows_and_nothing_beside_it(kind: Kind, metadata: JsonObject, more: JsonObject) -> None:
    declared, old = bare(kind)
    new = {**old, "metadata": {**old["metadata"], **metadata}, **more}
    assert judged(review("UPDATE", kind, old=old, new=new), view_of(declared)).reason == "NothingDeclaredChanged"
    new["spec"] = {**new["spec"], "paused": True}
    decision = judged(review("UPDATE", kind, old=old, new=new), view_of(declared))
    assert (decision.reason, changed_paths(decision)) == ("Addition", ["spec.paused"])


@pytest.mark.parametrize(
    ("kind", "field"), [(DEPLOYMENT, "unschedulable"), (DEPLOYMENT, "taints"), (WIDGET, "replicas"), (WIDGET, "taints")]
)
def test_what_the_list_allows_on_one_kind_is_an_addition_on_others(kind: Kind, field: str) -> None:
    declared, old = bare(kind)
    new = {**old, "spec": {**old["spec"], field: "more"}}
    assert judged(review("UPDATE", kind, old=old, new=new), view_of(declared)).reason == "Addition"


@pytest.mark.case(3)
@pytest.mark.parametrize(("spec", "allowed"), [({"size": 2}, False), ({}, True)])
def test_a_custom_resources_own_scale_path_counts(spec: JsonObject, *, allowed: bool) -> None:
    declared = declared_as(WIDGET, object_of(WIDGET, spec=spec), scale=("f:spec", "f:size"))
    sizes = [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": count}} for count in (2, 5)]
    asked = review("UPDATE", WIDGET, old=sizes[0], new=sizes[1], subResource="scale", kind=SCALE)
    decision = judged(asked, view_of(declared))
    assert decision.allowed is allowed
    assert changed_paths(decision) == ([] if allowed else ["spec.size"])


def test_what_is_known_to_be_a_map_may_be_filled_by_a_machine_that_wipes_managed_fields() -> None:
    """Then nobody owns anything, and no entry tells whether the API server counts it item by item."""
    declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={}))
    old = object_of(CONFIG_MAP, metadata={"managedFields": [ours(merged(LABEL_FIELD, owned("f:data")))]})
    new = object_of(CONFIG_MAP, data={"extra": "x"})
    view = view_of(declared, learned={declared.key: lesson(declared, merged(LABEL_FIELD, owned("f:data")))})
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=OPERATOR), view).allowed
    assert not judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=PERSON), view).allowed
    # Of other kinds nobody knows.
    other = declared_as(WIDGET, object_of(WIDGET, data={}))
    old, new = (
        object_of(
            WIDGET, metadata={"managedFields": [ours(merged(LABEL_FIELD, owned("f:data")), apiVersion=WIDGET.api_version)]}
        ),
        object_of(WIDGET, data={"extra": "x"}),
    )
    assert not judged(review("UPDATE", WIDGET, old=old, new=new, user=OPERATOR), view_of(other)).allowed


@pytest.mark.parametrize(("fields", "reason"), [("f:data", "NothingDeclaredChanged"), ("f:data f:extra", "ForeignFieldManager")])
def test_our_entry_may_lose_all_of_a_map_and_gain_nothing(fields: str, reason: str) -> None:
    """What has lost all fields below a map to others is left with the map, which is no gain."""
    theirs = entry("operator", owned("f:data f:color"), operation="Apply")
    new = config(metadata={"managedFields": [ours(merged(LABEL_FIELD, owned(fields))), theirs]})
    new["data"] = {"color": "blue", **({"extra": "x"} if "extra" in fields else {})}
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new, user=OPERATOR), view_of(DECLARED)).reason == reason


SERVICE = Kind(group="", version="v1", kind="Service", resource="services", namespaced=True)
NOT_STICKY: JsonObject = {"sessionAffinity": "None"}
STICKY, STICKY_LONGER = (
    {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}
    for seconds in (10800, 99999)
)
RECREATE: JsonObject = {"strategy": {"type": "Recreate"}}
ROLLING, ROLLING_FASTER = (
    {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": "25%"}}}
    for surge in ("25%", "90%")
)


@pytest.mark.parametrize(
    ("kind", "declares", "drifted", "back", "refused"),
    [
        (SERVICE, "f:sessionAffinity", NOT_STICKY, STICKY, []),
        (SERVICE, "f:sessionAffinity", STICKY, NOT_STICKY, []),
        (SERVICE, "f:sessionAffinity", NOT_STICKY, STICKY_LONGER, ["spec.sessionAffinityConfig"]),
        (DEPLOYMENT, "f:strategy f:type", RECREATE, ROLLING, []),
        (DEPLOYMENT, "f:strategy f:type", ROLLING, RECREATE, []),
        (DEPLOYMENT, "f:strategy f:type", RECREATE, ROLLING_FASTER, ["spec.strategy.rollingUpdate"]),
        (DEPLOYMENT, "f:strategy f:type", ROLLING, ROLLING_FASTER, ["spec.strategy.rollingUpdate.maxSurge"]),
    ],
    ids=["sticky", "not-sticky", "stickier", "rolling", "recreating", "rolling-faster", "faster"],
)
def test_what_follows_a_way_that_is_put_back_is_no_addition(
    kind: Kind, declares: str, drifted: JsonObject, back: JsonObject, refused: list[str]
) -> None:
    """The API server fills the configuration of a strategy in, or takes it away, as its type says."""
    git = {"sessionAffinity": back["sessionAffinity"]} if kind is SERVICE else {"strategy": {"type": back["strategy"]["type"]}}
    declared, tree = declared_as(kind, object_of(kind, spec=git)), merged(LABEL_FIELD, owned(f"f:spec {declares}"))
    view = view_of(declared, learned={declared.key: lesson(declared, tree)})
    managed = [ours(tree), entry("operator", owned(f"f:spec {declares.partition(' ')[0]}"))]
    old, new = (object_of(kind, spec=spec, metadata={"managedFields": managed}) for spec in (drifted, back))
    assert changed_paths(judged(review("UPDATE", kind, old=old, new=new), view)) == refused


PARTS: JsonObject = {
    "parts": {"type": "object", "additionalProperties": {"type": "object", "properties": {"color": {"default": "blue"}}}},
    "list": {"type": "array", "items": {"type": "object", "properties": {"color": {"default": "blue"}}}},
}
WIDGETS = definition_of(
    {
        "spec": {
            "versions": [
                {"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {"type": "object", "properties": PARTS}}}}}
            ]
        }
    },
    "v1",
)


@pytest.mark.parametrize(
    ("color", "refused"), [("blue", []), ("red", ["spec.parts.one.color"]), (None, [])], ids=["the-default", "another", "none"]
)
def test_a_part_of_a_custom_resource_comes_back_with_the_defaults_of_its_schema(color: str | None, refused: list[str]) -> None:
    """The entry of whoever puts it back holds the default, too."""
    body = object_of(WIDGET, spec={"parts": {"one": {"size": 1}}})
    declared = msgspec.structs.replace(declared_as(WIDGET, body), definition=WIDGETS)
    tree = merged(LABEL_FIELD, owned("f:spec f:parts f:one f:size"))
    view = view_of(declared, learned={declared.key: lesson(declared, tree)})
    old = object_of(WIDGET, metadata={"managedFields": [ours(LABEL_FIELD, apiVersion=WIDGET.api_version)]})
    one = {"size": 1} if color is None else {"size": 1, "color": color}
    theirs = entry("kubectl-edit", owned("f:spec f:parts f:one f:size", "f:spec f:parts f:one f:color"))
    new = object_of(WIDGET, spec={"parts": {"one": one}}, metadata={"managedFields": [*old["metadata"]["managedFields"], theirs]})
    assert changed_paths(judged(review("UPDATE", WIDGET, old=old, new=new), view)) == refused


@pytest.mark.parametrize(("color", "allowed"), [("blue", True), ("red", False)])
def test_an_atomic_list_of_a_custom_resource_is_known_with_its_defaults_before_the_first_apply(
    color: str, *, allowed: bool
) -> None:
    body = object_of(WIDGET, spec={"list": [{"size": 1}]})
    declared = msgspec.structs.replace(declared_as(WIDGET, body), definition=WIDGETS)
    mine = ours(merged(LABEL_FIELD, owned("f:spec f:list")), apiVersion=WIDGET.api_version)
    old, new = (
        object_of(WIDGET, spec={"list": [{"size": 1, "color": one}]}, metadata={"managedFields": [mine]})
        for one in ("green", color)
    )
    assert judged(review("UPDATE", WIDGET, old=old, new=new), view_of(declared)).allowed is allowed


@pytest.mark.parametrize(("manager", "allowed"), [("kubectl-edit", True), ("operator", False)], ids=["a-persons", "a-machines"])
def test_people_may_take_away_what_people_added_but_not_what_machines_did(manager: str, *, allowed: bool) -> None:
    theirs = entry(manager, owned("f:data f:more"))
    old = config(metadata={"managedFields": [ours(FIELDS), theirs]})
    old["data"] = {"color": "blue", "more": "1"}
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=live()), view_of(DECLARED)).allowed is allowed


@pytest.mark.parametrize("granular", [True, False], ids=["granular", "atomic"])
def test_a_machine_may_fill_what_git_declares_empty_where_it_is_counted_item_by_item(*, granular: bool) -> None:
    declared = declared_as(WIDGET, object_of(WIDGET, spec={"selector": {}}))
    tree = merged(LABEL_FIELD, owned("f:spec f:selector"))
    old = object_of(WIDGET, spec={"selector": {}}, metadata={"managedFields": [ours(tree, apiVersion=WIDGET.api_version)]})
    label = ours(LABEL_FIELD, apiVersion=WIDGET.api_version)
    theirs = entry("operator", owned("f:spec f:selector f:app" if granular else "f:spec f:selector"))
    new = object_of(WIDGET, spec={"selector": {"app": "web"}}, metadata={"managedFields": [label, theirs]})
    decision = judged(review("UPDATE", WIDGET, old=old, new=new, user=OPERATOR), view_of(declared))
    assert decision.allowed is granular
    if granular:
        decision = judged(review("UPDATE", WIDGET, old=old, new=new), view_of(declared))
        assert (decision.reason, changed_paths(decision)) == ("Addition", ["spec.selector.app"])


@pytest.mark.case(7)
@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_deleting_a_namespace_with_declared_objects_is_refused_with_their_number(user: str) -> None:
    view = view_of(DECLARED, declared_as(DEPLOYMENT, object_of(DEPLOYMENT)))
    shop = object_of(NAMESPACE, name="shop", label="")
    decision = judged(review("DELETE", NAMESPACE, old=shop, namespace="shop", user=user), view)
    assert (decision.reason, decision.count, decision.sync) == ("NamespaceHoldsDeclared", 2, "guard-system/apps")
    other = object_of(NAMESPACE, name="other", label="")
    assert judged(review("DELETE", NAMESPACE, old=other, namespace="other", user=user), view).allowed
    shop["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert judged(review("DELETE", NAMESPACE, old=shop, namespace="shop", user=user), view).allowed


@pytest.mark.case(7)
def test_deleting_a_definition_with_declared_instances_is_refused_with_their_number() -> None:
    view = view_of(declared_as(WIDGET, object_of(WIDGET)))
    definition = object_of(DEFINITION, name="widgets.example.com", label="")
    # deletecollection names no object.
    decision = judged(review("DELETE", DEFINITION, old=definition, name=""), view)
    assert (decision.reason, decision.count) == ("DefinitionHasDeclared", 1)
    assert decide(review=review("DELETE", DEFINITION, old=definition), view=view, policy=held("Warn"), now=NOW).verdict == "warn"


@pytest.mark.parametrize(
    ("user", "kind", "allowed"),
    [(PERSON, CONFIG_MAP, False), (OPERATOR, CONFIG_MAP, True), (PERSON, EVENT, True), (PERSON, QUESTION, True)],
    ids=["person", "machine", "an-event", "a-question-about-rights"],
)
def test_in_a_strict_namespace_people_create_only_what_git_declares(user: str, kind: Kind, *, allowed: bool) -> None:
    policy = Policy(syncs={"guard-system/apps": Enforcement()}, strict={"shop": "guard-system/apps"})

    def asked(name: str, namespace: str) -> Decision:
        new = object_of(kind, name=name, namespace=namespace, label="", data={"color": "blue"})
        return decide(review=review("CREATE", kind, new=new, user=user), view=view_of(DECLARED), policy=policy, now=NOW)

    decision = asked("other", "shop")
    assert (decision.allowed, decision.sync) == (allowed, "" if allowed else "guard-system/apps")
    assert asked("other", "elsewhere").allowed
    if kind is CONFIG_MAP:
        assert asked("web", "shop").reason == "CreatedLikeGit"


IGNORED: list[tuple[str, Policy, str, bool]] = [
    ("the-field", ignoring("/data/color"), "", True),
    ("all-below", ignoring("/data"), "", True),
    ("another-field", ignoring("/data/size"), "", False),
    ("this-kind", ignoring("/data", kind="ConfigMap", namespace="sh*"), "", True),
    ("another-kind", ignoring("/data", kind="Secret"), "", False),
    ("another-name", ignoring("/data", name="api"), "", False),
    ("its-manager", ignoring(managers=("scaler",)), "scaler", True),
    ("another-manager", ignoring(managers=("scaler",)), "other", False),
    ("its-manager-elsewhere", ignoring("/data/size", managers=("scaler",)), "scaler", False),
]


@pytest.mark.parametrize(("policy", "manager", "allowed"), [case[1:] for case in IGNORED], ids=[case[0] for case in IGNORED])
def test_what_a_sync_leaves_to_others_may_be_changed(policy: Policy, manager: str, *, allowed: bool) -> None:
    new = live()
    new["data"] = {"color": "red"}
    bare_of_entries = config()
    bare_of_entries["data"] = {"color": "red"}
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new, user=OPERATOR, manager=manager)
    assert decide(review=asked, view=view_of(DECLARED), policy=policy, now=NOW).allowed is allowed
    created = review("CREATE", CONFIG_MAP, new=bare_of_entries, user=OPERATOR, manager=manager)
    assert decide(review=created, view=view_of(DECLARED), policy=policy, now=NOW).allowed is allowed


def test_a_person_is_nobodys_field_manager() -> None:
    new = live()
    new["data"] = {"color": "red"}
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new, manager="scaler")
    assert not decide(review=asked, view=view_of(DECLARED), policy=ignoring(managers=("scaler",)), now=NOW).allowed


def test_a_map_that_comes_with_nothing_but_what_is_left_to_others_may_come() -> None:
    new = live()
    new["binaryData"] = {"theirs": "MQ=="}
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new)
    assert decide(review=asked, view=view_of(DECLARED), policy=ignoring("/binaryData/theirs"), now=NOW).allowed
    new["binaryData"]["more"] = "MQ=="
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new)
    assert not decide(review=asked, view=view_of(DECLARED), policy=ignoring("/binaryData/theirs"), now=NOW).allowed


def test_our_label_is_left_to_nobody() -> None:
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=config(label="", metadata={"managedFields": [ours(FIELDS)]}))
    for policy in (ignoring("/metadata"), ignoring(managers=("x",))):
        decision = decide(review=asked, view=view_of(DECLARED), policy=policy, now=NOW)
        assert not decision.allowed


def exempting(**more: tuple[str, ...]) -> Policy:
    return held(exempt=(Exemption(**more),))


EXEMPT: list[tuple[str, Policy, bool]] = [
    ("the-user", exempting(users=(PERSON,)), True),
    ("users-by-pattern", exempting(users=("*@example.com",)), True),
    ("another-user", exempting(users=("bob@example.com",)), False),
    ("a-group", exempting(groups=("platform",)), True),
    ("another-group", exempting(groups=("sales",)), False),
    ("nobody", exempting(kinds=("ConfigMap",)), False),
    ("kind-and-namespace", exempting(groups=("platform",), kinds=("ConfigMap",), namespaces=("shop",)), True),
    ("another-kind", exempting(groups=("platform",), kinds=("Deployment.apps",)), False),
    ("another-namespace", exempting(groups=("platform",), namespaces=("prod",)), False),
    ("another-operation", exempting(groups=("platform",), operations=("DELETE",)), False),
]


@pytest.mark.parametrize(("policy", "exempt"), [case[1:] for case in EXEMPT], ids=[case[0] for case in EXEMPT])
def test_whom_a_sync_exempts_is_let_through_and_recorded(policy: Policy, *, exempt: bool) -> None:
    new = live()
    new["data"] = {"color": "red"}
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new, userInfo={"username": PERSON, "groups": ["platform"]})
    decision = decide(review=asked, view=view_of(DECLARED), policy=policy, now=NOW)
    assert (decision.verdict, decision.reason) == ("exempt" if exempt else "deny", "DeclaredFieldChanged")
    assert changed_paths(decision) == ["data.color"]


def test_an_exempt_service_account_is_named_by_namespace_and_name() -> None:
    new = live()
    new["data"] = {"color": "red"}
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=new, user=OPERATOR)
    verdicts = [
        decide(review=asked, view=view_of(DECLARED), policy=exempting(service_accounts=(name,)), now=NOW).verdict
        for name in ("ops/operator", "ops/*", "other/operator")
    ]
    assert verdicts == ["exempt", "exempt", "deny"]


def test_a_machine_may_write_beside_drift_but_not_drift_further() -> None:
    old = live()
    old["data"] = {"color": "red"}
    noted, worse = ({**old, "data": {"color": color, "theirs": "1"}} for color in ("red", "green"))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=noted, user=OPERATOR), view_of(DECLARED)).allowed
    decision = judged(review("UPDATE", CONFIG_MAP, old=old, new=worse, user=OPERATOR), view_of(DECLARED))
    assert changed_paths(decision) == ["data.color"]


def test_fields_that_our_entry_lost_stay_declared_by_what_the_last_apply_was_given() -> None:
    view = view_of(DECLARED, learned={DECLARED.key: lesson(DECLARED, FIELDS)})
    old = config(metadata={"managedFields": [ours(LABEL_FIELD)]})
    new = {**old, "data": {"color": "red"}}
    assert changed_paths(judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=OPERATOR), view)) == ["data.color"]


@pytest.mark.case(6)
def test_deletecollection_names_no_object_but_is_judged_by_the_one_it_deletes() -> None:
    assert judged(review("DELETE", CONFIG_MAP, old=live(), name=""), view_of(DECLARED)).reason == "DeclaredObjectDeleted"


def test_a_namespace_is_found_though_its_review_says_that_it_is_in_itself() -> None:
    body = object_of(NAMESPACE, name="shop")
    asked = review("DELETE", NAMESPACE, old=body, namespace="shop")
    assert not judged(asked, view_of(declared_as(NAMESPACE, body))).allowed


@pytest.mark.case(10)
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_bodies_of_undeclared_objects_are_not_decoded(operation: str) -> None:
    body = object_of(CONFIG_MAP, name="other", label="", data={"a": "1"})
    asked = review(
        operation, CONFIG_MAP, old=None if operation == "CREATE" else body, new=None if operation == "DELETE" else body
    )
    assert judged(asked, view_of(DECLARED)).reason == "NotDeclared"
    assert asked.request.is_undecoded


@pytest.mark.parametrize("broken", ["text", [1], 7])
def test_an_object_that_is_none_is_no_reason_to_allow(broken: Json) -> None:
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=live(), object=broken)
    with pytest.raises(DecodeError):
        judged(asked, view_of(DECLARED))


def test_changes_are_named_in_one_order() -> None:
    declared: Declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data=dict.fromkeys("dbca", "1")))
    tree = merged(LABEL_FIELD, owned(*(f"f:data f:{name}" for name in "abcd")))
    old = object_of(CONFIG_MAP, data=dict.fromkeys("dbca", "1"), metadata={"managedFields": [ours(tree)]})
    new = {**old, "data": dict.fromkeys("cadb", "2")}
    decision = judged(review("UPDATE", CONFIG_MAP, old=old, new=new), view_of(declared))
    assert changed_paths(decision) == ["data.a", "data.b", "data.c", "data.d"]


# ---- what the oracle found (tests/oracle): each was judged otherwise once


def widget(tree: JsonObject, git: JsonObject, *, filled: frozenset[Path] = frozenset(), learned: bool = True) -> View:
    declared = declared_as(WIDGET, object_of(WIDGET, spec=git))
    lessons = {declared.key: Learned(body=declared.body, fields=FieldSet.parse(tree), stored=None, filled=filled)}
    return view_of(declared, learned=lessons if learned else {})


def spoilt(spec: Json, *entries: JsonObject) -> JsonObject:
    return object_of(WIDGET, spec=spec, metadata={"managedFields": [ours(LABEL_FIELD, apiVersion=WIDGET.api_version), *entries]})


ITEM = {"name": "init", "image": "a"}
ITEMS = merged(LABEL_FIELD, owned('f:spec f:items k:{"name":"init"} .', 'f:spec f:items k:{"name":"init"} f:image'))


@pytest.mark.case(2)
def test_a_restored_item_may_bring_its_defaults_along_but_no_lists() -> None:
    view = widget(ITEMS, {"items": [ITEM]})
    back: JsonObject = {**ITEM, "imagePullPolicy": "Always", "resources": {}}
    asked = review("UPDATE", WIDGET, old=spoilt({"items": []}), new=spoilt({"items": [back]}))
    assert judged(asked, view).allowed
    theirs = entry("kubectl-edit", owned('f:spec f:items k:{"name":"init"} f:args'))
    asked = review("UPDATE", WIDGET, old=spoilt({"items": []}), new=spoilt({"items": [{**back, "args": ["mine"]}]}, theirs))
    assert changed_paths(judged(asked, view)) == ["spec.items[name=init].args"]


def test_what_git_declares_as_an_empty_list_is_not_filled_by_a_map() -> None:
    view = widget(merged(LABEL_FIELD, owned("f:spec")), cast("JsonObject", []))
    theirs = entry("operator", owned("f:spec f:extra"))
    asked = review("UPDATE", WIDGET, old=spoilt([]), new=spoilt({"extra": "x"}, theirs), user=OPERATOR)
    assert judged(asked, view).reason == "DeclaredFieldChanged"


def test_what_is_gone_does_not_come_back_as_another_type() -> None:
    view = widget(merged(LABEL_FIELD, owned("f:spec f:flag f:name")), {"flag": {"name": "x"}})
    asked = review("UPDATE", WIDGET, old=spoilt({}), new=spoilt({"flag": []}), user=OPERATOR)
    assert judged(asked, view).reason == "DeclaredFieldChanged"


def test_a_default_inside_an_empty_atomic_value_is_gits_and_other_content_is_not() -> None:
    path = ("f:spec", "f:struct")
    tree = merged(LABEL_FIELD, owned("f:spec f:struct"))
    declared = declared_as(WIDGET, object_of(WIDGET, spec={"struct": {}}))
    stored = object_of(WIDGET, spec={"struct": {"b": "blue"}})
    lesson_of = Learned(body=declared.body, fields=FieldSet.parse(tree), stored=stored, filled=frozenset({path}))
    view = view_of(declared, learned={declared.key: lesson_of})
    atomic = entry("operator", owned("f:spec f:struct"))
    old, right, wrong = ({"struct": {"b": value}} for value in ("red", "blue", "green"))
    assert judged(review("UPDATE", WIDGET, old=spoilt(old), new=spoilt(right, atomic), user=OPERATOR), view).allowed
    assert not judged(review("UPDATE", WIDGET, old=spoilt(old), new=spoilt(wrong, atomic), user=OPERATOR), view).allowed
    granular = entry("operator", owned("f:spec f:struct f:b"))
    assert judged(review("UPDATE", WIDGET, old=spoilt(old), new=spoilt(wrong, granular), user=OPERATOR), view).allowed


@pytest.mark.parametrize("learned", [True, False], ids=["learned", "just-started"])
def test_what_our_entry_has_lost_stays_declared(*, learned: bool) -> None:
    tree = merged(LABEL_FIELD, owned("f:spec f:amount", "f:spec f:title"))
    view = widget(tree, {"amount": 2, "title": "a"}, learned=learned)
    drifted, worse, right = ({"amount": amount, "title": "a"} for amount in (3, 4, 2))
    asked = review("UPDATE", WIDGET, old=spoilt(drifted), new=spoilt(worse), user=OPERATOR)
    assert changed_paths(judged(asked, view)) == ["spec.amount"]
    assert judged(review("UPDATE", WIDGET, old=spoilt(drifted), new=spoilt(right)), view).allowed


@pytest.mark.parametrize("learned", [True, False], ids=["learned", "just-started"])
def test_our_label_is_declared_whatever_else_is_known(*, learned: bool) -> None:
    view = widget(merged(LABEL_FIELD, owned("f:spec f:amount")), {"amount": 2}, learned=learned)
    old = object_of(WIDGET, label="", spec={"amount": 2})
    for value in ("7", None):
        new = {**old, "metadata": {**old["metadata"], "labels": {SYNC_LABEL: value}}}
        assert not judged(review("UPDATE", WIDGET, old=old, new=new, user=OPERATOR), view).allowed


def test_more_in_our_own_entry_than_git_declares_is_refused_and_the_same_is_not() -> None:
    tree = merged(LABEL_FIELD, owned("f:data f:color"))
    more = ours(merged(LABEL_FIELD, owned("f:data f:color", "f:data f:mine")))
    new = config(metadata={"managedFields": [more]})
    new["data"] = {"color": "blue", "mine": "1"}
    for user in (PERSON, OPERATOR):
        asked = review("UPDATE", CONFIG_MAP, old=live(), new=new, user=user, manager="guard")
        assert judged(asked, view_of(DECLARED)).reason == "ForeignFieldManager"
        same_again = review("UPDATE", CONFIG_MAP, old=live(), new=live(fields=tree), user=user, manager="guard")
        assert judged(same_again, view_of(DECLARED)).allowed


TOOL = entry("curl", owned("f:data f:more"))


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ([], [TOOL], False),
        ([TOOL], [{**TOOL, "time": "2026-01-02T03:04:06Z"}], False),
        ([entry("curl", owned("f:data f:more", "f:data f:rest"))], [TOOL], True),
        ([TOOL], [TOOL, entry("operator", owned("f:data f:theirs"))], True),
    ],
    ids=["a-new-entry", "written-again", "which-only-lost-fields", "somebody-elses"],
)
def test_a_machine_that_names_no_manager_is_known_by_the_entry_that_it_wrote(
    before: list[JsonObject], after: list[JsonObject], *, allowed: bool
) -> None:
    old = config(metadata={"managedFields": [ours(FIELDS), *before]})
    new = config(metadata={"managedFields": [ours(FIELDS), *after]})
    old["data"], new["data"] = {"color": "blue", "theirs": "1"}, {"color": "blue", "theirs": "2"}
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=OPERATOR), view_of(DECLARED)).allowed is allowed


@pytest.mark.case(17)
def test_a_nodes_own_taints_are_no_change_of_those_that_git_declares() -> None:
    condition = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    declared = declared_as(NODE, object_of(NODE, spec={"taints": [NODE_TAINT]}))
    view = view_of(declared)
    assert judged(review("CREATE", NODE, new=object_of(NODE, spec={"taints": [NODE_TAINT, condition]})), view).allowed
    tree = merged(LABEL_FIELD, owned("f:spec f:taints"))
    old, right, wrong = (
        object_of(NODE, spec={"taints": taints}, metadata={"managedFields": [ours(tree)]})
        for taints in ([condition], [condition, NODE_TAINT], [{"key": "mine", "effect": "NoSchedule"}])
    )
    assert judged(review("UPDATE", NODE, old=old, new=right), view).allowed
    assert not judged(review("UPDATE", NODE, old=old, new=wrong), view).allowed


def test_null_among_data_is_empty_text() -> None:
    new = live()
    new["data"] = {"color": "blue", "extra": None}
    decision = judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED))
    assert (decision.reason, changed_paths(decision)) == ("Addition", ["data.extra"])


# ---- managedFields that a client made up


def annotated(*entries: JsonObject) -> JsonObject:
    return config(metadata={"annotations": {"theirs": "1"}, "managedFields": list(entries)})


THEIRS = owned("f:metadata f:annotations f:theirs")


@pytest.mark.case(8)
@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_nobody_pads_our_entry_so_that_our_next_apply_takes_what_is_others(user: str) -> None:
    old = annotated(ours(FIELDS), entry("operator", THEIRS))
    padded = ours({**FIELDS, "f:metadata": {**FIELDS["f:metadata"], **THEIRS["f:metadata"]}})
    asked = review("UPDATE", CONFIG_MAP, old=old, new=annotated(padded, entry("operator", THEIRS)), user=user, manager="x")
    assert judged(asked, view_of(DECLARED)).reason == "ForeignFieldManager"
    made = review("CREATE", CONFIG_MAP, new=annotated(padded), user=user, manager="x")
    assert judged(made, view_of(DECLARED)).reason == "ForeignFieldManager"


@pytest.mark.case(8)
@pytest.mark.parametrize("manager", ["kubectl-edit", "before-guard"])
def test_a_person_hands_nothing_of_a_machines_to_others(manager: str) -> None:
    old = annotated(ours(FIELDS), entry("operator", THEIRS))
    asked = review("UPDATE", CONFIG_MAP, old=old, new=annotated(ours(FIELDS), entry(manager, THEIRS)), manager="kubectl-patch")
    assert judged(asked, view_of(DECLARED)).reason == "Tampering"
    # A forced apply of the same value leaves the machine's entry as it is.
    shared = annotated(ours(FIELDS), entry("operator", THEIRS), entry("kubectl", THEIRS, operation="Apply"))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=shared, manager="kubectl"), view_of(DECLARED)).allowed


def test_a_restored_item_brings_no_privileges_along() -> None:
    view = widget(ITEMS, {"items": [ITEM]})
    back = {**ITEM, "securityContext": {"privileged": True}}
    theirs = entry("kubectl-edit", owned('f:spec f:items k:{"name":"init"} f:securityContext f:privileged'))
    asked = review("UPDATE", WIDGET, old=spoilt({"items": []}), new=spoilt({"items": [back]}, theirs))
    assert changed_paths(judged(asked, view)) == ["spec.items[name=init].securityContext"]


@pytest.mark.case(2)
@pytest.mark.parametrize(("kind", "allowed"), [("NodePort", True), ("ClusterIP", False)])
def test_a_type_that_goes_back_to_gits_brings_what_it_needs(kind: str, *, allowed: bool) -> None:
    service = Kind(group="", version="v1", kind="Service", resource="services", namespaced=True)
    tree = merged(LABEL_FIELD, owned("f:spec f:type"))
    declared = declared_as(service, object_of(service, spec={"type": "NodePort"}))
    lessons = {declared.key: Learned(body=declared.body, fields=FieldSet.parse(tree), stored=None)}
    entries = {"managedFields": [ours(tree)]}
    old = object_of(service, spec={"type": kind if not allowed else "ClusterIP"}, metadata=entries)
    theirs = entry("kubectl-edit", owned("f:spec f:healthCheckNodePort"))
    spec = {"type": "NodePort" if allowed else kind, "healthCheckNodePort": 32000}
    new = object_of(service, spec=spec, metadata={"managedFields": [ours(tree), theirs]})
    assert judged(review("UPDATE", service, old=old, new=new), view_of(declared, learned=lessons)).allowed is allowed


def test_true_is_not_one() -> None:
    view = widget(merged(LABEL_FIELD, owned("f:spec f:count")), {"count": 1})
    asked = review("UPDATE", WIDGET, old=spoilt({"count": 1}), new=spoilt({"count": True}), user=OPERATOR)
    assert changed_paths(judged(asked, view)) == ["spec.count"]
