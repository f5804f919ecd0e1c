from __future__ import annotations

import pytest

from guard.state.fields import Path
from guard.state.ids import LABEL_PATH, ObjectKey
from guard.state.secrecy import Secrecy, secrecy_of

LABEL: Path = ("f:metadata", "f:labels", "f:app")
ITEM: Path = ("f:metadata", "f:finalizers", 'v:"hunter2"')
INNER: Path = ("f:spec", "f:containers", 'k:{"name":"hunter2"}', "f:image")


@pytest.mark.parametrize(
    ("kind", "group", "confidential", "secrecy"),
    [
        ("ConfigMap", "", False, Secrecy.OPEN),
        ("Secret", "", False, Secrecy.SECRET),
        ("Secret", "example.com", False, Secrecy.OPEN),
        ("ConfigMap", "", True, Secrecy.CONFIDENTIAL),
        ("Secret", "", True, Secrecy.CONFIDENTIAL),
    ],
)
def test_secrets_and_what_was_encrypted_are_hidden(kind: str, group: str, confidential: bool, secrecy: Secrecy) -> None:  # noqa: FBT001 (a row of the table)
    key = ObjectKey(group=group, kind=kind, namespace="shop", name="web")
    assert secrecy_of(key, confidential=confidential) is secrecy
    assert secrecy.is_open is (secrecy is Secrecy.OPEN)


def test_what_is_open_hides_nothing() -> None:
    for path in (LABEL, ITEM, INNER, ()):
        assert not Secrecy.OPEN.hides(path)
        assert Secrecy.OPEN.shown(path) == path


def test_a_secret_hides_all_but_what_names_it_and_its_owners() -> None:
    assert not Secrecy.SECRET.hides(LABEL)
    assert Secrecy.SECRET.shown(ITEM) == ITEM
    for path in (("f:data",), ("f:metadata",), ("f:metadata", "f:annotations", "f:copy"), INNER, ()):
        assert Secrecy.SECRET.hides(path)
    assert Secrecy.SECRET.shown(INNER) == ("f:spec", "f:containers")


def test_what_was_encrypted_hides_all_but_guards_own_label() -> None:
    assert not Secrecy.CONFIDENTIAL.hides(LABEL_PATH)
    for path in (LABEL, ITEM, INNER, LABEL_PATH[:2], ()):
        assert Secrecy.CONFIDENTIAL.hides(path)
    assert Secrecy.CONFIDENTIAL.shown(ITEM) == ("f:metadata", "f:finalizers")
