from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from guard.admission.values import HIDDEN, LONGEST_VALUE, cut_middle, hidden, shown_pair, shown_path, shown_value
from guard.base.codec import Json
from guard.base.naming import printable
from guard.state import MISSING

CONFIGURATION = "".join(f"  line {number};\n" for number in range(40))


@pytest.mark.parametrize(
    ("git", "asked", "shown"),
    [
        ("nginx:1.25", "nginx:1.26", ("nginx:1.25", "nginx:1.26")),
        (2, 7, ("2", "7")),
        (False, True, ("false", "true")),
        ("", "a", ('""', "a")),
        ("a", "a ", ("a", '"a "')),
        (1, "1", ("1", '"1"')),
        ("true", True, ('"true"', "true")),
        ("a", MISSING, ("a", "")),
        (MISSING, "", ("", '""')),
        ("", MISSING, ('""', "")),
        ("a\nb\n", "a\nb", ("...b\\n", "...b")),
        ("a\nb\n", "c\nb\n", ("a\\nb\\n", "c\\nb\\n")),
        (["a", "b"], ["b", "a"], ('["a","b"]', '["b","a"]')),
        ({"a": 1}, None, ('{"a":1}', "null")),
        ("a\tb", "a\x1b[31mb", ("a\\tb", "a\\x1b[31mb")),
    ],
)
def test_two_values_are_shown_so_that_they_can_be_told_apart(git: Json, asked: Json, shown: tuple[str, str]) -> None:
    assert shown_pair(git, asked) == shown


def test_of_a_text_of_many_lines_the_one_that_differs_is_shown() -> None:
    git, asked = shown_pair(CONFIGURATION, CONFIGURATION.replace("line 30;", "line thirty;"))
    assert git.startswith("...line 30;\\n  line 31;")
    assert asked.startswith("...line thirty;\\n  line 31;")
    assert max(len(git), len(asked)) == LONGEST_VALUE


def test_of_a_long_value_the_part_that_differs_is_shown() -> None:
    git, asked = shown_pair({"a": "x" * 3_000_000 + "1"}, {"a": "x" * 3_000_000 + "2"})
    assert (git, asked) == ('...xxxxxxxxxxxxxxxxxxxx1"}', '...xxxxxxxxxxxxxxxxxxxx2"}')


@given(some.text(), some.text())
def test_whatever_is_shown_is_short_printable_and_tells_two_texts_apart(git: str, asked: str) -> None:
    shown = shown_pair(git, asked)
    assert all(text.isprintable() and 0 < len(text) <= LONGEST_VALUE for text in shown)
    if git != asked and max(len(git), len(asked)) < 10:
        assert shown[0] != shown[1] or "\\" in git + asked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ümlaut 名 😀", "plain ümlaut 名 😀"),
        ("\x1b[2J\x07\r\n", "\\x1b[2J\\x07\\r\\n"),
        ("ab\u202egnp.exe\u2066", "ab\\u202egnp.exe\\u2066"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\u2028\x85\xa0", "\\u2028\\x85\\xa0"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_nothing_that_a_terminal_obeys_or_hides_is_let_through(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_in_a_path_are_made_harmless_too() -> None:
    assert shown_path(("f:data", "f:\x1b[31m")) == 'data["\\u001b[31m"]'
    assert shown_path(("f:set", 'v:"\u202e"')) == 'set[="\\u202e"]'
    assert len(shown_path(("f:data", "f:" + "x" * 10_000))) == 1024


def test_a_long_name_keeps_its_ends() -> None:
    assert cut_middle("spec.template.spec.containers[name=web].image", 30) == "spec.temp...rs[name=web].image"
    assert cut_middle("short", 30) == "short"


@pytest.mark.case(39)
def test_what_stands_for_a_value_that_is_not_shown_tells_whether_there_is_one() -> None:
    assert (hidden("hunter2"), hidden(None), hidden(MISSING)) == (HIDDEN, HIDDEN, "")


def test_a_value_by_itself_is_cut() -> None:
    assert shown_value("x" * 100) == "x" * 77 + "..."
    assert shown_value(MISSING) == ""
