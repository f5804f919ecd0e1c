from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base import codec, naming
from guard.state import ObjectKey


def test_objects_are_named_as_people_and_kubectl_name_them() -> None:
    web, reader = ObjectKey("apps", "Deployment", "default", "web"), ObjectKey("rbac", "ClusterRole", "", "reader")
    assert (str(web), str(reader)) == ("Deployment default/web", "ClusterRole reader")
    assert naming.argument(kind="Deployment", namespace="default", name="web") == "deployment/web -n default"
    assert naming.argument(kind="ClusterRole", namespace="", name="reader") == "clusterrole/reader"


def test_counts_agree_with_their_noun() -> None:
    assert [naming.plural(count, "object") for count in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("web\n::error::forged", "web\\n::error::forged"),
        ("\x1b[2J\x1b]0;pwn\x07", "\\x1b[2J\\x1b]0;pwn\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("ab\u202egnp.exe", "ab\\u202egnp.exe"),
    ],
)
def test_the_name_of_an_object_is_nothing_that_a_terminal_obeys(name: str, shown: str) -> None:
    assert str(ObjectKey("", "ConfigMap", "shop", name)) == f"ConfigMap shop/{shown}"
    assert naming.titled(kind=name, namespace="", name="x") == f"{shown} x"


@given(st.text())
def test_what_is_printable_is_not_escaped_again(text: str) -> None:
    once = naming.printable(text)
    assert once.isprintable()
    assert naming.printable(once) == once


@given(st.recursive(st.text() | st.none(), lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=5))
def test_printable_json_reads_as_the_same_value(value: object) -> None:
    shown = naming.printable_json(codec.pretty(value))
    assert codec.decode(shown.encode()) == value
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("main@sha1:3f2c1ab999", "main@3f2c1ab"),
        ("release@1@sha1:3f2c1ab999", "release@1@3f2c1ab"),
        ("bucket@sha256:0123456789", "bucket@0123456"),
    ],
)
def test_a_revision_is_shortened_to_what_git_log_shows(revision: str, short: str) -> None:
    assert naming.short_revision(revision) == short
