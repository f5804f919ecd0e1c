from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.base.errors import RenderError
from guard.state.ids import DEFINITION, NAMESPACE, Kind, Manifest, Origin
from guard.sync.order import WAVE, rank, steps
from guard.sync.plan import compare, resolve

CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)
ROLE = Kind(group="rbac.authorization.k8s.io", version="v1", kind="ClusterRole", resource="clusterroles", namespaced=False)
GATEWAY_CLASS = Kind(
    group="gateway.networking.k8s.io", version="v1", kind="GatewayClass", resource="gatewayclasses", namespaced=False
)
WEBHOOKS = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    resource="validatingwebhookconfigurations",
    namespaced=False,
)
API_SERVICE = Kind(group="apiregistration.k8s.io", version="v1", kind="APIService", resource="apiservices", namespaced=False)
KINDS = (CONFIG_MAP, DEPLOYMENT, ROLE, GATEWAY_CLASS, WEBHOOKS, API_SERVICE, NAMESPACE, DEFINITION)
SERVED = {(kind.api_version, kind.kind): kind for kind in KINDS}


def manifest(kind: Kind, name: str, *, line: int = 1, wave: object = None) -> Manifest:
    metadata: JsonObject = {"name": name, **({"namespace": "x"} if kind.namespaced else {})}
    if wave is not None:
        metadata["annotations"] = {WAVE: wave}
    body: JsonObject = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return Manifest(body=body, origin=Origin(file="a.yaml", line=line))


def ordered(*manifests: Manifest) -> list[list[str]]:
    found = resolve(compare({"a": manifests}), find=lambda version, kind: SERVED.get((version, kind)), sync="ns/s", label="ns.s")
    return [[declared.key.name for declared in step] for _, step in steps(found.objects.values())]


@pytest.mark.case(25)
def test_stages_come_first_and_waves_within_them() -> None:
    assert ordered(
        manifest(DEPLOYMENT, "late", wave="1"),
        manifest(DEPLOYMENT, "web"),
        manifest(DEPLOYMENT, "early", wave="-5"),
        manifest(ROLE, "reader"),
        manifest(CONFIG_MAP, "settings", wave="7"),
        manifest(GATEWAY_CLASS, "class"),
        manifest(NAMESPACE, "x", wave="9"),
        manifest(DEFINITION, "gizmos.example.com"),
    ) == [["gizmos.example.com"], ["x"], ["reader", "class"], ["settings"], ["early"], ["web"], ["late"]]


@pytest.mark.case(25)
def test_what_refuses_others_comes_last_in_its_wave() -> None:
    assert ordered(manifest(WEBHOOKS, "judge"), manifest(API_SERVICE, "v1.example.com"), manifest(DEPLOYMENT, "web")) == [
        ["web"],
        ["judge", "v1.example.com"],
    ]
    # What the webhook is to judge may be put into a later one.
    assert ordered(manifest(DEPLOYMENT, "judged", wave="1"), manifest(WEBHOOKS, "judge")) == [["judge"], ["judged"]]


@pytest.mark.case(25)
@pytest.mark.parametrize("wave", ["one", "1.5", "", " 1", "1_000", "99999999999", "0x1"])
def test_a_wave_that_is_no_integer_keeps_the_revision_out(wave: str) -> None:
    with pytest.raises(RenderError) as raised:
        ordered(manifest(CONFIG_MAP, "a"), manifest(CONFIG_MAP, "b", line=17, wave=wave))
    assert f"a.yaml:17: ConfigMap b: the annotation gitopsguard.dev/wave is {wave!r}" in str(raised.value)


def test_a_live_object_with_a_wave_that_is_no_integer_has_none() -> None:
    assert rank(CONFIG_MAP, {WAVE: "soon"}) == rank(CONFIG_MAP, None) == rank(CONFIG_MAP, {WAVE: "+0"})
    assert rank(CONFIG_MAP, {WAVE: "-2"}) < rank(CONFIG_MAP, {}) < rank(CONFIG_MAP, {WAVE: "2"})
