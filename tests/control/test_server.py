"""Both ends of the control interface, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from guard import control
from guard.audit import Event, Journal, Record
from guard.base.errors import ConfigError, ControlError, GuardError, Unreachable
from guard.inspect import Comparison, Difference, Explanation, FieldDifference

DIFFERENT = Difference(
    kind="ConfigMap",
    namespace="shop",
    name="web",
    sync="guard-system/apps",
    origin="apps/web.yaml:17",
    what="changed",
    fields=(FieldDifference(path="data.größe", git="1\x1b[2J", live=""),),
)


class Asked:
    """Answers with what was asked, or fails as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.syncs: list[str] = []

    async def explain(self, kind: str, name: str, *, namespace: str) -> Explanation:
        if self.error is not None:
            raise self.error
        return Explanation(group="", kind=kind, namespace=namespace, name=name, state="same")

    async def diff(self, sync: str) -> Comparison:
        if self.error is not None:
            raise self.error
        self.syncs.append(sync)
        return Comparison(objects=2, differences=(DIFFERENT,))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def directory(tmp_path: Path, asked: Asked) -> AsyncIterator[Path]:
    runner = await control.serve(tmp_path, journal=tmp_path / "audit", diff=asked.diff, explain=asked.explain)
    yield tmp_path
    await runner.cleanup()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "audit")
    yield journal
    journal.close()


def record(number: int, *, event: Event = "denied", name: str = "web") -> Record:
    time = f"2026-01-02T03:04:{number:02}Z"
    return Record(time=time, id=f"{number:026}", event=event, sync="guard-system/apps", kind="ConfigMap", name=name)


async def records(directory: Path, **query: str) -> list[int]:
    return [int(found.id) async for found in control.audit(directory, query)]


# ---- guard explain


async def test_an_explanation_comes_back_as_it_was_made(directory: Path) -> None:
    found = await control.explain(directory, kind="deploy", name="web & more", namespace="shop")
    assert found == Explanation(group="", kind="deploy", namespace="shop", name="web & more", state="same")


@pytest.mark.parametrize(
    "error", [ConfigError("there is no Deployment shop/web", hint="look elsewhere"), Unreachable("the API server is gone")]
)
async def test_what_cannot_be_explained_is_said(directory: Path, asked: Asked, error: GuardError) -> None:
    asked.error = error
    with pytest.raises(ControlError) as raised:
        await control.explain(directory, kind="deploy", name="web", namespace="shop")
    assert str(raised.value) == str(error)


# ---- guard diff


async def test_a_comparison_comes_back_as_it_was_made_for_the_sync_that_was_asked_for(directory: Path, asked: Asked) -> None:
    assert await control.diff(directory, sync="shop/a & b") == Comparison(objects=2, differences=(DIFFERENT,))
    assert asked.syncs == ["shop/a & b"]


async def test_a_comparison_that_cannot_be_made_is_said(directory: Path, asked: Asked) -> None:
    asked.error = Unreachable("the API server is gone")
    with pytest.raises(ControlError) as raised:
        await control.diff(directory, sync="")
    assert str(raised.value) == "the API server is gone"


async def test_an_error_that_nobody_foresaw_is_left_to_the_log(directory: Path, asked: Asked) -> None:
    asked.error = RuntimeError("hunter2")
    with pytest.raises(ControlError, match=r"failed over this question \(its log says why\)") as raised:
        await control.diff(directory, sync="")
    assert "hunter2" not in str(raised.value)


# ---- guard audit


async def test_records_come_back_as_they_were_written(directory: Path, journal: Journal) -> None:
    written = [record(1), record(2, event="healed", name="a\x1b[2J\nb")]
    for each in written:
        journal.write(each)
    assert [found async for found in control.audit(directory, {})] == written


async def test_a_guard_that_has_recorded_nothing_has_no_records(directory: Path) -> None:
    assert await records(directory) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"events": "healed,fight"}, [2]),
        ({"name": "db"}, [3]),
        ({"kind": "configmap", "namespace": "", "sync": "apps", "user": ""}, [1, 2, 3]),
        ({"since": "2026-01-02T03:04:02+00:00"}, [2, 3]),
        ({"limit": "1"}, [3]),
        ({"reference": f"{1:026}"}, [1]),
        ({"sync": "other"}, []),
    ],
)
async def test_only_the_records_that_were_asked_for_come(
    directory: Path, journal: Journal, query: dict[str, str], found: list[int]
) -> None:
    for each in (record(1), record(2, event="healed"), record(3, name="db")):
        journal.write(each)
    assert await records(directory, **query) == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": "-1"}, "limit has to be a number"),
        ({"since": "yesterday"}, "yesterday"),
        ({"events": "denied,eaten"}, "'eaten'"),
    ],
)
async def test_a_query_that_means_nothing_is_an_error_that_names_it(directory: Path, query: dict[str, str], said: str) -> None:
    with pytest.raises(ControlError, match=said):
        await records(directory, **query)


async def test_a_follower_gets_what_comes_later(directory: Path, journal: Journal) -> None:
    journal.write(record(1))
    async with asyncio.timeout(60), aclosing(control.audit(directory, {"follow": "true", "name": "web"})) as found:
        assert (await anext(found)).id == record(1).id
        journal.write(record(2, name="db"))
        journal.write(record(3))
        assert (await anext(found)).id == record(3).id


# ---- the socket


async def test_the_socket_is_its_owners_alone(directory: Path) -> None:
    assert (directory / control.SOCKET).stat().st_mode & 0o777 == 0o600
