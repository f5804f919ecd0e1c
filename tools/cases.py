"""`make check`: every delivered case has a test, and no test is skipped or expected to fail.

Reads the tests without running them: docs/cases.toml lists what is delivered, `@pytest.mark.case(7)` says which case a
test holds.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXCUSES = frozenset({"skip", "skipif", "xfail", "importorskip", "skipTest", "skipIf", "skipUnless"})
EXCUSERS = frozenset({"pytest", "pytest.mark", "mark", "unittest", "self"})


def main() -> int:
    complaints = check(tests=ROOT / "tests", listing=ROOT / "docs" / "cases.toml")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        print("every delivered case has its test, and no test is excused")
    return 1 if complaints else 0


def check(*, tests: Path, listing: Path) -> list[str]:
    """What is wrong, one line each."""
    delivered = {case["number"]: case["delivered"] for case in tomllib.loads(listing.read_text())["case"]}
    held: dict[int, str] = {}
    complaints: list[str] = []
    for path in sorted(tests.rglob("*.py")):
        tree = ast.parse(path.read_text(), filename=str(path))
        place = path.relative_to(tests.parent)
        complaints += [f"{place}:{line}: `{name}` excuses a test; no test may be" for line, name in _excuses(tree)]
        if path.name.startswith("test_"):
            held |= {number: f"{place}:{line}" for line, number in _cases(tree)}
    complaints += [f"case {number} ({delivered[number]}) has no test" for number in sorted(delivered.keys() - held.keys())]
    complaints += [
        f"{held[number]}: case {number} is not among the delivered ones of {listing.name}"
        for number in sorted(held.keys() - delivered.keys())
    ]
    return complaints


def _cases(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """(line, number) of every case that a decorator of a test names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.case":
                    for argument in decorator.args:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, int):
                            yield decorator.lineno, argument.value


def _excuses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of whatever skips a test or expects it to fail, however it was imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in EXCUSES and ast.unparse(node.value) in EXCUSERS:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in {"pytest", "unittest"}:
            for alias in node.names:
                if alias.name in EXCUSES:
                    yield node.lineno, f"from {node.module} import {alias.name}"


if __name__ == "__main__":
    sys.exit(main())
