"""Ways around the rules that somebody has found: each once got past, or stood in the way of somebody harmless."""

from __future__ import annotations

import pytest

from guard.admission import decide
from guard.apply import learned
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.state import Enforcement, Kind, Policy, View
from guard.state.ids import DEFINITION
from guard.state.jobs import manifest_digest
from guard.state.policy import Exemption
from tests.admission.asking import (
    DECLARED,
    FIELDS,
    NOW,
    OPERATOR,
    PERSON,
    changed_paths,
    config,
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

HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
WIDGET = Kind(group="example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
JOB = Kind(group="batch", version="v1", kind="Job", resource="jobs", namespaced=True)
CLUSTER_ROLE = Kind(
    group="rbac.authorization.k8s.io", version="v1", kind="ClusterRole", resource="clusterroles", namespaced=False
)

# ---- cascades: everybody with a stake has a say


def mixed(*, namespace: Enforcement, content: Enforcement) -> tuple[View, Policy]:
    """A namespace that one Sync declares, with an object in it that another one does."""
    view = view_of(declared_as(NAMESPACE, object_of(NAMESPACE, name="shop")), declared_as(CONFIG_MAP, config(), sync="g/content"))
    return view, Policy(syncs={"guard-system/apps": namespace, "g/content": content})


EXEMPTING = Enforcement(exempt=(Exemption(users=(PERSON,)),))


@pytest.mark.case(7)
@pytest.mark.parametrize(
    ("namespace", "content", "verdict"),
    [
        (Enforcement(), Enforcement(mode="Audit"), "deny"),
        (Enforcement(mode="Audit"), Enforcement(), "deny"),
        (Enforcement(), EXEMPTING, "deny"),
        (EXEMPTING, Enforcement(mode="Warn"), "warn"),
        (EXEMPTING, EXEMPTING, "exempt"),
    ],
)
def test_the_strictest_sync_that_loses_something_decides_of_a_cascade(
    namespace: Enforcement, content: Enforcement, verdict: str
) -> None:
    view, policy = mixed(namespace=namespace, content=content)
    asked = review("DELETE", NAMESPACE, old=object_of(NAMESPACE, name="shop"), namespace="shop")
    assert decide(review=asked, view=view, policy=policy, now=NOW).verdict == verdict


@pytest.mark.case(7)
@pytest.mark.parametrize("label", ["", "guard-system.other"])
def test_a_sync_that_is_not_loaded_has_a_say_in_a_cascade(label: str) -> None:
    view = view_of(declared_as(CONFIG_MAP, config()))
    other = "guard-system/other"
    syncs = {"guard-system/apps": Enforcement(mode="Audit"), other: Enforcement()}
    bare = object_of(NAMESPACE, name="shop", label=label)
    asked = review("DELETE", NAMESPACE, old=bare, namespace="shop")
    unloaded = {"guard-system.other": other}
    staked = Policy(syncs=syncs, unloaded=unloaded, staked=frozenset({other}))
    assert decide(review=asked, view=view, policy=staked, now=NOW).verdict == "deny"
    # One that has applied nothing yet has a say in what carries its label alone.
    new = Policy(syncs=syncs, unloaded=unloaded)
    assert decide(review=asked, view=view, policy=new, now=NOW).verdict == ("deny" if label else "audit")


OWNED: JsonObject = {"ownerReferences": [{"uid": "1", "kind": "Pod", "name": "p"}]}


@pytest.mark.case(7)
@pytest.mark.parametrize("below", ["", "status", "finalize"])
@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [(NAMESPACE, "shop", "NamespaceHandedOver"), (DEFINITION, "widgets.example.com", "DefinitionHandedOver")],
)
def test_what_holds_declared_objects_is_given_no_owner_by_people(kind: Kind, name: str, reason: str, below: str) -> None:
    view = view_of(DECLARED, declared_as(WIDGET, object_of(WIDGET)))
    old, new = (object_of(kind, name=name, label="", metadata=metadata) for metadata in ({}, OWNED))
    more = {"subResource": below} if below else {}

    def asked(old: JsonObject, new: JsonObject, user: str = PERSON) -> str:
        found = review("UPDATE", kind, old=old, new=new, namespace=name if kind is NAMESPACE else "", user=user, **more)
        return judged(found, view).reason

    assert asked(old, new) == reason
    assert asked(new, old) == "NotDeclared"
    assert asked(old, object_of(kind, name=name, label="", metadata={"labels": {"a": "b"}})) == "NotDeclared"
    assert asked(old, new, OPERATOR) == "NotDeclared"
    empty_old, empty_new = (object_of(kind, name="other", label="", metadata=metadata) for metadata in ({}, OWNED))
    assert asked(empty_old, empty_new) == "NotDeclared"


# ---- managedFields


@pytest.mark.case(8)
def test_a_person_makes_up_no_entry_of_another_subresource() -> None:
    forged = entry("foo", owned("f:data f:color"), subresource="status")
    new = live()
    new["metadata"]["managedFields"].append(forged)
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED)).reason == "Tampering"
    # The API server writes such an entry for who asks through that subresource.
    through = review("UPDATE", CONFIG_MAP, old=live(), new=new, subResource="status")
    assert judged(through, view_of(DECLARED)).allowed


