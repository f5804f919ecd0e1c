"""The rule of conftest.py, tried in a session of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "excuse",
    [
        "@pytest.mark.skip\ndef test_it(): ...",
        "@pytest.mark.xfail\ndef test_it(): assert False",
        "@pytest.mark.xfail\ndef test_it(): ...",
        "def test_it(): pytest.skip('no')",
        "pytest.importorskip('nothing_of_that_name')",
    ],
)
def test_a_run_with_an_excused_test_fails_and_names_it(tmp_path: Path, excuse: str) -> None:
    result = _session(tmp_path, excuse)
    assert result.returncode == 1, result.stdout
    assert "ERROR test_it.py" in result.stdout
    assert "skipped or expected to fail, which no test may be" in result.stdout


def test_a_run_without_one_passes(tmp_path: Path) -> None:
    result = _session(tmp_path, "def test_it(): ...")
    assert result.returncode == 0, result.stdout


def _session(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(f"import pytest\n\n{test}\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
