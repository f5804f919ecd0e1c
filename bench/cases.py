"""The kinds of requests that the admission benchmark tells apart, and the webhooks and objects that they need."""

from __future__ import annotations

from itertools import count
from typing import Literal

import msgspec

from bench.client import STRATEGIC, Answer, ApiClient, Caller
from bench.objects import LARGE, Sample
from bench.setting import BenchGuard
from guard.base import codec
from guard.base.codec import JsonObject, child, children
from guard.registration import NAME
from guard.state.ids import SYNC_LABEL
from tools.controlplane import ControlPlane, Identity

OBJECTS = 16  # of each case and kind: as many as requests at a time, so that no two of these meet on one object
OWNER = "bench-owner"  # the field manager of what the benchmark declares itself, as Guard's is `guard`
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
DENIED = 403
_REFUSAL = "denied the request: "

Write = Literal["annotate", "change"]


class Case(msgspec.Struct, frozen=True):
    """One kind of request. Objects are called after `objects`; `labels` decide which webhook they meet; `decision` is the reason
    that Guard counts, empty where it is not to see the request.
    """

    title: str
    objects: str
    labels: dict[str, str]
    identity: Identity
    write: Write
    status: int
    decision: str

    @property
    def manager(self) -> str:
        return "kubectl-edit" if self.identity == "person" else "bench-operator"


def _annotating(title: str, *, objects: str, labels: dict[str, str], decision: str = "") -> Case:
    """What a machine may do to any object."""
    return Case(title, objects, labels, identity="operator", write="annotate", status=200, decision=decision)


def _changing(title: str, *, objects: str, labels: dict[str, str], decision: str = "") -> Case:
    """What a person may not do to a declared one."""
    return Case(title, objects, labels, identity="person", write="change", status=DENIED, decision=decision)


DECLARED = "declared"  # these objects come from Git
NO_WEBHOOK = _annotating("no webhook", objects="none", labels={})
NOOP = _annotating("no-op", objects="noop", labels={"bench": "noop"})
UNDECLARED = _annotating(
    "Guard, undeclared", objects="undeclared", labels={SYNC_LABEL: "guard-system.apps"}, decision="NotDeclared"
)
ALLOWED = _annotating("Guard, declared, allowed", objects=DECLARED, labels={}, decision="NothingDeclaredChanged")
NOOP_DENY = _changing("denying no-op", objects="noop-deny", labels={"bench": "noop-deny"})
REFUSED = _changing("Guard, declared, denied", objects=DECLARED, labels={}, decision="DeclaredFieldChanged")

CASES = (NO_WEBHOOK, NOOP, UNDECLARED, ALLOWED, NOOP_DENY, REFUSED)


def declared_objects() -> list[JsonObject]:
    return [sample.make(_name(ALLOWED, number)) for sample in LARGE.values() for number in range(OBJECTS)]


def _name(case: Case, number: int) -> str:
    return f"{case.objects}-{number}"


class Requests:
    """Makes the requests of each case. `prepare` first: when Guard has registered and applied what Git declares."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._callers: dict[Identity, Caller] = {name: client.caller(name) for name in ("operator", "person")}
        self._values = count()

    async def prepare(self, plane: ControlPlane, guard: BenchGuard) -> None:
        """Register the no-op, make the objects that Git does not declare, and teach the denying no-op Guard's own words."""
        live: JsonObject = await plane.call("GET", f"{CONFIGURATIONS}/{NAME}")
        for case in (NOOP, NOOP_DENY):
            await plane.call("POST", CONFIGURATIONS, body=_noop_configuration(live, url=guard.url, case=case))
        for sample in LARGE.values():
            for case in (NO_WEBHOOK, NOOP, UNDECLARED, NOOP_DENY):
                for number in range(OBJECTS):
                    await self._create(sample, case, number)
        refused = await self.send(LARGE["Deployment"], REFUSED, 0)
        status = codec.decode(refused.body)
        text = str(status["message"]).partition(_REFUSAL)[2]
        # Annotations of the lengths of Guard's: the API server writes them to its audit log.
        commit = "0" * len("main@sha1:") + "0" * 40
        notes = {"reason": REFUSED.decision, "reference": "0" * 26, "sync": "guard-system/apps", "revision": commit}
        answer = {"status": {"code": DENIED, "reason": "Forbidden", "message": text}, "auditAnnotations": notes}
        guard.denial.write_bytes(codec.encode(answer))

    async def _create(self, sample: Sample, case: Case, number: int) -> None:
        name = _name(case, number)
        path, body = sample.path(name), sample.labelled(name, case.labels)
        # Nobody but Guard may put its label on an object, unless past the webhook.
        (await self._client.apply(path, body, caller=self._client.past_the_webhook(), manager=OWNER)).json()

    async def send(self, sample: Sample, case: Case, number: int) -> Answer:
        """One request, to one of the case's objects. Its answer is as the case says, or this raises AssertionError."""
        value = str(next(self._values))
        change = sample.change(value) if case.write == "change" else {"metadata": {"annotations": {"bench/value": value}}}
        answer = await self._client.send(
            "PATCH",
            sample.path(_name(case, number % OBJECTS)),
            caller=self._callers[case.identity],
            body=codec.encode(change),
            content_type=STRATEGIC,
            params={"fieldManager": case.manager},
        )
        assert answer.status == case.status, f"{case.title}: {answer.status}: {answer.body.decode()}"
        return answer

    async def size(self, sample: Sample) -> int:
        """Bytes of a declared object as the API server stores it, managedFields and all."""
        path = sample.path(_name(ALLOWED, 0))
        return len((await self._client.send("GET", path, caller=self._client.caller("admin"))).body)


def _noop_configuration(guards: JsonObject, *, url: str, case: Case) -> JsonObject:
    """Guard's own registration of changes, conditions and all, for objects with another label and with another URL path: what the
    API server does before and after the call is the same.
    """
    webhooks: list[JsonObject] = []
    for entry in children(guards, "webhooks"):
        name = str(entry["name"])
        if name.startswith(("changes", "control-plane-changes")):
            webhooks.append(
                {
                    **entry,
                    "name": name.replace("gitopsguard", "bench-noop"),
                    "clientConfig": {"url": f"{url}/{case.objects}", "caBundle": child(entry, "clientConfig")["caBundle"]},
                    "objectSelector": {"matchLabels": case.labels},
                }
            )
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"bench-{case.objects}"},
        "webhooks": webhooks,
    }