@pytest.mark.case(8)
@pytest.mark.parametrize(("user", "manager"), [(PERSON, "kubectl-patch"), (OPERATOR, "kubectl-replace")])
def test_who_writes_with_a_persons_tool_drops_nothing_of_a_machines(user: str, manager: str) -> None:
    theirs = owned("f:metadata f:annotations f:theirs")
    old, new = live(annotations={"theirs": "1"}), live(annotations={"theirs": "1"})
    old["metadata"]["managedFields"].append(entry("operator", theirs))
    new["metadata"]["managedFields"].append(entry("kubectl-edit", theirs))
    asked = review("UPDATE", CONFIG_MAP, old=old, new=new, user=user, manager=manager)
    assert judged(asked, view_of(DECLARED)).reason == "Tampering"


@pytest.mark.case(8)
def test_a_person_does_not_drop_what_a_machine_holds() -> None:
    theirs = owned("f:metadata f:annotations f:theirs")
    metadata: JsonObject = {"annotations": {"theirs": "1"}}
    old = live(**metadata)
    old["metadata"]["managedFields"].append(entry("operator", theirs))
    asked = review("UPDATE", CONFIG_MAP, old=old, new=live(**metadata), manager="kubectl-patch")
    assert judged(asked, view_of(DECLARED)).reason == "Tampering"
    # A machine may, and so may the API server, for whom another notation is another value.
    taken = live(**metadata)
    taken["metadata"]["managedFields"].append(entry("kubectl-patch", theirs))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=taken, manager="kubectl-patch"), view_of(DECLARED)).allowed
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=live(**metadata), user=OPERATOR), view_of(DECLARED)).allowed
    # What is gone was somebody's to take away, or is refused as that.
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=live()), view_of(DECLARED)).reason == "Addition"


# ---- creations


def job(**spec: Json) -> JsonObject:
    return object_of(JOB, spec={"ttlSecondsAfterFinished": 1, "template": {"spec": {"containers": [{"name": "x"}]}}, **spec})


@pytest.mark.case(9)
@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_a_job_that_went_by_its_time_to_live_is_created_by_nobody_but_guard(user: str) -> None:
    declared = declared_as(JOB, job())
    view = view_of(declared)
    asked = review("CREATE", JOB, new=job(), user=user)
    assert judged(asked, view).reason == "CreatedLikeGit"
    view.ended[declared.key] = manifest_digest(declared.body)
    assert judged(asked, view).reason == "JobHasEnded"
    # Git has changed it since, and Guard is about to create it.
    view.ended[declared.key] = manifest_digest(job(backoffLimit=1))
    assert judged(asked, view).reason == "CreatedLikeGit"


