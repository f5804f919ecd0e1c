"""What live objects say about themselves. The samples are statuses as kube-controller-manager writes them, cut to what counts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.base.codec import Json, JsonObject
from guard.state.health import HEALTHY, MESSAGE_LENGTH, Health, assess, can_ail, waits_for_consumer


def live(
    kind: str,
    *,
    api: str = "apps/v1",
    spec: JsonObject | None = None,
    status: Json = None,
    generation: int = 2,
    **metadata: Json,
) -> JsonObject:
    body: JsonObject = {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": "web", "generation": generation, **metadata},
        "spec": spec or {},
    }
    return body if status is None else {**body, "status": status}


def condition(name: str, status: str = "True", **more: Json) -> JsonObject:
    return {"type": name, "status": status, **more}


def deployment(spec: JsonObject | None = None, *, observed: int = 2, conditions: Json = (), **counts: Json) -> JsonObject:
    status = {"observedGeneration": observed, "conditions": list(conditions), **counts}
    return live("Deployment", spec={"replicas": 3, **(spec or {})}, status=status)


def rolled_out(**counts: Json) -> JsonObject:
    return {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3, **counts}


DEADLINE = condition("Progressing", "False", reason="ProgressDeadlineExceeded")
QUOTA = condition("ReplicaFailure", reason="FailedCreate", message="pods is forbidden: exceeded quota")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(live("Deployment"), "generation 2 is not observed yet, 0 was", id="nobody-saw-it"),
        pytest.param(deployment(observed=1, **rolled_out()), "generation 2 is not observed yet, 1 was", id="old-status"),
        pytest.param(deployment(replicas=3, updatedReplicas=1), "1 of 3 replicas are updated", id="updating"),
        pytest.param(deployment(**rolled_out(replicas=4)), "1 replica of before still there", id="old-ones"),
        pytest.param(deployment(**rolled_out(availableReplicas=1)), "1 of 3 replicas are available", id="unavailable"),
        pytest.param(
            deployment(conditions=[QUOTA], **rolled_out(availableReplicas=1)),
            "1 of 3 replicas are available: FailedCreate: pods is forbidden: exceeded quota",
            id="no-room",
        ),
        pytest.param(
            deployment({"paused": True}, replicas=2, availableReplicas=1), "1 of 2 replicas are available", id="paused-and-down"
        ),
        pytest.param(
            live("Deployment", status={"observedGeneration": 2}), "0 of 1 replica is updated", id="one-replica-is-the-default"
        ),
    ],
)
def test_a_deployment_that_rolls_out_is_progressing(body: JsonObject, expected: str) -> None:
    assert assess(body) == Health("progressing", expected)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(deployment(**rolled_out()), id="rolled-out"),
        pytest.param(deployment({"replicas": 0}), id="scaled-to-nothing"),
        pytest.param(deployment({"paused": True}), id="paused-before-it-began"),
        pytest.param(deployment({"paused": True}, replicas=3, availableReplicas=3, updatedReplicas=0), id="paused"),
        pytest.param(deployment(conditions=[condition("Available", "False")], **rolled_out()), id="counts-decide"),
    ],
)
def test_a_deployment_whose_replicas_are_there_is_healthy(body: JsonObject) -> None:
    assert assess(body) == HEALTHY


def test_a_deployment_past_its_progress_deadline_is_unhealthy_and_says_how_far_it_came() -> None:
    body = deployment(conditions=[DEADLINE, QUOTA], replicas=3, updatedReplicas=1)
    assert assess(body) == Health(
        "unhealthy",
        "the progress deadline is exceeded: 1 of 3 replicas are updated: FailedCreate: pods is forbidden: exceeded quota",
    )
    # The next generation has a deadline of its own.
    assert assess(deployment(observed=1, conditions=[DEADLINE])).state == "progressing"


def stateful_set(strategy: JsonObject | None = None, **status: Json) -> JsonObject:
    revisions = {"currentRevision": "web-1", "updateRevision": "web-1"}
    return live(
        "StatefulSet",
        spec={"replicas": 3, "updateStrategy": strategy or {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        status={"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, **revisions, **status},
    )


PARTITION = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(stateful_set(), HEALTHY, id="ready"),
        pytest.param(stateful_set(readyReplicas=2), Health("progressing", "2 of 3 replicas are ready"), id="not-ready"),
        pytest.param(stateful_set(replicas=4), Health("progressing", "1 replica too many"), id="scaling-down"),
        pytest.param(
            stateful_set(updateRevision="web-2", updatedReplicas=1),
            Health("progressing", "1 of 3 replicas are updated"),
            id="rolling",
        ),
        pytest.param(stateful_set({"type": "OnDelete"}, updateRevision="web-2"), HEALTHY, id="updated-by-hand"),
        pytest.param(
            stateful_set({"type": "OnDelete"}, readyReplicas=0),
            Health("progressing", "0 of 3 replicas are ready"),
            id="by-hand-and-down",
        ),
        pytest.param(stateful_set(PARTITION, updateRevision="web-2", updatedReplicas=1), HEALTHY, id="partition-done"),
        pytest.param(
            stateful_set(PARTITION, updateRevision="web-2"), Health("progressing", "0 of 1 replica is updated"), id="partition"
        ),
        pytest.param(
            stateful_set(observedGeneration=1), Health("progressing", "generation 2 is not observed yet, 1 was"), id="old-status"
        ),
    ],
)
def test_a_stateful_set_goes_by_its_update_strategy(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def daemon_set(strategy: str = "RollingUpdate", **status: int) -> JsonObject:
    counts = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3, **status}
    return live("DaemonSet", spec={"updateStrategy": {"type": strategy}}, status={"observedGeneration": 2, **counts})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(daemon_set(), HEALTHY, id="everywhere"),
        pytest.param(daemon_set(updatedNumberScheduled=1), Health("progressing", "1 of 3 pods updated"), id="updating"),
        pytest.param(daemon_set(numberAvailable=2), Health("progressing", "2 of 3 pods available"), id="unavailable"),
        pytest.param(daemon_set("OnDelete", updatedNumberScheduled=0), HEALTHY, id="updated-by-hand"),
        pytest.param(
            daemon_set("OnDelete", numberAvailable=0), Health("progressing", "0 of 3 pods available"), id="by-hand-and-down"
        ),
        pytest.param(daemon_set(desiredNumberScheduled=0, updatedNumberScheduled=0, numberAvailable=0), HEALTHY, id="no-nodes"),
        pytest.param(live("DaemonSet", status={}), Health("progressing", "generation 2 is not observed yet, 0 was"), id="unseen"),
    ],
)
def test_a_daemon_set_has_to_be_on_every_node_it_wants(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def job(spec: JsonObject | None = None, **status: Json) -> JsonObject:
    return live("Job", api="batch/v1", spec=spec, status=status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(job(), Health("progressing", "the Job is not done"), id="new"),
        pytest.param(job(active=1, failed=2), Health("progressing", "the Job is not done: 1 active, 2 failed"), id="running"),
        pytest.param(job(conditions=[condition("Complete")]), HEALTHY, id="complete"),
        pytest.param(job({"suspend": True}, conditions=[condition("Suspended")]), HEALTHY, id="suspended"),
        pytest.param(job({"suspend": True}), HEALTHY, id="suspended-from-the-start"),
        pytest.param(
            job(conditions=[condition("Suspended", "False"), condition("Failed", reason="BackoffLimitExceeded")]),
            Health("unhealthy", "the Job failed: BackoffLimitExceeded"),
            id="failed",
        ),
        pytest.param(
            job(conditions=[condition("Failed", "False")]), Health("progressing", "the Job is not done"), id="not-failed"
        ),
    ],
)
def test_a_job_is_healthy_when_it_is_done_or_not_to_run(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def container(reason: str, *, name: str = "web") -> JsonObject:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": "says why"}}}


def pod(**status: Json) -> JsonObject:
    return live("Pod", api="v1", status=status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(pod(phase="Running", conditions=[condition("Ready")]), HEALTHY, id="ready"),
        pytest.param(pod(phase="Succeeded"), HEALTHY, id="succeeded"),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="low on memory"),
            Health("unhealthy", "the pod failed: Evicted: low on memory"),
            id="failed",
        ),
        pytest.param(
            pod(phase="Running", containerStatuses=[{"name": "a"}, container("CrashLoopBackOff")]),
            Health("unhealthy", "container web: CrashLoopBackOff: says why"),
            id="crashing",
        ),
        pytest.param(
            pod(phase="Pending", initContainerStatuses=[container("ImagePullBackOff", name="init")]),
            Health("progressing", "container init: ImagePullBackOff: says why"),
            id="pulling",
        ),
        pytest.param(
            pod(phase="Pending", conditions=[condition("PodScheduled", "False", reason="Unschedulable")]),
            Health("progressing", "Unschedulable"),
            id="unschedulable",
        ),
        pytest.param(
            pod(phase="Running", conditions=[condition("Ready", "False")]),
            Health("progressing", "the pod is not ready: phase Running"),
            id="not-ready",
        ),
        pytest.param(pod(), Health("progressing", "the pod is not ready"), id="unseen"),
    ],
)
def test_a_pod_is_healthy_when_it_is_ready_or_done(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def claim(phase: str, **metadata: Json) -> JsonObject:
    return live("PersistentVolumeClaim", api="v1", spec={"storageClassName": "fast"}, status={"phase": phase}, **metadata)


def test_a_claim_has_to_be_bound() -> None:
    assert assess(claim("Bound")) == HEALTHY
    assert assess(claim("Pending")) == Health("progressing", "it is not bound to a volume of class fast")
    assert assess(claim("Lost")) == Health("unhealthy", "its volume is lost")


def test_a_pending_claim_that_no_scheduled_pod_mounts_names_the_class_that_decides() -> None:
    assert waits_for_consumer(claim("Pending")) == "fast"
    assert not waits_for_consumer(claim("Pending", annotations={"volume.kubernetes.io/selected-node": "node-1"}))
    assert not waits_for_consumer(claim("Bound"))
    assert not waits_for_consumer(deployment(**rolled_out()))


def service(kind: str, **status: Json) -> JsonObject:
    return live("Service", api="v1", spec={"type": kind}, status=status)


def test_only_a_service_with_a_load_balancer_has_to_wait_for_an_address() -> None:
    assert assess(service("ClusterIP")) == HEALTHY
    assert assess(service("LoadBalancer")) == Health("progressing", "its load balancer has no address")
    assert assess(service("LoadBalancer", loadBalancer={"ingress": [{"ip": "192.0.2.1"}]})) == HEALTHY


def definition(*conditions: JsonObject) -> JsonObject:
    return live("CustomResourceDefinition", api="apiextensions.k8s.io/v1", status={"conditions": list(conditions)})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(definition(), Health("progressing", "it is not established"), id="new"),
        pytest.param(
            definition(condition("NamesAccepted"), condition("Established", "False", reason="Installing")),
            Health("progressing", "it is not established"),
            id="installing",
        ),
        pytest.param(definition(condition("NamesAccepted"), condition("Established")), HEALTHY, id="established"),
        pytest.param(
            definition(condition("NamesAccepted", "False", reason="ListKindConflict"), condition("Established")),
            Health("unhealthy", "its names are not accepted: ListKindConflict"),
            id="names-taken",
        ),
        pytest.param(
            definition(condition("Established", "False", reason="NotAccepted")),
            Health("unhealthy", "it is not established: NotAccepted"),
            id="not-accepted",
        ),
    ],
)
def test_a_definition_has_to_be_established(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            live("ReplicaSet", spec={"replicas": 2}, status={"observedGeneration": 2, "availableReplicas": 1}),
            Health("progressing", "1 of 2 replicas are available"),
            id="replica-set",
        ),
        pytest.param(
            live("ReplicationController", api="v1", spec={"replicas": 0}, status={"observedGeneration": 2, "replicas": 2}),
            Health("progressing", "2 replicas too many"),
            id="replication-controller",
        ),
        pytest.param(
            live("ReplicaSet", status={"observedGeneration": 2, "conditions": [QUOTA]}),
            Health("progressing", "FailedCreate: pods is forbidden: exceeded quota"),
            id="no-room",
        ),
        pytest.param(
            live("PodDisruptionBudget", api="policy/v1", status={"observedGeneration": 1}),
            Health("progressing", "generation 2 is not observed yet, 1 was"),
            id="budget-unseen",
        ),
        pytest.param(live("PodDisruptionBudget", api="policy/v1", status={"observedGeneration": 2}), HEALTHY, id="budget"),
        pytest.param(
            live("APIService", api="apiregistration.k8s.io/v1"), Health("progressing", "it is not available"), id="api-unseen"
        ),
        pytest.param(
            live(
                "APIService",
                api="apiregistration.k8s.io/v1",
                status={"conditions": [condition("Available", "False", reason="MissingEndpoints")]},
            ),
            Health("progressing", "MissingEndpoints"),
            id="api-away",
        ),
        pytest.param(
            live("APIService", api="apiregistration.k8s.io/v1", status={"conditions": [condition("Available")]}),
            HEALTHY,
            id="api",
        ),
        pytest.param(live("Ingress", api="networking.k8s.io/v1", status={"loadBalancer": {}}), HEALTHY, id="ingress"),
        pytest.param(live("CronJob", api="batch/v1", spec={"suspend": True}), HEALTHY, id="cron-job"),
        pytest.param(live("ConfigMap", api="v1"), HEALTHY, id="config-map"),
    ],
)
def test_other_built_in_kinds_go_by_what_they_have(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def custom(*conditions: JsonObject, **status: Json) -> JsonObject:
    return live("Widget", api="example.com/v1", status={"conditions": list(conditions), **status})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(live("Widget", api="example.com/v1"), HEALTHY, id="says-nothing"),
        pytest.param(custom(condition("Ready")), HEALTHY, id="ready"),
        pytest.param(
            custom(condition("Ready", "False", reason="Waiting", message="for its turn")),
            Health("progressing", "Waiting: for its turn"),
            id="not-ready",
        ),
        pytest.param(custom(condition("Ready", "Unknown", reason="New")), Health("progressing", "New"), id="unknown"),
        pytest.param(
            custom(condition("Ready"), observedGeneration=1),
            Health("progressing", "generation 2 is not observed yet, 1 was"),
            id="old-status",
        ),
        pytest.param(
            custom(condition("Ready", observedGeneration=1)),
            Health("progressing", "generation 2 is not observed yet, Ready is of 1"),
            id="old-condition",
        ),
        pytest.param(
            custom(condition("Reconciling", reason="Building"), condition("Ready")),
            Health("progressing", "Building"),
            id="reconciling",
        ),
        pytest.param(
            custom(condition("Reconciling", reason="Building"), condition("Stalled", reason="BadSpec", message="no size")),
            Health("unhealthy", "BadSpec: no size"),
            id="stalled",
        ),
        pytest.param(custom(condition("Stalled", "False"), condition("Reconciling", "False")), HEALTHY, id="all-is-well"),
    ],
)
def test_a_custom_resource_goes_by_the_conditions_of_kstatus(body: JsonObject, expected: Health) -> None:
    assert assess(body) == expected


def test_what_is_being_deleted_is_progressing_and_says_who_is_waited_for() -> None:
    going = live("Namespace", api="v1", deletionTimestamp="2026-01-02T03:04:05Z", finalizers=["a.example.com/x", 7])
    assert assess(going) == Health("progressing", "it is being deleted: it waits for a.example.com/x")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (live("Deployment"), True),
        (live("Job", api="batch/v1"), True),
        (live("Widget", api="example.com/v1"), True),
        (live("Service", api="serving.knative.dev/v1"), True),
        (live("Deployment", api="extensions.example.com/v1"), True),
        (live("ConfigMap", api="v1"), False),
        (live("Namespace", api="v1"), False),
        (live("CronJob", api="batch/v1"), False),
        (live("Ingress", api="networking.k8s.io/v1"), False),
        (service("ClusterIP"), False),
        (service("LoadBalancer"), True),
        ({"kind": ["Deployment"], "apiVersion": None}, False),
    ],
)
def test_what_is_healthy_once_it_is_there_is_known_from_its_manifest(body: JsonObject, expected: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    assert can_ail(body) is expected


def test_a_message_is_one_bounded_line_whatever_a_controller_says() -> None:
    message = assess(custom(condition("Ready", "False", reason="Odd", message="one\n\ttwo \x1b[31m" + "x" * 10**6))).message
    assert message.startswith("Odd: one two \\x1b[31mxxx")
    assert len(message) == MESSAGE_LENGTH
    assert message.endswith("...")


def test_a_number_that_no_api_server_stores_is_none() -> None:
    """Python itself refuses to write one of more than 4,300 digits."""
    assert assess(deployment({"replicas": 10**5000}, replicas=10**5000)) == Health("progressing", "0 of 1 replica is updated")


WORDS = [
    *("metadata", "spec", "status", "conditions", "type", "reason", "message", "generation", "observedGeneration", "replicas"),
    *(
        "updatedReplicas",
        "availableReplicas",
        "readyReplicas",
        "updateStrategy",
        "rollingUpdate",
        "partition",
        "paused",
        "suspend",
    ),
    *("containerStatuses", "initContainerStatuses", "state", "waiting", "phase", "loadBalancer", "ingress", "storageClassName"),
    *("deletionTimestamp", "finalizers", "annotations", "desiredNumberScheduled", "numberAvailable", "currentRevision", "name"),
]
TEXTS = [
    "True",
    "False",
    "Unknown",
    "Ready",
    "Stalled",
    "Reconciling",
    "Progressing",
    "Failed",
    "Pending",
    "OnDelete",
    "\ud800",
    "",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from(TEXTS)
    | st.text(max_size=8)
    | st.floats()
    | st.sampled_from([-(2**63), 2**63, 2**64, -1, 0, 1, 2])
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4), max_leaves=12
)
CONDITIONS = st.lists(st.fixed_dictionaries({"type": SCALARS, "status": SCALARS, "reason": SCALARS}), max_size=3)
STATUSES = st.dictionaries(st.sampled_from(WORDS), SCALARS | VALUES | CONDITIONS, max_size=8)
KINDS = [
    *("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "PersistentVolumeClaim", "Service", "APIService"),
    *("CustomResourceDefinition", "PodDisruptionBudget", "ReplicationController", "Widget"),
]
APIS = ["v1", "apps/v1", "batch/v1", "policy/v1", "apiregistration.k8s.io/v1", "apiextensions.k8s.io/v1", "example.com/v1"]


# Other work on the machine is none of its concern.
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    api=st.sampled_from(APIS) | VALUES,
    kind=st.sampled_from(KINDS) | VALUES,
    metadata=STATUSES | VALUES,
    spec=STATUSES | VALUES,
    status=STATUSES | VALUES,
)
def test_nothing_that_an_object_may_say_is_too_odd(api: Json, kind: Json, metadata: Json, spec: Json, status: Json) -> None:
    body: JsonObject = {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, "status": status}
    found = assess(body)
    assert found.state in {"healthy", "progressing", "unhealthy"}
    assert len(found.message) <= MESSAGE_LENGTH
    assert found.message.isprintable()
    assert isinstance(waits_for_consumer(body), str)
    assert isinstance(can_ail(body), bool)
