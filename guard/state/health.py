"""How well a live object is, by what it says about itself.

The rules are kstatus' (sigs.k8s.io/cli-utils, pkg/kstatus/status) and Argo CD's (gitops-engine, pkg/health); where the two
differ, docs/decisions/0015 says which one is followed and why. What nobody has a rule for is healthy once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import msgspec

from guard.base import naming
from guard.base.codec import Json, JsonObject, child, children, is_array
from guard.state.builtin import GROUPS

State: TypeAlias = Literal["healthy", "progressing", "unhealthy"]

MESSAGE_LENGTH = 200  # two lines of a terminal: what controllers say may be pages long
# What the API server stores; anything else stands for no number, and Python refuses to write those of thousands of digits.
_INT64: Final = range(-(2**63), 2**63)
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
# A container in one of these does not start until somebody changes the pod; of ImagePullBackOff and the like time may cure it.
_LOST_CONTAINER: Final = frozenset({"CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"})


class Health(msgspec.Struct, frozen=True):
    """`unhealthy` is what will not become well by waiting. `message` is one line, at most MESSAGE_LENGTH long."""

    state: State
    message: str = ""


HEALTHY = Health("healthy")
_NONE: Final[JsonObject] = {}


def can_ail(manifest: JsonObject) -> bool:
    """Whether an object as Git declares it can be anything but healthy once it is there: what cannot is never looked at."""
    group, kind = _group(manifest), manifest.get("kind")
    if group == "" and kind == "Service":
        return child(manifest, "spec").get("type") == "LoadBalancer"
    return group not in GROUPS or (isinstance(kind, str) and (group, kind) in _RULES)


def assess(body: JsonObject) -> Health:
    """The health of a live object, whatever may stand in it."""
    metadata = child(body, "metadata")
    if metadata.get("deletionTimestamp"):
        finalizers = metadata.get("finalizers")
        waiting = ", ".join(filter(None, map(_text, finalizers))) if is_array(finalizers) else ""
        return _progressing("it is being deleted", f"it waits for {waiting}" if waiting else "")
    kind = body.get("kind")
    rule = _RULES.get((_group(body), kind)) if isinstance(kind, str) else None
    generation, observed = _number(metadata, "generation"), _number(child(body, "status"), "observedGeneration")
    if observed is None and rule in _OBSERVING:
        observed = 0
    if generation is not None and observed is not None and observed < generation:
        return _progressing(f"generation {generation} is not observed yet, {observed} was")
    return _standard(body) or (rule(body) if rule else _ready(body))


def waits_for_consumer(body: JsonObject) -> str:
    """The StorageClass of a claim that no scheduled pod mounts and that has no volume: where that class binds at the first
    consumer there is nothing to wait for. Empty for all else.
    """
    spec, metadata = child(body, "spec"), child(body, "metadata")
    if body.get("kind") != "PersistentVolumeClaim" or child(body, "status").get("phase") != "Pending":
        return ""
    return "" if _SELECTED_NODE in child(metadata, "annotations") else _text(spec.get("storageClassName"))


# ---- what controllers may say of any kind


def _standard(body: JsonObject) -> Health | None:
    """The conditions that kstatus defines for everybody; None where they say nothing."""
    stalled, reconciling = _condition(body, "Stalled"), _condition(body, "Reconciling")
    if stalled.get("status") == "True":
        return _unhealthy(*_said(stalled))
    if reconciling.get("status") == "True":
        return _progressing(*_said(reconciling))
    return None


def _ready(body: JsonObject) -> Health:
    """By a Ready condition, which most custom kinds have."""
    ready = _condition(body, "Ready")
    generation, observed = _number(child(body, "metadata"), "generation"), _number(ready, "observedGeneration")
    if generation is not None and observed is not None and observed < generation:
        return _progressing(f"generation {generation} is not observed yet, Ready is of {observed}")
    if ready.get("status") in ("False", "Unknown"):
        return _progressing(*_said(ready))
    return HEALTHY


# ---- built-in kinds


def _deployment(body: JsonObject) -> Health:
    spec, status = child(body, "spec"), child(body, "status")
    wanted, replicas = _count(spec, "replicas", 1), _count(status, "replicas")
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    failure = _condition(body, "ReplicaFailure")
    why = _said(failure) if failure.get("status") == "True" else ()
    if spec.get("paused") is True:
        # Nothing more comes of itself; what runs has to be available all the same.
        return _progressing(_of(available, replicas, "available"), *why) if available < replicas else HEALTHY
    if updated < wanted:
        found = _of(updated, wanted, "updated")
    elif replicas > updated:
        found = f"{naming.plural(replicas - updated, 'replica')} of before still there"
    elif available < wanted:
        found = _of(available, wanted, "available")
    else:
        found = ""
    if _condition(body, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return _unhealthy("the progress deadline is exceeded", found, *why)
    return _progressing(found, *why) if found else HEALTHY


def _stateful_set(body: JsonObject) -> Health:
    spec, status = child(body, "spec"), child(body, "status")
    strategy = child(spec, "updateStrategy")
    wanted, ready, replicas = _count(spec, "replicas", 1), _count(status, "readyReplicas"), _count(status, "replicas")
    if ready < wanted:
        return _progressing(_of(ready, wanted, "ready"))
    if replicas > wanted:
        return _progressing(f"{naming.plural(replicas - wanted, 'replica')} too many")
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    updated, partition = _count(status, "updatedReplicas"), _count(child(strategy, "rollingUpdate"), "partition")
    if partition:
        # The replicas below the partition stay as they are, on purpose.
        due = max(wanted - partition, 0)
        return _progressing(_of(updated, due, "updated")) if updated < due else HEALTHY
    if status.get("currentRevision") != status.get("updateRevision"):
        return _progressing(_of(updated, wanted, "updated"))
    return HEALTHY


def _daemon_set(body: JsonObject) -> Health:
    status = child(body, "status")
    wanted, updated = _count(status, "desiredNumberScheduled"), _count(status, "updatedNumberScheduled")
    available = _count(status, "numberAvailable")
    by_hand = child(child(body, "spec"), "updateStrategy").get("type") == "OnDelete"
    if updated < wanted and not by_hand:
        return _progressing(f"{updated} of {naming.plural(wanted, 'pod')} updated")
    if available < wanted:
        return _progressing(f"{available} of {naming.plural(wanted, 'pod')} available")
    return HEALTHY


def _replica_set(body: JsonObject) -> Health:
    """Also of replication controllers."""
    wanted, available = _count(child(body, "spec"), "replicas", 1), _count(child(body, "status"), "availableReplicas")
    failure = _condition(body, "ReplicaFailure")
    if failure.get("status") == "True":
        # Often a quota, which others may make room in.
        return _progressing(*_said(failure))
    replicas = _count(child(body, "status"), "replicas")
    if available < wanted:
        return _progressing(_of(available, wanted, "available"))
    return _progressing(f"{naming.plural(replicas - wanted, 'replica')} too many") if replicas > wanted else HEALTHY


def _job(body: JsonObject) -> Health:
    """A Job is well when it is done, or not to run."""
    failed = _condition(body, "Failed")
    if failed.get("status") == "True":
        return _unhealthy("the Job failed", *_said(failed))
    if _condition(body, "Complete").get("status") == "True" or child(body, "spec").get("suspend") is True:
        return HEALTHY
    status = child(body, "status")
    counts = (f"{number} {name}" for name in ("active", "succeeded", "failed") if (number := _count(status, name)))
    return _progressing("the Job is not done", ", ".join(counts))


def _pod(body: JsonObject) -> Health:
    status = child(body, "status")
    phase = status.get("phase")
    if phase == "Succeeded" or (phase == "Running" and _condition(body, "Ready").get("status") == "True"):
        return HEALTHY
    containers = [*children(status, "initContainerStatuses"), *children(status, "containerStatuses")]
    waiting = [(found, child(child(found, "state"), "waiting")) for found in containers]
    named = [(f"container {_text(found.get('name'))}", state) for found, state in waiting if state.get("reason")]
    for name, state in named:
        if state["reason"] in _LOST_CONTAINER if isinstance(state["reason"], str) else False:
            return _unhealthy(name, *_said(state))
    if phase == "Failed":
        return _unhealthy("the pod failed", *_said(status))
    if named:
        return _progressing(named[0][0], *_said(named[0][1]))
    scheduled = _condition(body, "PodScheduled")
    if scheduled.get("status") == "False":
        return _progressing(*_said(scheduled))
    return _progressing("the pod is not ready", f"phase {_text(phase)}" if phase else "")


def _claim(body: JsonObject) -> Health:
    phase = child(body, "status").get("phase")
    if phase == "Bound":
        return HEALTHY
    if phase == "Lost":
        return _unhealthy("its volume is lost")
    name = _text(child(body, "spec").get("storageClassName"))
    return _progressing(f"it is not bound to a volume of class {name}" if name else "it is not bound to a volume")


def _service(body: JsonObject) -> Health:
    is_balanced = child(body, "spec").get("type") == "LoadBalancer"
    if is_balanced and not children(child(child(body, "status"), "loadBalancer"), "ingress"):
        return _progressing("its load balancer has no address")
    return HEALTHY


def _api_service(body: JsonObject) -> Health:
    available = _condition(body, "Available")
    if available.get("status") == "True":
        return HEALTHY
    return _progressing(*(_said(available) or ("it is not available",)))


def _definition(body: JsonObject) -> Health:
    accepted, established = _condition(body, "NamesAccepted"), _condition(body, "Established")
    if accepted.get("status") == "False":
        return _unhealthy("its names are not accepted", *_said(accepted))
    if established.get("status") == "True":
        return HEALTHY
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return _unhealthy("it is not established", *_said(established))
    return _progressing("it is not established")


def _observed(_body: JsonObject) -> Health:
    """There is nothing more to it than that its controller has seen it."""
    return HEALTHY


_Rule: TypeAlias = Callable[[JsonObject], Health]

_RULES: Final[Mapping[tuple[str, str], _Rule]] = MappingProxyType(
    {
        ("apps", "Deployment"): _deployment,
        ("apps", "StatefulSet"): _stateful_set,
        ("apps", "DaemonSet"): _daemon_set,
        ("apps", "ReplicaSet"): _replica_set,
        ("", "ReplicationController"): _replica_set,
        ("batch", "Job"): _job,
        ("", "Pod"): _pod,
        ("", "PersistentVolumeClaim"): _claim,
        ("", "Service"): _service,
        ("policy", "PodDisruptionBudget"): _observed,
        ("apiregistration.k8s.io", "APIService"): _api_service,
        ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    }
)
# Their controllers always say which generation they saw: without it they have seen none.
_OBSERVING: Final = frozenset({_deployment, _stateful_set, _daemon_set, _replica_set, _observed})


# ---- reading what may be anything


def _group(body: JsonObject) -> str:
    group, found, _ = _text(body.get("apiVersion")).rpartition("/")
    return group if found else ""


def _condition(body: JsonObject, name: str) -> JsonObject:
    """Empty where there is none."""
    return next((found for found in children(child(body, "status"), "conditions") if found.get("type") == name), _NONE)


def _number(value: JsonObject, name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found in _INT64 else None


def _count(value: JsonObject, name: str, default: int = 0) -> int:
    found = _number(value, name)
    return default if found is None else found


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _said(found: JsonObject) -> tuple[str, ...]:
    """Reason and message of a condition or of what looks like one."""
    return tuple(text for name in ("reason", "message") if (text := _text(found.get(name))))


def _of(count: int, wanted: int, state: str) -> str:
    return f"{count} of {naming.plural(wanted, 'replica')} {'is' if wanted == 1 else 'are'} {state}"


def _progressing(*parts: str) -> Health:
    return Health("progressing", _line(parts))


def _unhealthy(*parts: str) -> Health:
    return Health("unhealthy", _line(parts))


def _line(parts: tuple[str, ...]) -> str:
    # Cut first: a text may be a megabyte, and an escaped letter takes up to ten.
    text = ": ".join(" ".join(part[:MESSAGE_LENGTH].split()) for part in parts if part)
    text = naming.printable(text)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 3] + "..."
