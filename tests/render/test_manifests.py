from __future__ import annotations

import pytest

from guard.render.manifests import MOST_FAULTS, parse

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n"


def test_documents_know_their_lines() -> None:
    parsed = parse("apps/a.yaml", ("# first\n" + MAP.format("a") + "---\n\n" + MAP.format("b")).encode())

    assert [(each.body["metadata"]["name"], each.line) for each in parsed.manifests] == [
        ("a", 2),
        ("b", 8),
    ]
    assert parsed.faults == []


def test_a_list_gives_its_items_with_their_own_lines() -> None:
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
- # of its own
  apiVersion: v1
  kind: ConfigMapList
  items:
  - metadata: {name: b}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
"""
    parsed = parse("a.yaml", text.encode())

    assert [(each.body["kind"], each.body["metadata"]["name"], each.line) for each in parsed.manifests] == [
        ("ConfigMap", "a", 4),
        ("ConfigMap", "b", 11),
        ("ConfigMap", "c", 12),
    ]
    assert parsed.manifests[1].body["apiVersion"] == "v1"


@pytest.mark.parametrize("items", ["[]", "null", ""])
def test_an_empty_list_gives_nothing(items: str) -> None:
    parsed = parse("a.yaml", f"apiVersion: v1\nkind: List\nitems: {items}\n".encode())

    assert (parsed.manifests, parsed.faults) == ([], [])


def test_a_kind_that_ends_in_list_is_an_object_unless_it_has_items() -> None:
    parsed = parse("a.yaml", b"apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\n")

    assert [each.body["kind"] for each in parsed.manifests] == ["AllowList"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "is a list, not a Kubernetes object"),
        ("a", "is a text, not a Kubernetes object"),
        ("{}", "the object has no apiVersion and no kind and no metadata.name"),
        ("{apiVersion: v1, kind: ConfigMap}", "the object has no metadata.name"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: null}", "metadata is null, not an object"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: ''}}", "the object has no metadata.name"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}", "metadata.generateName would make a new object"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: 12}}", "metadata.name is a number, not a text"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: no}}", "metadata.namespace is a boolean"),
        ("{apiVersion: v1, kind: List, items: [3]}", "is a number, not a Kubernetes object"),
    ],
)
def test_what_is_no_object_says_so_with_its_line(text: str, message: str) -> None:
    (fault,) = parse("a.yaml", f"\n{text}\n".encode()).faults

    assert fault.where == "a.yaml:2"
    assert message in fault.message


@pytest.mark.parametrize(
    ("metadata", "where", "message"),
    [
        ("labels:\n    version: 1.10\n", "a.yaml:6", "metadata.labels.version is a number, not a text"),
        ("labels:\n    a: b\n    example.com/on: yes\n", "a.yaml:6", "metadata.labels[example.com/on] is a boolean, not a text"),
        ("annotations: {a: {b: c}}\n", "a.yaml:5", "metadata.annotations.a is an object, not a text"),
        ("annotations: [a]\n", "a.yaml:4", "metadata.annotations is a list, not an object"),
    ],
)
def test_labels_and_annotations_that_are_no_texts_are_named_with_their_line(metadata: str, where: str, message: str) -> None:
    (fault,) = parse("a.yaml", f"{MAP.format('a')}  {metadata}".encode()).faults

    assert (fault.where, fault.message) == (where, message)


def test_labels_and_annotations_may_be_null() -> None:
    text = MAP.format("a") + "  labels: {a: , b: ''}\n  annotations:\n"

    assert parse("a.yaml", text.encode()).faults == []


def test_a_file_of_nothing_but_faults_is_not_read_to_its_end() -> None:
    parsed = parse("a.yaml", b"a: 1\n---\n" * (MOST_FAULTS + 10))

    assert len(parsed.faults) == MOST_FAULTS


def test_every_fault_of_a_file_is_told() -> None:
    parsed = parse("a.yaml", b"kind: A\n---\nkind: B\n---\na: [\n")

    assert [fault.where for fault in parsed.faults] == ["a.yaml:1", "a.yaml:3", "a.yaml:6:1"]
