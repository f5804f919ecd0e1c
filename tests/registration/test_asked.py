from __future__ import annotations

import msgspec
import pytest

from guard.base import codec
from guard.registration import client_config
from guard.registration.asked import NAMES_BYTES, Asked, Resource, asked_by, asked_of, within
from guard.registration.rules import configuration
from guard.state.desired import Declared, DesiredState
from guard.state.ids import REPLICAS, Kind
from tests.state.samples import declared_as

CLIENT = client_config(url="https://127.0.0.1:1/admission", service=False, ca_bundle="Y" * 1000)
DEPLOYMENTS = Resource(group="apps", version="v1", resource="deployments", namespaced=True)
STATEFUL_SETS = Resource(group="apps", version="v1", resource="statefulsets", namespaced=True)
RACKS = Resource(group="example.com", version="v1", resource="racks", namespaced=False)
ETCD_BYTES = 1536 * 1024


def asked(**changes: object) -> Asked:
    full = Asked(
        resources=frozenset({DEPLOYMENTS, RACKS}),
        scaled={DEPLOYMENTS: frozenset({"shop/web", "bank/web"}), RACKS: frozenset({"north"})},
        namespaces=frozenset({"shop", "bank"}),
        definitions=frozenset({"racks.example.com"}),
    )
    return msgspec.structs.replace(full, **changes)


@pytest.mark.parametrize(
    "known",
    [
        asked(),
        asked(resources=frozenset({DEPLOYMENTS, msgspec.structs.replace(DEPLOYMENTS, version="v1beta1")})),
        asked(scaled={DEPLOYMENTS: frozenset({"shop"}), RACKS: None}),
        asked(scaled={DEPLOYMENTS: frozenset(f"shop/{number:05}-{'n' * 50}" for number in range(4000))}),
        asked(namespaces=None, definitions=None),
        Asked(),
    ],
    ids=["names", "two versions", "namespaces", "split", "all", "nothing"],
)
def test_a_configuration_tells_what_it_asks_about(known: Asked) -> None:
    assert asked_by(configuration(client=CLIENT, asked=known, sync_user="me", strict=["shop"])) == known


def test_what_is_not_ours_in_a_configuration_is_not_read() -> None:
    body = configuration(client=CLIENT, asked=asked(), sync_user="me")
    body["webhooks"][0]["rules"].append({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]})
    body["webhooks"].append({"name": "mine.example.com", "rules": []})
    assert asked_by(body) == asked()


@pytest.mark.parametrize("entry", ["changes", "scale"])
@pytest.mark.parametrize("resource", ["deployments/status", "deployments/*", "*/scale", "*/*"])
def test_what_somebody_put_below_a_resource_is_no_kind(entry: str, resource: str) -> None:
    body = configuration(client=CLIENT, asked=asked(), sync_user="me")
    (edited,) = (found for found in body["webhooks"] if found["name"] == f"{entry}.gitopsguard.dev")
    edited["rules"][0] = {**edited["rules"][0], "resources": [*edited["rules"][0]["resources"], resource]}
    assert asked_by(body) == asked()


def test_joined_asks_about_what_either_asks_about() -> None:
    other = Asked(resources=frozenset({STATEFUL_SETS}), scaled={DEPLOYMENTS: frozenset({"shop/api"}), RACKS: None})
    joined = asked().joined(other)
    assert joined.resources == {DEPLOYMENTS, RACKS, STATEFUL_SETS}
    assert joined.scaled == {DEPLOYMENTS: {"shop/web", "bank/web", "shop/api"}, RACKS: None}
    assert (joined.namespaces, joined.definitions) == (asked().namespaces, asked().definitions)


def test_a_namespace_that_is_asked_about_whole_is_asked_about_beside_names() -> None:
    joined = asked().joined(Asked(scaled={DEPLOYMENTS: frozenset({"shop", "lab"})}))
    entries = configuration(client=CLIENT, asked=joined, sync_user="me")["webhooks"]
    (expression,) = (
        found["expression"]
        for entry in entries
        if entry["name"] == "scale.gitopsguard.dev"
        for found in entry["matchConditions"]
        if found["name"] == "declared"
    )
    assert expression == "request.namespace in ['bank', 'lab', 'shop']"


def test_names_give_way_to_namespaces_and_those_to_nothing_the_longest_list_first() -> None:
    many = frozenset(f"{namespace}/{'n' * 40}-{number}" for namespace in ("shop", "bank") for number in range(10))
    known = asked(scaled={DEPLOYMENTS: many, STATEFUL_SETS: frozenset({"shop/db"})})
    assert within(known) == known
    by_namespace = within(known, budget=500)
    assert by_namespace.scaled == {DEPLOYMENTS: {"shop", "bank"}, STATEFUL_SETS: {"shop/db"}}
    assert by_namespace.namespaces == known.namespaces
    assert within(known, budget=0).scaled == {DEPLOYMENTS: None, STATEFUL_SETS: None}
    assert within(known, budget=0).namespaces is None


@pytest.mark.parametrize("namespaces", [10, 1_000, 100_000])
def test_the_configuration_of_100_000_workloads_fits_into_etcd(namespaces: int) -> None:
    state = DesiredState().with_sync("ns/s", (_workload(number, namespaces=namespaces) for number in range(100_000)))
    body = configuration(client=CLIENT, asked=within(asked_of(state, kinds=KINDS)), sync_user="me")
    # The API server stores it more tightly, as protobuf, but with managedFields.
    assert len(codec.encode(body)) < ETCD_BYTES


def test_the_budget_leaves_room_for_what_else_stands_in_the_configuration() -> None:
    body = configuration(client=CLIENT, asked=Asked(resources=frozenset(map(Resource.of, KINDS))), sync_user="me")
    assert len(codec.encode(body)) < ETCD_BYTES - NAMES_BYTES


KINDS = [
    Kind(group=f"group-{number % 50}.example.com", version="v1", kind=f"Kind{number}", resource=f"kind{number}s", namespaced=True)
    for number in range(500)
]


def _workload(number: int, *, namespaces: int) -> Declared:
    kind = KINDS[number % 3]
    metadata = {"name": f"web-{number}", "namespace": f"namespace-of-a-team-{number % namespaces}"}
    return declared_as(kind, {"metadata": metadata, "spec": {"replicas": 1}}, sync="ns/s", scale=REPLICAS)