@pytest.mark.case(9)
@pytest.mark.parametrize("known", [True, False], ids=["after-an-apply", "before-any"])
@pytest.mark.parametrize(
    "metadata", [{"finalizers": ["a.example.com/b"]}, {"ownerReferences": [{"uid": "1", "kind": "Pod", "name": "p"}]}]
)
def test_what_a_person_creates_is_handed_to_nobody(metadata: JsonObject, *, known: bool) -> None:
    view = view_of(DECLARED, learned={DECLARED.key: lesson(DECLARED, FIELDS)} if known else {})
    new = config(metadata=metadata)
    assert judged(review("CREATE", CONFIG_MAP, new=new), view).reason == "CreatedUnlikeGit"
    assert judged(review("CREATE", CONFIG_MAP, new=new, user=OPERATOR), view).allowed


# ---- before Git is loaded

UNLOADED = Policy(
    unloaded={"guard-system.apps": "guard-system/apps"}, syncs={"guard-system/apps": Enforcement(additions="Allow")}
)


def unloaded(new: JsonObject, *, old: JsonObject | None = None, user: str = PERSON) -> tuple[str, list[str]]:
    asked = review("UPDATE", CONFIG_MAP, old=old or live(), new=new, user=user)
    decision = decide(review=asked, view=view_of(), policy=UNLOADED, now=NOW)
    return decision.reason, changed_paths(decision)


@pytest.mark.case(34)
def test_before_git_is_loaded_nobody_cuts_an_object_loose() -> None:
    owned_by = live(ownerReferences=[{"uid": "1", "kind": "Pod", "name": "p"}])
    assert unloaded(owned_by) == ("GitNotLoaded", ["metadata.ownerReferences"])
    assert unloaded(live(finalizers=["a.example.com/b"])) == ("GitNotLoaded", ["metadata.finalizers"])
    wiped = config(metadata={"managedFields": []})
    assert unloaded(wiped) == ("GitNotLoaded", [])
    assert unloaded(live(annotations={"a": "b"})) == ("NotDeclared", [])


@pytest.mark.case(7, 34)
@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_before_git_is_loaded_what_is_going_may_go(user: str) -> None:
    fields = merged(FIELDS, owned('f:metadata f:finalizers v:"a.example.com/b"'))
    going = live(fields=fields, finalizers=["a.example.com/b"], deletionTimestamp="2026-01-02T03:04:05Z")
    gone = live(deletionTimestamp="2026-01-02T03:04:05Z")
    assert unloaded(gone, old=going, user=user) == ("NotDeclared", [])


@pytest.mark.case(34)
def test_before_git_is_loaded_what_stood_there_stays_though_our_entry_is_gone() -> None:
    bare, changed = config(), config()
    changed["data"] = {"color": "red"}
    assert unloaded(changed, old=bare, user=OPERATOR) == ("GitNotLoaded", ["data.color"])
    more = config(metadata={"annotations": {"a": "b"}})
    assert unloaded(more, old=bare, user=OPERATOR) == ("NotDeclared", [])


# ---- nodes

OURS = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
AUTOSCALER = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}
_TAINT = "spec.taints[effect={effect},key={key}]"


def node(*taints: JsonObject) -> JsonObject:
    tree = merged(LABEL_FIELD, owned("f:spec f:taints"))
    return object_of(NODE, spec={"taints": list(taints)}, metadata={"managedFields": [ours(tree)]})


