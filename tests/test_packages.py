"""What each package promises to export is what it exports."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import guard

PACKAGES = sorted(found.name for found in pkgutil.walk_packages(guard.__path__, "guard.") if found.ispkg)


def imported(package: ModuleType) -> set[str]:
    """The names that a package's `__init__` brings in."""
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text())
    return {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_packages_all_is_what_it_exports(name: str) -> None:
    package = importlib.import_module(name)
    exported: list[str] = package.__all__
    assert set(exported) == imported(package)
    assert all(hasattr(package, found) for found in exported)
    assert len(exported) == len(set(exported))
    assert package.__doc__
