from __future__ import annotations

import time

import pytest

from guard.render.quoting import MOST, in_one_line, readable, without, without_quotes


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("could not find expected ':'", "could not find expected ':'"),
        ("unknown anchor 'sesame' referenced", "unknown anchor … referenced"),
        ("cannot unmarshal !!str `sesame` into int", "cannot unmarshal !!str … into int"),
        ('unexpected "sesame" in "operand"', "unexpected … in …"),
        ("cut off `sesame and more", "cut off …"),
        ('two "a" and cut off "sesame', "two … and cut off …"),
        ("invalid map key: map[sesame:1]", "invalid map key: …"),
        ("merging &{sesame}: exists", "merging …"),
        ("lines\n  and\ttabs", "lines and tabs"),
    ],
)
def test_what_is_quoted_is_left_out(text: str, left: str) -> None:
    assert without_quotes(text) == left


def test_values_are_left_out_the_longer_ones_first() -> None:
    assert without("open sesame, sesame street", ["sesame", "open sesame"]) == "…, … street"


def test_a_text_is_one_line_that_a_terminal_only_shows() -> None:
    assert in_one_line("a\x1b[31m\n\n b") == "a\\x1b[31m b"
    assert len(in_one_line("x" * 1000)) == MOST


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("ConfigMap.v1.[noGrp]/web.[noNs]", "ConfigMap web"),
        ("Deployment.v1.apps/web.shop", "Deployment shop/web"),
        ("ConfigMap.[noVer].[noGrp]/a.b.[noNs]", "ConfigMap a.b"),
        ("anything else", "anything else"),
    ],
)
def test_objects_are_named_as_guard_names_them(identifier: str, shown: str) -> None:
    assert readable(identifier) == shown


@pytest.mark.parametrize("unit", ["'", '"', "`", "'a", '"a', "`a", "{{", "map[", '\\"', "a\n"])
def test_long_texts_take_no_long_time(unit: str) -> None:
    started = time.process_time()
    without_quotes(unit * 200_000)
    assert time.process_time() - started < 10
