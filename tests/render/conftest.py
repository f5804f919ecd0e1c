from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.render.locksmith import Locksmith
from tests.render.workshop import Workshop
from tools import binaries


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    return binaries.locate(["kustomize", "helm"])


@pytest.fixture
async def workshop(tools: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    """With Kustomize and Helm on Guard's PATH, as in its image."""
    monkeypatch.setenv("PATH", os.pathsep.join([*(str(path.parent) for path in tools.values()), os.environ["PATH"]]))
    made = Workshop(tmp_path, tools=tools)
    yield made
    await made.close()


@pytest.fixture
def locksmith(monkeypatch: pytest.MonkeyPatch) -> Iterator[Locksmith]:
    """With sops on Guard's PATH, as in its image."""
    tools = binaries.locate(["sops", "age-keygen"])
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools["sops"].parent), os.environ["PATH"]]))
    made = Locksmith(tools)
    yield made
    made.close()
