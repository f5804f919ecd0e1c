from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state import fingerprint
from guard.state.fields import EMPTY
from guard.state.ids import ObjectKey
from guard.state.metadata import PartialObject
from tests.state.samples import CONFIG_MAP, LABEL_FIELD, entry, ours, owned

METADATA: JsonObject = {
    "name": "settings",
    "namespace": "shop",
    "resourceVersion": "5",
    "generation": 3,
    "labels": {"tier": "web"},
    "managedFields": [
        ours(LABEL_FIELD),
        entry("kubectl-edit", owned("f:data f:more")),
        entry("kubelet", owned("f:status f:phase"), subresource="status"),
    ],
}


def shown(metadata: JsonObject) -> PartialObject:
    return codec.decode_as(codec.encode({"kind": "PartialObjectMetadata", "metadata": metadata}), PartialObject)


def reversed_keys(value: object) -> object:
    """The same JSON, the keys of each object in another order."""
    if codec.is_object(value):
        return {name: reversed_keys(value[name]) for name in reversed(value)}
    return [reversed_keys(item) for item in value] if codec.is_array(value) else value


def test_an_object_and_its_metadata_alone_have_one_fingerprint() -> None:
    assert shown(METADATA).metadata.fingerprint == fingerprint({"metadata": METADATA})


def test_the_order_of_keys_is_none_of_the_fingerprint() -> None:
    other = codec.decode(codec.encode(reversed_keys(METADATA)))
    assert list(other) != list(METADATA)
    assert shown(other).metadata.fingerprint == shown(METADATA).metadata.fingerprint


@pytest.mark.parametrize("bare", [{}, {"managedFields": None, "labels": None}, {"managedFields": []}])
def test_metadata_without_entries_holds_nothing_of_ours(bare: JsonObject) -> None:
    metadata = shown(bare).metadata
    assert metadata.entries == ()
    assert metadata.our_fields == EMPTY


def test_our_fields_and_the_key_are_read_off_it() -> None:
    metadata = shown(METADATA).metadata
    assert metadata.our_fields.tree == LABEL_FIELD
    assert metadata.key(CONFIG_MAP) == ObjectKey(group="", kind="ConfigMap", namespace="shop", name="settings")


@pytest.mark.parametrize(("owners", "controlled"), [([], False), ([{"kind": "Job"}], False), ([{"controller": True}], True)])
def test_a_controller_among_the_owners_controls(owners: list[JsonObject], *, controlled: bool) -> None:
    assert shown({"ownerReferences": owners}).metadata.is_controlled is controlled
