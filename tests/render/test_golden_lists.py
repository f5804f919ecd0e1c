"""Guard takes lists apart as the real kubectl does, and refuses the objects that it refuses."""

from __future__ import annotations

import pytest

from guard.base.codec import Json
from guard.render.manifests import parse
from tests.render import kubectl
from tests.render.kubectl import Reading, typed

ONE = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
TWO = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}"
NAMED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, "

# Both take the same objects.
TAKEN = [
    f"apiVersion: v1\nkind: List\nitems: [{ONE}, {TWO}]\n",
    f"apiVersion: v1\nkind: List\nmetadata: {{name: x}}\nitems: [{ONE}]\n",
    f"apiVersion: other/v1\nkind: List\nitems: [{ONE}]\n",
    f"kind: List\nitems: [{ONE}]\n",
    f"apiVersion: v1\nkind: List\nitems: [{ONE}]\n---\n{TWO}\n",
    "apiVersion: v1\nkind: List\nitems: []\n",
    "apiVersion: v1\nkind: List\nitems: null\n",
    "apiVersion: v1\nkind: List\nitems:\n",
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: []\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: '', kind: '', metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: null, kind: null, metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]\n",
    "apiVersion: example.com/v1\nkind: BarList\nitems: [{metadata: {name: a}}]\n",
    "apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\nspec: {items: [1]}\n",
    f"{NAMED}labels: {{a: b, 1: c, d: ''}}}}\n",
    f"{NAMED}labels: null, annotations: {{a: null}}}}\n",
    f"{NAMED}generateName: a-}}\n",
    f"{NAMED}creationTimestamp: null}}\n",
    '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}',
]

# Both refuse.
REFUSED = [
    "apiVersion: v1\nkind: List\nitems: {}\n",
    "apiVersion: v1\nkind: List\nitems: a\n",
    "apiVersion: v1\nkind: List\nitems: [1]\n",
    "apiVersion: v1\nkind: List\nitems: [null]\n",
    "apiVersion: v1\nkind: List\nitems: [[]]\n",
    "apiVersion: v1\nkind: List\nitems: [a]\n",
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: List\nitems: [{kind: ConfigMap, metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [1]}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{kind: ConfigMap, metadata: {name: a}}]\n",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: v1, metadata: {name: a}}]\n",
    f"apiVersion: v1\nitems: [{ONE}]\n",
    "apiVersion: 1\nkind: ConfigMap\nmetadata: {name: a}\n",
    "apiVersion: 1.0\nkind: ConfigMap\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: 1\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: ''\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: null\nmetadata: {name: a}\n",
    "apiVersion: v1\nmetadata: {name: a}\n",
    "apiVersion: v1\nKind: ConfigMap\nmetadata: {name: a}\n",
    *(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n" for name in ("12", "1.5", "yes", "[a]", "{a: b}")),
    "apiVersion: v1\nkind: ConfigMap\nmetadata: []\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: a\n",
    f"{NAMED}namespace: 12}}\n",
    f"{NAMED}namespace: no}}\n",
    f"{NAMED}labels: {{version: 1.10}}}}\n",
    f"{NAMED}labels: {{enabled: yes}}}}\n",
    f"{NAMED}labels: []}}\n",
    f"{NAMED}labels: a}}\n",
    f"{NAMED}annotations: {{a: 1}}}}\n",
    f"{NAMED}annotations: {{a: {{}}}}}}\n",
]

# What Guard complains of, or nothing where only kubectl complains, or takes something else.
MEANT = {
    # kubectl stumbles over a list within a list (`no Items field in this object`).
    f"apiVersion: v1\nkind: List\nitems: [{{apiVersion: v1, kind: List, items: [{ONE}]}}, {TWO}]\n": "",
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: a}}]}]\n": "",
    # To kubectl whatever has items is a list, and an object of such a kind cannot be applied.
    f"apiVersion: example.com/v1\nkind: Menu\nmetadata: {{name: a}}\nitems: [{ONE}]\n": "",
    "apiVersion: example.com/v1\nkind: Menu\nmetadata: {name: a}\nitems: []\n": "",
    "apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\nitems: {a: b}\n": "",
    # kubectl asks the API server, which refuses these.
    "apiVersion: v1\nkind: List\n": "the object has no metadata.name",
    "apiVersion: v1\nkind: ConfigMap\n": "the object has no metadata.name",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n": "metadata is null, not an object",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ''}\n": "the object has no metadata.name",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: null}\n": "the object has no metadata.name",
    "kind: ConfigMap\nmetadata: {name: a}\n": "the object has no apiVersion",
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: 12}}]\n": "metadata.name is a number",
    "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: 1, kind: 2, metadata: {name: a}}]\n": "apiVersion is a number",
    # What an apply would do over and over.
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n": "would make a new object at every apply",
    # Guard leaves the rest of the metadata to the API server, which knows every field.
    f"{NAMED}finalizers: [1]}}\n": "",
    f"{NAMED}ownerReferences: [{{kind: 1}}]}}\n": "",
    f"{NAMED}creationTimestamp: 2020-01-01}}\n": "",
    f"{NAMED}generation: '1'}}\n": "",
}


def read(text: str) -> Reading:
    parsed = parse("a.yaml", text.encode())
    return Reading(
        objects=[found.body for found in parsed.manifests],
        complaint="; ".join(f"{fault.where}: {fault.message}" for fault in parsed.faults),
    )


@pytest.fixture(scope="module")
def taken() -> dict[str, list[Json]]:
    readings = kubectl.read([text.encode() for text in TAKEN])
    assert not any(reading.complaint for reading in readings)
    return {text: reading.objects for text, reading in zip(TAKEN, readings, strict=True)}


@pytest.mark.parametrize("text", TAKEN)
def test_both_find_the_same_objects(taken: dict[str, list[Json]], text: str) -> None:
    found = read(text)
    assert not found.complaint
    assert typed(found.objects) == typed(taken[text])


# One at a time, since not all of kubectl's complaints name a file.


@pytest.mark.parametrize("text", REFUSED)
def test_both_refuse(text: str) -> None:
    assert kubectl.read([text.encode()])[0].complaint
    assert read(text).complaint.startswith("a.yaml:")


@pytest.mark.parametrize("text", MEANT)
def test_the_two_differ_where_it_is_meant(text: str) -> None:
    (expected,) = kubectl.read([text.encode()])
    found = read(text)
    assert bool(expected.complaint) != bool(found.complaint) or typed(expected.objects) != typed(found.objects)
    assert MEANT[text] in found.complaint
    assert MEANT[text] or not found.complaint