@pytest.mark.case(17)
@pytest.mark.parametrize(
    ("user", "old", "new", "refused"),
    [
        (PERSON, [OURS], [OURS, OUT_OF_SERVICE], OUT_OF_SERVICE),
        (PERSON, [OURS, NOT_READY], [OURS], NOT_READY),
        (PERSON, [OURS], [OURS, AUTOSCALER], AUTOSCALER),
        (PERSON, [OURS, NOT_READY], [{**OURS, "value": "web"}, NOT_READY], OURS),
        (PERSON, [OURS, NOT_READY], [NOT_READY, {**OURS, "timeAdded": "2026-01-02T03:04:05Z"}], None),
        (PERSON, [NOT_READY], [NOT_READY, OURS], None),
        (OPERATOR, [OURS], [AUTOSCALER, OURS], None),
        (OPERATOR, [OURS, AUTOSCALER], [OURS], None),
        (OPERATOR, [OURS], [], OURS),
    ],
)
@pytest.mark.parametrize("standing", [None, [], [NOT_READY]], ids=["before-any-apply", "after-it", "beside-another"])
def test_taints_are_judged_one_by_one(
    user: str, old: list[JsonObject], new: list[JsonObject], refused: JsonObject | None, standing: list[JsonObject] | None
) -> None:
    declared = declared_as(NODE, object_of(NODE, spec={"taints": [OURS]}))
    lessons = {} if standing is None else {declared.key: learned(declared, node(OURS, *standing))}
    view = view_of(declared, learned=lessons)
    decision = judged(review("UPDATE", NODE, old=node(*old), new=node(*new), user=user), view)
    assert changed_paths(decision) == ([_TAINT.format(**refused)] if refused else [])
    assert decision.allowed is (refused is None)


# ---- harmless after all


