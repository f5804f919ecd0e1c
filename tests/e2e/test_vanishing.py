"""Served versions that go, and kinds that go and come back: their objects stay healed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import World, widget, widget_definition
from tests.e2e.test_healing import healed
from tools.guardrun import eventually


@pytest.fixture
async def group(world: World, fresh: str) -> AsyncIterator[str]:
    """The group of a Widget that somebody else has installed."""
    found = f"{fresh}.example.com"
    await world.plane.kubectl("create", "-f", "-", input=codec.encode(widget_definition(found)).decode(), identity="admin")
    await world.plane.kubectl("wait", "--for=condition=Established", f"crd/widgets.{found}", identity="admin")
    yield found
    await world.declare({f"apps/{fresh}.yaml": None})
    await world.past("delete", f"crd/widgets.{found}", "--ignore-not-found")


async def redefine(world: World, group: str, change: Callable[[JsonObject], None]) -> None:
    body = await world.get(f"crd/widgets.{group}", "")
    change(body)
    await world.past("replace", "-f", "-", text=codec.encode(body).decode())


def without_v1(body: JsonObject) -> None:
    first, second = body["spec"]["versions"]
    first["served"], first["storage"], second["storage"] = False, False, True


async def unserved(world: World, group: str) -> None:
    """Wait until the API server serves v1 no more."""

    async def is_gone() -> bool:
        path = f"/apis/{group}/v1/widgets"
        completed = await world.plane.kubectl("get", "--raw", path, identity="admin", check=False)
        return completed.returncode != 0

    await eventually(is_gone, what="v1 is served no more")


def colored(color: str) -> Callable[[JsonObject], bool]:
    return lambda found: bool(found["spec"]["color"] == color)


@pytest.mark.case(31)
async def test_an_entry_of_a_version_that_is_gone_does_not_stop_healing(world: World, group: str, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, group, "{color: blue}", version="v2")})
    # An operator, and a person, who wrote it through v1.
    old, new = f"widgets.v1.{group}/{fresh}", f"widgets.v2.{group}"
    for value in ("1", "2"):
        await world.past("annotate", old, "--overwrite", f"example.com/seen={value}", "--field-manager=operator")
    await redefine(world, group, without_v1)
    await unserved(world, group)
    await world.past("patch", f"{new}/{fresh}", "--type=merge", '-p={"spec":{"color":"red"}}')
    after = await healed(world, new, fresh, "default", colored("blue"))
    # What was written through the version that is gone is there still.
    assert after["metadata"]["annotations"] == {"example.com/seen": "2"}
    await world.past("patch", f"{new}/{fresh}", "--type=merge", '-p={"spec":{"color":"red","cpu":"1"}}')
    await healed(world, new, fresh, "default", lambda found: found["spec"] == {"color": "blue"})


@pytest.mark.case(31)
async def test_objects_go_on_in_another_version_when_git_follows_their_definition(world: World, fresh: str) -> None:
    group = f"{fresh}.example.com"
    definition = widget_definition(group)
    text = codec.encode(definition).decode() + "\n---\n"
    await world.declare({f"apps/{fresh}.yaml": text + widget(fresh, group, "{color: blue, size: 1}")})
    without_v1(definition)
    text = codec.encode(definition).decode() + "\n---\n"
    await world.declare({f"apps/{fresh}.yaml": text + widget(fresh, group, "{color: green}", version="v2")})
    after = await healed(world, f"widgets.v2.{group}", fresh, "default", colored("green"))
    # What Git dropped with the version goes, too.
    assert after["spec"] == {"color": "green"}
    await world.past("patch", f"widgets.v2.{group}/{fresh}", "--type=merge", '-p={"spec":{"color":"red"}}')
    await healed(world, f"widgets.v2.{group}", fresh, "default", colored("green"))


@pytest.mark.case(31)
async def test_a_version_that_is_served_again_is_followed_again(world: World, group: str, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, group, "{color: blue}")})
    await redefine(world, group, without_v1)
    await unserved(world, group)
    new = f"widgets.v2.{group}"
    await world.past("patch", f"{new}/{fresh}", "--type=merge", '-p={"spec":{"color":"red"}}')

    def with_v1(body: JsonObject) -> None:
        body["spec"]["versions"][0]["served"] = True

    await redefine(world, group, with_v1)

    async def blue() -> bool:
        return colored("blue")(await world.get(f"{new}/{fresh}", "default"))

    await eventually(blue, what="what drifted meanwhile is put right")


@pytest.mark.case(31)
async def test_a_kind_that_was_deleted_with_its_objects_comes_back_with_them(world: World, fresh: str) -> None:
    group = f"{fresh}.example.com"
    text = codec.encode(widget_definition(group)).decode() + "\n"
    names = [f"{fresh}-{number}" for number in range(5)]
    text += "".join("---\n" + widget(name, group, "{color: blue}") for name in names)
    await world.declare({f"apps/{fresh}.yaml": text})
    await world.past("delete", f"crd/widgets.{group}", "--wait=false")

    async def back() -> bool:
        listed = await world.plane.kubectl(
            "get", f"widgets.{group}", "-n", "default", "-o", "json", identity="admin", check=False
        )
        if listed.returncode:
            return False
        return {item["metadata"]["name"] for item in listed.json()["items"]} == set(names)

    async def replaced() -> bool:
        found = await world.plane.kubectl("get", f"crd/widgets.{group}", "-o", "json", identity="admin", check=False)
        return found.returncode == 0 and "deletionTimestamp" not in found.json()["metadata"] and await back()

    await eventually(replaced, what=lambda: f"definition and objects are back; the log ends:\n{world.guard.tail()}")
    # And they are watched again.
    await world.past("patch", f"widgets.{group}/{names[0]}", "-n", "default", "--type=merge", '-p={"spec":{"color":"red"}}')

    async def blue() -> bool:
        return colored("blue")(await world.get(f"widgets.{group}/{names[0]}", "default"))

    await eventually(blue, what="drift of the new objects is undone")


@pytest.mark.case(31)
async def test_a_kind_of_others_that_is_gone_and_back_has_gits_objects_again(world: World, group: str, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, group, "{color: blue}")})
    await world.past("delete", f"crd/widgets.{group}")

    async def gone() -> bool:
        found = await world.plane.kubectl("get", f"crd/widgets.{group}", "--ignore-not-found", "-o", "name", identity="admin")
        return not found.stdout.strip()

    await eventually(gone, what="the definition is gone")
    await world.plane.kubectl("create", "-f", "-", input=codec.encode(widget_definition(group)).decode(), identity="admin")

    async def back() -> bool:
        found = await world.plane.kubectl("get", f"widgets.{group}/{fresh}", "-n", "default", identity="admin", check=False)
        return found.returncode == 0

    await eventually(back, what=lambda: f"the object is back; the log ends:\n{world.guard.tail()}", seconds=90.0)
