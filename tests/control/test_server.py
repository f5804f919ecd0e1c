"""Both ends of the control interface, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard import control
from guard.base.errors import ConfigError, ControlError, GuardError, Unreachable
from guard.inspect import Comparison, Explanation


class Explainer:
    """Answers with what was asked, or fails as told."""

    def __init__(self) -> None:
        self.error: GuardError | None = None

    async def __call__(self, kind: str, name: str, *, namespace: str) -> Explanation:
        if self.error is not None:
            raise self.error
        return Explanation(group="", kind=kind, namespace=namespace, name=name, state="same")


@pytest.fixture
def explainer() -> Explainer:
    return Explainer()


@pytest.fixture
async def directory(tmp_path: Path, explainer: Explainer) -> AsyncIterator[Path]:
    async def diff(_sync: str) -> Comparison:
        return Comparison(objects=0, differences=())

    runner = await control.serve(tmp_path, journal=tmp_path / "audit", diff=diff, explain=explainer)
    yield tmp_path
    await runner.cleanup()


async def test_an_explanation_comes_back_as_it_was_made(directory: Path) -> None:
    found = await control.explain(directory, kind="deploy", name="web & more", namespace="shop")
    assert found == Explanation(group="", kind="deploy", namespace="shop", name="web & more", state="same")


@pytest.mark.parametrize(
    "error", [ConfigError("there is no Deployment shop/web", hint="look elsewhere"), Unreachable("the API server is gone")]
)
async def test_what_cannot_be_explained_is_said(directory: Path, explainer: Explainer, error: GuardError) -> None:
    explainer.error = error
    with pytest.raises(ControlError) as raised:
        await control.explain(directory, kind="deploy", name="web", namespace="shop")
    assert str(raised.value) == str(error)


async def test_without_a_guard_the_hint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no Guard is running"):
        await control.explain(tmp_path, kind="deploy", name="web", namespace="shop")


async def test_the_socket_is_its_owners_alone(directory: Path) -> None:
    assert (directory / control.SOCKET).stat().st_mode & 0o777 == 0o600
