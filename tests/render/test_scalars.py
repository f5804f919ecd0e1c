"""Expectations were taken from k8s.io/apimachinery 0.37.2 (NewYAMLToJSONDecoder), which kubectl reads files with."""

from __future__ import annotations

import pytest

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render.yaml import documents


def value(text: str) -> Json:
    (document,) = documents("a.yaml", f"v: {text}".encode())
    return document.value["v"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y", True),
        ("N", False),
        ("yes", True),
        ("Off", False),
        ("on", True),
        ("yEs", "yEs"),
        ('"y"', "y"),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("1e3", 1000),
        ("1.e5", 100000),
        ("-.5", -0.5),
        ("+.5", 0.5),
        (".5e3", 500),
        ("1.0", 1),
        ("1.5", 1.5),
        ("-0.0", 0),
        ("08", 8),
        ("08.5", 8.5),
        ("0o755", 493),
        ("0O7", 7),
        ("0o8", "0o8"),
        ("012", 10),
        ("-017", -15),
        ("1_000", 1000),
        ("_1", "_1"),
        ("0x1F", 31),
        ("-0X1f", -31),
        ("0b11", 3),
        ("-0b11", -3),
        ("0b2", "0b2"),
        ("+12", 12),
        ("+", "+"),
        (".", "."),
        ("=", "="),
        ("<<", "<<"),
        ("9007199254740993", 9007199254740993),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", 2.0**63),
        ("18446744073709551616", 2.0**64),
        ("02000000000000000000000", 2e21),
        ("0x1FFFFFFFFFFFFFFFFF", "0x1FFFFFFFFFFFFFFFFF"),
        ("1e400", "1e400"),
        ("1e-400", 0),
        ("!foo 12", "12"),
        ("!foo {a: b}", {"a": "b"}),
        ("! 12", "12"),
        ("!!str 12", "12"),
        ('!!int "3"', 3),
        ("!!float 3", 3),
        ('!!bool "yes"', True),
        ("!!binary aGk=", "hi"),
        ("!!timestamp 2020-01-01", "2020-01-01"),
        ("!!set {a, b}", {"a": None, "b": None}),
        (
            "{1: a, 1.5: b, true: c, 0o7: d, =: e, 2024-01-01: f}",
            {"1": "a", "1.5": "b", "true": "c", "7": "d", "=": "e", "2024-01-01": "f"},
        ),
        (
            "{3.14159265358979: a, 1e3: b, 1e6: c, 1e21: d, 0.00001: e}",
            {"3.1415927": "a", "1000": "b", "1e+06": "c", "1e+21": "d", "1e-05": "e"},
        ),
        ("{<<: {a: 2, b: 3}, a: 1}", {"a": 1, "b": 3}),
        ("{a: 1, <<: {a: 2, b: 3}}", {"a": 2, "b": 3}),
        ("{<<: [{a: 1}, {a: 2, b: 1}]}", {"a": 1, "b": 1}),
        ('{"<<": 3}', {"<<": 3}),
    ],
)
def test_scalars_are_what_kubectl_makes_of_them(text: str, expected: Json) -> None:
    read = value(text)
    assert (read, type(read)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    [
        ".inf",
        "-.Inf",
        ".nan",
        "{~: a}",
        "{[a]: b}",
        "{18446744073709551615: b}",
        '!!int "z"',
        "!!int 1.5",
        "!!null x",
        "!!binary aGk",
        "&x [*x]",
        "{<<: 3}",
        "*nothing",
    ],
)
def test_what_kubectl_refuses_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(RenderError) as caught:
        value(text)
    assert caught.value.where.startswith("a.yaml:1:")
