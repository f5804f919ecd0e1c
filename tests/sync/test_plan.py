from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec import structs

from guard.base.codec import Json, JsonObject
from guard.base.errors import RenderError
from guard.state.definition import Definition
from guard.state.desired import Declared
from guard.state.ids import DEFINITION, NAMESPACE, Kind, Manifest, Origin
from guard.sync.order import WAVE, steps
from guard.sync.plan import NOTHING, Plan, compare, kinds_to_define, resolve, without

CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
SERVED = {(kind.api_version, kind.kind): kind for kind in (CONFIG_MAP, NAMESPACE, DEFINITION)}


def manifest(kind: str, name: str, *, line: int, api_version: str = "v1", namespace: str = "", **more: object) -> Manifest:
    metadata: JsonObject = {"name": name, **({"namespace": namespace} if namespace else {})}
    return Manifest(
        body={"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}, origin=Origin(file="a.yaml", line=line)
    )


def planned(*groups: tuple[Manifest, ...], before: Plan = NOTHING, namespace: str = "", anew: bool = False) -> Plan:
    """The plan of groups that are named by letters."""
    return resolve(
        compare(dict(zip("abcdefgh", groups, strict=False)), before=before, anew=anew),
        find=lambda version, kind: SERVED.get((version, kind)),
        sync="ns/s",
        label="ns.s",
        namespace=namespace,
    )


def complaint(*manifests: Manifest) -> str:
    with pytest.raises(RenderError) as raised:
        planned(manifests)
    return str(raised.value)


def test_every_fault_is_named_with_its_line() -> None:
    text = complaint(
        manifest("ConfigMap", "a", line=1),
        manifest("Namespace", "b", line=5, namespace="x"),
        manifest("Gizmo", "c", line=9),
        manifest("ConfigMap", "d", line=13, namespace="x"),
        manifest("ConfigMap", "d", line=17, namespace="x"),
    )
    assert "a.yaml:1: ConfigMap a has no metadata.namespace, nor has the Sync a targetNamespace" in text
    assert "a.yaml:5: Namespace b has a metadata.namespace, but its kind is cluster-scoped" in text
    assert "a.yaml:9: the cluster serves no Gizmo in v1" in text
    assert "a.yaml:17: ConfigMap x/d is declared a second time, first at a.yaml:13" in text


def test_a_kind_may_come_with_the_revision_and_its_definition_goes_first() -> None:
    spec = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"kind": "Gizmo", "plural": "gizmos"},
        "versions": [{"name": "v1", "served": True}, {"name": "v0", "served": False}],
    }
    gizmo = manifest("Gizmo", "g", line=1, api_version="example.com/v1")
    definition = manifest(
        "CustomResourceDefinition", "gizmos.example.com", line=5, api_version="apiextensions.k8s.io/v1", spec=spec
    )
    objects = planned((gizmo, definition)).objects.values()
    assert [[declared.key.name for declared in stage] for _, stage in steps(objects)] == [["gizmos.example.com"], ["g"]]
    old = manifest("Gizmo", "g", line=1, api_version="example.com/v0")
    assert "serves no Gizmo in example.com/v0" in complaint(old, definition)


def test_the_revisions_own_definition_of_a_kind_counts_before_the_clusters() -> None:
    gizmo = Kind(group="example.com", version="v1", kind="Gizmo", resource="gizmos", namespaced=False)
    gadget = Kind(group="example.com", version="v1", kind="Gadget", resource="gadgets", namespaced=False)
    served = {**SERVED, (gizmo.api_version, "Gizmo"): gizmo, (gadget.api_version, "Gadget"): gadget}
    names = {"kind": "Gizmo", "plural": "gizmos"}
    version = {"name": "v1", "served": True, "subresources": {"scale": {"specReplicasPath": ".spec.size"}}}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    manifests = (
        manifest("CustomResourceDefinition", "gizmos.example.com", line=1, api_version="apiextensions.k8s.io/v1", spec=spec),
        manifest("Gizmo", "a", line=5, api_version="example.com/v1"),
        manifest("Gadget", "b", line=9, api_version="example.com/v1"),
    )
    theirs = Definition(scale=("f:spec", "f:other"))

    def find(version: str, kind: str) -> Kind | None:
        return served.get((version, kind))

    work = compare({"a.yaml": manifests})
    assert kinds_to_define(work, find=find) == {gadget}
    found = resolve(work, find=find, sync="ns/s", label="ns.s", define=lambda _kind: theirs).objects.values()
    assert [declared.scale for declared in found][1:] == [("f:spec", "f:size"), ("f:spec", "f:other")]


def _version(schema: Json) -> JsonObject:
    return {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}}


_ODD: list[Json] = [None, {"properties": [], "items": [{}], "default": 1}, {"default": 1, "x-kubernetes-list-map-keys": 5}]


@pytest.mark.parametrize("version", [{"served": True}, *map(_version, _ODD)], ids=["no-name", "no-schema", "lists", "no-keys"])
def test_a_definition_that_makes_no_sense_is_the_api_servers_to_refuse(version: JsonObject) -> None:
    spec = {"group": "example.com", "scope": "Cluster", "names": {"kind": "Gizmo", "plural": "gizmos"}, "versions": [version]}
    definition = manifest(
        "CustomResourceDefinition", "gizmos.example.com", line=1, api_version="apiextensions.k8s.io/v1", spec=spec
    )
    api_version = f"example.com/{version.get('name', '')}"
    gizmo = manifest("Gizmo", "a", line=5, api_version=api_version)
    found = planned((definition, gizmo))
    assert [key.name for key in found.objects] == ["gizmos.example.com", "a"]


