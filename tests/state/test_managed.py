from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.state import our_entry, our_fields
from guard.state.fields import EMPTY
from tests.state.samples import LABEL_FIELD, entry, ours


@pytest.mark.parametrize(
    "other",
    [
        entry("guard", LABEL_FIELD),
        ours(LABEL_FIELD, subresource="status"),
        entry("guard-repair", LABEL_FIELD, operation="Apply"),
    ],
    ids=["an-update-under-our-name", "an-apply-to-a-subresource", "repairs"],
)
def test_only_our_apply_to_the_object_itself_is_our_entry(other: JsonObject) -> None:
    assert our_entry({"metadata": {"managedFields": [other]}}) is None
    found = our_entry({"metadata": {"managedFields": [other, ours(LABEL_FIELD)]}})
    assert found is not None
    assert found.fields.tree == LABEL_FIELD


BARE: list[JsonObject] = [
    {},
    {"metadata": {}},
    {"metadata": {"managedFields": None}},
    {"metadata": {"managedFields": [None, {}]}},
]


@pytest.mark.parametrize("body", BARE)
def test_an_object_without_entries_holds_nothing_of_ours(body: JsonObject) -> None:
    assert our_fields(body) == EMPTY
