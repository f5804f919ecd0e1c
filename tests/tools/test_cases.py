from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tools.cases import check

LISTING = """
[[case]]
number = 3
delivered = "scaling"

[[case]]
number = 5
delivered = "additions"
"""


def complaints(folder: Path, test: str) -> list[str]:
    (folder / "cases.toml").write_text(LISTING)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(textwrap.dedent(test))
    return check(tests=folder / "tests", listing=folder / "cases.toml")


def test_cases_with_tests_are_fine(tmp_path: Path) -> None:
    test = """
        @pytest.mark.case(3, 5)
        async def test_both(): ...
    """
    assert complaints(tmp_path, test) == []


def test_a_delivered_case_without_a_test_is_named(tmp_path: Path) -> None:
    test = """
        @pytest.mark.case(3)
        def test_scaling(): ...

        @pytest.mark.case(5)
        def helper(): ...
    """
    assert complaints(tmp_path, test) == ["case 5 (additions) has no test"]


def test_a_case_that_is_not_listed_is_named_with_its_place(tmp_path: Path) -> None:
    test = """
        @pytest.mark.case(3, 4)
        @pytest.mark.case(5)
        def test_all(): ...
    """
    assert complaints(tmp_path, test) == ["tests/test_it.py:2: case 4 is not among the delivered ones of cases.toml"]


@pytest.mark.parametrize(
    ("excuse", "name"),
    [
        ("@pytest.mark.skip\ndef test_more(): ...", "pytest.mark.skip"),
        ("@pytest.mark.xfail(strict=True)\ndef test_more(): ...", "pytest.mark.xfail"),
        ("pytestmark = pytest.mark.skipif(True, reason='')", "pytest.mark.skipif"),
        ("def test_more():\n    pytest.skip('')", "pytest.skip"),
        ("yaml = pytest.importorskip('yaml')", "pytest.importorskip"),
        ("from pytest import xfail", "from pytest import xfail"),
    ],
)
def test_an_excused_test_is_named_with_its_place(tmp_path: Path, excuse: str, name: str) -> None:
    held = "@pytest.mark.case(3, 5)\ndef test_both(): ...\n"
    (complaint,) = complaints(tmp_path, held + excuse)
    assert complaint.startswith("tests/test_it.py:")
    assert complaint.endswith(f": `{name}` excuses a test; no test may be")
