"""Which objects hold a value that was encrypted."""

from __future__ import annotations

import base64
import random
from collections.abc import Collection

import pytest

from guard.base.codec import Json
from guard.render.confidential import marked
from guard.state.ids import Manifest, Origin


def holds(text: Json, values: Collection[str]) -> bool:
    found = Manifest(body={"kind": "ConfigMap", "data": {"key": ["other", text]}}, origin=Origin(file="a.yaml", line=1))
    return marked({"a": (found,)}, values=values, files=())["a"][0].confidential


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("hunter2", ["hunter2"], True),
        ("postgres://ada:hunter2@db", ["hunter2"], True),
        ("postgres://ada:hunter2", ["hunter2\n"], True),
        (base64.b64encode(b"hunter2").decode(), ["hunter2"], True),
        ("hunter", ["hunter2"], False),
        ("hunter22", ["hunter", "hunter2"], True),
        # Both begin alike, and only the longer one is another's beginning.
        ("hunters", ["hunter2", "hunters"], True),
        ("the cat", ["cat"], False),
        ("cat", ["cat"], True),
        ("", ["", " "], False),
        ("anything", [], False),
        (739184, ["739184"], True),
        (80, ["80"], False),
        (True, ["True"], False),
        # As Kustomize writes what is longer than a line.
        (base64.encodebytes(b"hunter2" * 20).decode(), ["hunter2" * 20], True),
    ],
)
def test_a_value_is_found_as_it_is_within_a_text_and_in_base64(text: Json, values: list[str], expected: bool) -> None:  # noqa: FBT001
    assert holds(text, values) is expected


def test_values_are_found_as_a_plain_search_finds_them() -> None:
    chance = random.Random(7)  # noqa: S311 (not for secrets)
    for _ in range(2000):
        values = ["".join(chance.choices("ab", k=chance.randint(4, 8))) for _ in range(chance.randint(0, 6))]
        text = "".join(chance.choices("ab", k=chance.randint(0, 24)))
        assert holds(text, values) is any(value in text for value in values), (text, values)


def test_many_values_are_sought_in_many_objects_at_once() -> None:
    values = [f"postgres://ada:{number:032x}@db" for number in range(20_000)]
    body: Json = {"kind": "ConfigMap", "data": {f"key{number}": f"postgres://ada:{number:031x}" for number in range(20)}}
    groups = {f"{number}": (Manifest(body=body, origin=Origin(file="a.yaml", line=1)),) for number in range(1000)}
    groups["last"] = (Manifest(body={"kind": "Secret", "data": values[-1]}, origin=Origin(file="b.yaml", line=1)),)
    # For each value in each object this would take minutes.
    found = marked(groups, values=values, files=())
    assert [name for name, manifests in groups.items() if found[name] != manifests] == ["last"]


def test_texts_that_are_made_to_be_long_to_look_through_are_taken_for_confidential() -> None:
    almost = "a" * 1_000_000
    # To compare them at each place would take days.
    assert holds(almost * 2, [f"{almost}b"])


def test_values_that_begin_alike_are_told_apart() -> None:
    head = "-----BEGIN CERTIFICATE-----\nMIIDazCCAlOgAwIBAgIU"
    values = [f"{head}{length}:{number:0{length}}" for length in (10, 40, 90) for number in range(5)]
    assert holds(f"the key {head}40:{4:040}, and more", values)
    assert not holds(f"{head}40:{9:040} {head[:40]} {values[0][:-1]}", values)
