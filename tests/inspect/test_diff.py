"""What differs, on a real API server; and what is said where there is none."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path as FilePath

import pytest

from guard.admission import Located
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.base.errors import Unreachable
from guard.cluster import Client, connect, object_path
from guard.inspect import Comparison, FieldDifference, compare, diff
from guard.state import Declared, Kind, ObjectKey
from guard.state.fields import Path
from guard.state.ids import FIELD_MANAGER
from guard.state.policy import NOTHING_LEFT, Left
from tests.inspect.apiserver import answering, hanging
from tests.state.samples import CONFIG_MAP, REVISION, SECRET, SYNC, declared_as, object_of, view_of

SERVICE = Kind(group="", version="v1", kind="Service", resource="services", namespaced=True)


async def applied(client: Client, kind: Kind, namespace: str, **body: Json) -> Declared:
    declared = declared_as(kind, object_of(kind, namespace=namespace, **body))
    await client.apply(_path(declared), declared.body, manager=FIELD_MANAGER, force=True)
    return declared


async def changed(client: Client, declared: Declared, change: JsonObject) -> None:
    await client.merge_patch(_path(declared), change, manager="kubectl-edit")


def _path(declared: Declared) -> str:
    return object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)


async def compared(client: Client, *objects: Declared, sync: str = "") -> Comparison:
    return await compare(client, view_of(*objects), left=lambda _declared: NOTHING_LEFT, sync=sync)


async def fields(client: Client, declared: Declared) -> tuple[FieldDifference, ...]:
    found = await compared(client, declared)
    assert [(one.what, one.name, one.problem) for one in found.differences] == [("changed", "web", "")]
    return found.differences[0].fields


async def test_an_object_as_git_says_is_counted_and_not_listed(client: Client, namespace: str) -> None:
    declared = await applied(client, CONFIG_MAP, namespace, data={"color": "blue"})
    assert await compared(client, declared) == Comparison(objects=1, differences=(), revisions={SYNC: REVISION})
    assert await compared(client, declared, sync="guard-system/other") == Comparison(objects=0, differences=())


async def test_what_was_changed_taken_away_and_added_is_listed_by_its_path(client: Client, namespace: str) -> None:
    declared = await applied(client, CONFIG_MAP, namespace, data={"color": "blue", "size": "large"})
    await changed(client, declared, {"data": {"color": "red", "size": None, "extra": "1"}})
    assert await fields(client, declared) == (
        FieldDifference(path="data.color", git="blue", live="red", line=17, managed_by=("kubectl-edit",)),
        FieldDifference(path="data.extra", git="", live="1", managed_by=("kubectl-edit",)),
        FieldDifference(path="data.size", git="large", live="", line=17),
    )


async def test_each_field_is_told_with_the_line_that_git_has_it_in(client: Client, namespace: str) -> None:
    declared = await applied(client, CONFIG_MAP, namespace, data={"color": "blue"})
    await changed(client, declared, {"data": {"color": "red", "extra": "1"}})

    def locate(_declared: Declared, paths: tuple[Path, ...]) -> Located:
        assert paths == (("f:data", "f:color"),)
        return Located(lines=(42,))

    found = await compare(client, view_of(declared), left=lambda _declared: NOTHING_LEFT, locate=locate)
    (difference,) = found.differences
    assert (difference.file, [(field.path, field.line) for field in difference.fields]) == (
        "apps/web.yaml",
        [("data.color", 42), ("data.extra", 0)],
    )


async def test_what_differs_comes_by_namespace_kind_and_name(client: Client, namespace: str) -> None:
    objects = [
        declared_as(kind, object_of(kind, namespace=where, name=name))
        for where in (f"{namespace}-z", namespace)
        for kind in (SECRET, CONFIG_MAP)
        for name in ("b", "a")
    ]
    found = await compared(client, *objects)
    shown = [(one.namespace.removeprefix(namespace), one.kind, one.name, one.what) for one in found.differences]
    assert shown == [
        (where, kind, name, "missing") for where in ("", "-z") for kind in ("ConfigMap", "Secret") for name in ("a", "b")
    ]


async def test_what_is_to_be_pruned_is_listed_and_what_is_not_known_of_a_sync_said(client: Client, namespace: str) -> None:
    declared = await applied(client, CONFIG_MAP, namespace, data={"color": "blue"})

    async def old() -> list[ObjectKey]:
        return [ObjectKey("", "ConfigMap", namespace, "old")]

    async def failing() -> list[ObjectKey]:
        raise Unreachable("gone")

    found = await compare(
        client,
        view_of(declared),
        left=lambda _declared: NOTHING_LEFT,
        prunable={SYNC: old, "a/failing": failing},
        not_loaded=["a/new"],
    )
    assert [(one.what, one.name, one.sync) for one in found.differences] == [("prunable", "old", SYNC)]
    assert found.not_compared == {
        "a/failing": "what it would prune is not known: gone",
        "a/new": "not compared, since it is not loaded (guard status says why)",
    }


async def test_a_server_that_hangs_is_given_up_and_not_asked_for_every_object(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "ANSWER_SECONDS", 0.2)
    objects = [declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name=f"web-{number:03}")) for number in range(300)]
    async with hanging(tmp_path) as (kubeconfig, asked):
        client = Client(await connect(kubeconfig=kubeconfig))
        found = await compared(client, *objects)
        await client.close()
    assert len(asked) <= 2 * diff.READS_AT_ONCE
    assert [one.what for one in found.differences] == ["unknown"] * 300
    assert {one.problem for one in found.differences} == {"the API server did not answer within 0 s", diff.GIVEN_UP}


async def test_of_long_values_the_part_that_differs_is_shown(client: Client, namespace: str) -> None:
    text = "".join(f"line {number}\n" for number in range(100))
    declared = await applied(client, CONFIG_MAP, namespace, data={"file": text})
    await changed(client, declared, {"data": {"file": text.replace("line 50", "line fifty")}})
    (field,) = await fields(client, declared)
    assert field.git.startswith("...line 50\\nline 51")
    assert field.live.startswith("...line fifty\\nline 51")


async def test_another_order_is_told_of_the_list(client: Client, namespace: str) -> None:
    ports = [{"name": name, "port": port, "protocol": "TCP", "targetPort": port} for name, port in (("a", 80), ("b", 81))]
    declared = await applied(client, SERVICE, namespace, spec={"ports": ports})
    await client.json_patch(
        _path(declared), [{"op": "replace", "path": "/spec/ports", "value": ports[::-1]}], manager="kubectl-edit"
    )
    (field,) = await fields(client, declared)
    assert (field.path, field.git.index("port=80") < field.git.index("port=81")) == ("spec.ports (order)", True)
    assert field.live.index("port=81") < field.live.index("port=80")


async def test_nothing_that_a_terminal_obeys_comes_out_of_a_value(client: Client, namespace: str) -> None:
    declared = await applied(client, CONFIG_MAP, namespace, data={"color": "blue"})
    await changed(client, declared, {"data": {"color": "\x1b[2J\x1b]0;pwn\x07red\nforged\x9b31m\u202e"}})
    (field,) = await fields(client, declared)
    assert field.live == "\\x1b[2J\\x1b]0;pwn\\x07red\\nforged\\x9b31m\\u202e"


@pytest.mark.case(39)
async def test_values_of_secrets_are_not_shown_nor_copies_of_them(client: Client, namespace: str) -> None:
    declared = await applied(client, SECRET, namespace, data={"password": base64.b64encode(b"correct-horse").decode()})
    stolen = base64.b64encode(b"battery-staple").decode()
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": stolen, "copy": stolen}
    change: JsonObject = {"data": {"password": stolen, "more": stolen}, "metadata": {"annotations": annotations}}
    await changed(client, declared, change)
    found = await fields(client, declared)
    assert [(field.path, field.git, field.live) for field in found] == [
        ("data.more", "", "(not shown)"),
        ("data.password", "(not shown)", "(not shown)"),
        ("metadata.annotations.copy", "", "(not shown)"),
    ]
    text = codec.encode(found).decode()
    assert not any(value in text for value in ("battery", "correct", stolen[:12], "Y29ycmVjdC1o"))


@asynccontextmanager
async def standing_in(directory: FilePath, *objects: Declared, silent: str) -> AsyncGenerator[Client]:
    """A server that has the objects as Git says, and breaks off where the one named so is asked for."""
    answers: dict[str, JsonObject | None] = {
        _path(declared): None if declared.key.name == silent else declared.body for declared in objects
    }
    async with answering(directory, answers) as kubeconfig:
        client = Client(await connect(kubeconfig=kubeconfig))
        yield client
        await client.close()


async def test_an_object_that_cannot_be_asked_for_is_unknown_and_the_others_are_compared(tmp_path: FilePath) -> None:
    names = [f"web-{number}" for number in range(30)]
    objects = [declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name=name, data={"a": "b"})) for name in names]
    async with standing_in(tmp_path, *objects[:-1], silent="web-0") as client:
        found = await compared(client, *objects)
    assert found.objects == 30
    assert [(one.name, one.what) for one in found.differences] == [("web-0", "unknown"), ("web-29", "missing")]
    assert "cannot be reached" in found.differences[0].problem


async def test_an_error_that_nobody_foresaw_leaves_no_read_running(tmp_path: FilePath) -> None:
    objects = [declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name=f"web-{number}")) for number in range(30)]

    def left(declared: Declared) -> Left:
        if declared.key.name == "web-5":
            raise RuntimeError("unforeseen")
        return NOTHING_LEFT

    before = asyncio.all_tasks()
    async with standing_in(tmp_path, *objects, silent="") as client:
        with pytest.raises(ExceptionGroup):
            await compare(client, view_of(*objects), left=left)
        assert not [task for task in asyncio.all_tasks() - before if "compare" in repr(task.get_coro())]