@pytest.mark.case(2)
@pytest.mark.parametrize("rules", [[], None])
def test_the_rules_of_an_aggregated_role_may_be_emptied_and_no_more(rules: Json) -> None:
    body = object_of(CLUSTER_ROLE, aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
    declared = declared_as(CLUSTER_ROLE, body)
    filled = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    old, new, wrong = (
        {**body, "metadata": {**body["metadata"], "managedFields": [ours(LABEL_FIELD)]}, "rules": found}
        for found in (filled, rules, [{**filled[0], "verbs": ["*"]}])
    )
    assert judged(review("UPDATE", CLUSTER_ROLE, old=old, new=new), view_of(declared)).allowed
    assert judged(review("UPDATE", CLUSTER_ROLE, old=old, new=wrong), view_of(declared)).reason == "Addition"


@pytest.mark.case(3)
@pytest.mark.parametrize(("user", "reason"), [(HPA, "LeftToOthers"), (PERSON, "ReplicasDeclared")])
def test_replicas_left_to_a_manager_are_left_to_the_autoscaler_and_not_to_people(user: str, reason: str) -> None:
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec={"replicas": 2}))
    policy = ignoring("/spec/replicas", managers=("kube-controller-manager",))
    kind = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    old, new = ({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": count}} for count in (2, 5))
    asked = review("UPDATE", DEPLOYMENT, old=old, new=new, user=user, subResource="scale", kind=kind)
    assert decide(review=asked, view=view_of(declared), policy=policy, now=NOW).reason == reason


@pytest.mark.case(16)
def test_a_doubled_item_of_a_persons_tool_is_not_undone_by_doubling_it() -> None:
    key = 'k:{"name":"mine"}'
    theirs = owned(f"f:spec f:items {key} f:name")
    git = object_of(WIDGET, spec={"items": [{"name": "ours"}]})
    tree = merged(LABEL_FIELD, owned('f:spec f:items k:{"name":"ours"} f:name'))
    declared = declared_as(WIDGET, git)

    def having(*names: str) -> JsonObject:
        entries = [ours(tree), entry("kubectl-edit", theirs)]
        return object_of(WIDGET, spec={"items": [{"name": name} for name in names]}, metadata={"managedFields": entries})

    view = view_of(declared, learned={declared.key: lesson(declared, tree)})
    asked = review("UPDATE", WIDGET, old=having("ours", "mine"), new=having("ours", "mine", "mine"))
    assert judged(asked, view).reason == "Addition"
    assert judged(review("UPDATE", WIDGET, old=having("ours", "mine"), new=having("ours")), view).allowed


@pytest.mark.case(12)
def test_what_others_put_into_an_empty_map_is_not_gits() -> None:
    declared = declared_as(WIDGET, object_of(WIDGET, things={}))
    tree = merged(LABEL_FIELD, owned("f:things"))
    theirs = entry("kubectl-edit", owned("f:things f:extra"))
    drifted = object_of(WIDGET, things={"extra": "x"}, metadata={"managedFields": [ours(tree), theirs]})
    # A Guard that was just started asks by a dry run, which leaves what others hold.
    view = view_of(declared, learned={declared.key: learned(declared, drifted)})
    bare = object_of(WIDGET, things={}, metadata={"managedFields": [ours(tree)]})
    assert judged(review("UPDATE", WIDGET, old=drifted, new=bare), view).allowed


ITEM = {"name": "web", "image": "nginx:1.25"}


def running(containers: list[JsonObject], *entries: JsonObject) -> JsonObject:
    """A Deployment of these containers."""
    spec: JsonObject = {"template": {"spec": {"containers": containers}}}
    return object_of(DEPLOYMENT, spec=spec, metadata={"managedFields": [*entries]} if entries else {})


@pytest.mark.case(5)
@pytest.mark.parametrize(
    ("along", "refused"),
    [
        ({"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log", "resources": {}}, []),
        ({"imagePullPolicy": "Always"}, ["spec.template.spec.containers[name=web].imagePullPolicy"]),
        ({"terminationMessagePath": "/etc/passwd"}, ["spec.template.spec.containers[name=web].terminationMessagePath"]),
    ],
)
def test_what_comes_along_with_a_restored_item_is_as_the_api_server_would_have_it(along: JsonObject, refused: list[str]) -> None:
    below = "f:spec f:template f:spec f:containers k:{name}".replace("{name}", codec.encode({"name": "web"}).decode())
    tree = merged(LABEL_FIELD, owned(f"{below} f:name", f"{below} f:image"))
    declared = declared_as(DEPLOYMENT, running([ITEM]))
    view = view_of(declared, learned={declared.key: lesson(declared, tree)})
    old = running([], ours(LABEL_FIELD))
    theirs = entry("kubectl-edit", owned(*(f"{below} f:{name}" for name in [*ITEM, *along])))
    new = running([{**ITEM, **along}], ours(LABEL_FIELD), theirs)
    assert changed_paths(judged(review("UPDATE", DEPLOYMENT, old=old, new=new), view)) == refused


# ---- what carries no label, before Git is loaded


@pytest.mark.case(34)
@pytest.mark.parametrize(("user", "refused"), [(PERSON, True), (OPERATOR, True), (HPA, False)])
def test_what_may_be_of_a_sync_that_is_not_loaded_waits(user: str, *, refused: bool) -> None:
    unloaded = {"guard-system.other": "guard-system/other", "guard-system.new": "guard-system/new"}
    policy = Policy(unloaded=unloaded, staked=frozenset({"guard-system/other"}))
    kind = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    old, new = ({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": count}} for count in (2, 5))
    scaled = review("UPDATE", DEPLOYMENT, old=old, new=new, user=user, subResource="scale", kind=kind)
    bare = object_of(NAMESPACE, name="shop", label="")
    deleted = review("DELETE", NAMESPACE, old=bare, namespace="shop", user=user)
    for asked, reason in ((scaled, "ScaleNotLoaded"), (deleted, "CascadeNotLoaded")):
        decision = decide(review=asked, view=view_of(), policy=policy, now=NOW)
        assert (decision.reason == reason) is refused
        assert decision.allowed is not refused
        assert judged(asked, view_of()).allowed
        # One that has never applied anything has nothing to lose.
        assert decide(review=asked, view=view_of(), policy=Policy(unloaded=unloaded), now=NOW).allowed
    # What is declared by a Sync that is loaded is judged as always.
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec={}))
    assert decide(review=scaled, view=view_of(declared), policy=policy, now=NOW).reason == "ReplicasNotDeclared"