def config_map(name: str, *, line: int = 1, **data: str) -> Manifest:
    return manifest("ConfigMap", name, line=line, namespace="x", data=data)


def names(objects: Iterable[Declared]) -> list[str]:
    return [declared.key.name for declared in objects]


def test_a_sync_may_name_the_namespace_of_what_names_none() -> None:
    found = planned((manifest("ConfigMap", "a", line=1), config_map("b"), manifest("Namespace", "c", line=1)), namespace="shop")

    assert [(key.kind, key.namespace, key.name) for key in found.objects] == [
        ("ConfigMap", "shop", "a"),
        ("ConfigMap", "x", "b"),
        ("Namespace", "", "c"),
    ]
    assert [declared.body["metadata"].get("namespace") for declared in found.put] == ["shop", "x", None]


def test_what_did_not_change_is_taken_from_before() -> None:
    one, two, three = (config_map("one"),), (config_map("two"),), (config_map("three"),)
    before = planned(one, two, three)
    changed = (config_map("two", color="red"), config_map("four"))

    after = planned(one, changed, before=before)

    assert (names(after.put), names(after.gone)) == (["two", "four"], ["three"])
    assert names(after.objects.values()) == ["one", "two", "four"]
    assert next(iter(after.objects.values())) is next(iter(before.objects.values()))
    again = planned(one, changed, before=after)
    assert (again.put, again.gone, again.objects) == ((), (), after.objects)


def test_what_becomes_confidential_is_taken_anew_with_nothing_to_apply() -> None:
    plain = manifest("ConfigMap", "a", line=1, namespace="x")
    secret = structs.replace(plain, confidential=True)
    for one, other in ((plain, secret), (secret, plain)):
        first = planned((one,))
        second = planned((other,), before=first)
        (taken,) = second.put
        assert (taken.confidential, first.put[0].confidential) == (other.confidential, one.confidential)
        assert taken.body is first.put[0].body  # what is to be applied goes by this


@pytest.mark.case(39)
def test_the_wave_of_what_is_encrypted_is_not_quoted() -> None:
    wrong = manifest("ConfigMap", "a", line=1, namespace="x")
    wrong.body["metadata"]["annotations"] = {WAVE: "hunter2"}
    assert "is 'hunter2', but has to be an integer" in complaint(wrong)
    said = complaint(structs.replace(wrong, confidential=True))
    assert f"the annotation {WAVE} has to be an integer" in said
    assert "hunter2" not in said


def test_what_moves_to_another_file_is_neither_gone_nor_another_object() -> None:
    before = planned((config_map("one"),), (config_map("two"),))

    after = planned((), (config_map("one", line=9), config_map("two")), before=before)

    assert names(after.put) == ["one"]
    assert after.gone == ()
    (moved,) = after.put
    assert moved.origin.line == 9
    assert moved.body is before.objects[moved.key].body


def test_a_double_is_found_whether_or_not_the_first_changed() -> None:
    one = (config_map("one"),)
    before = planned(one, (config_map("two"),))

    with pytest.raises(RenderError, match=r"ConfigMap x/one is declared a second time, first at a\.yaml:1"):
        planned(one, (config_map("one", line=5),), before=before)
    # Two objects that change places are no doubles.
    swapped = planned((config_map("two"),), (config_map("one"),), before=before)
    assert len(swapped.objects) == 2


def test_a_definition_among_what_changed_has_all_resolved_anew() -> None:
    spec = {"group": "example.com", "scope": "Cluster", "names": {"kind": "Gizmo", "plural": "gizmos"}}
    version = {"name": "v1", "served": True}

    def definition(**more: Json) -> Manifest:
        body = {**spec, "versions": [{**version, **more}]}
        return manifest(
            "CustomResourceDefinition", "gizmos.example.com", line=1, api_version="apiextensions.k8s.io/v1", spec=body
        )

    gizmo = (manifest("Gizmo", "g", line=1, api_version="example.com/v1"),)
    settings = (config_map("one"),)
    before = planned((definition(),), gizmo, settings)
    scaled = {"subresources": {"scale": {"specReplicasPath": ".spec.size"}}}

    after = planned((definition(**scaled),), gizmo, settings, before=before)

    assert names(after.put) == ["gizmos.example.com", "g"]
    assert after.gone == ()
    with pytest.raises(RenderError, match="serves no Gizmo"):
        planned((), gizmo, settings, before=before)


def test_resolved_anew_what_is_the_same_stays_the_same() -> None:
    groups = (config_map("one"),), (config_map("two"),)
    before = planned(*groups)

    after = planned(*groups, before=before, anew=True)

    assert (after.put, after.gone) == ((), ())
    assert after.objects == before.objects


def test_a_plan_without_some_objects_can_be_gone_on_from() -> None:
    groups = (config_map("one"), config_map("two")), (config_map("three"),)
    whole = planned(*groups)
    less = without(whole, {key for key in whole.objects if key.name == "one"})

    assert names(less.put) == names(less.objects.values()) == ["two", "three"]
    assert names(planned(*groups, before=less, anew=True).put) == ["one"]
    assert names(planned((config_map("two"),), groups[1], before=less).objects.values()) == ["three", "two"]
