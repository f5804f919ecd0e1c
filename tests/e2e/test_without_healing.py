"""Syncs whose drift is left as it is: what Guard says of it is true, and its label stays."""

from __future__ import annotations

import pytest

from guard.base.codec import child
from guard.state.ids import SYNC_LABEL
from tests.e2e.conftest import Followed, World, config_map
from tests.e2e.test_break_glass import Glass, document
from tools.guardrun import eventually


@pytest.fixture
async def unhealed(followed: Followed) -> Followed:
    await followed.patch({"enforcement": {"heal": False}})
    return followed


async def edited(world: World, name: str) -> None:
    await world.past("patch", "configmap", name, "-n", "default", "--type=merge", '-p={"data":{"color":"red"}}')


async def drifts(followed: Followed, count: int) -> None:
    """Wait until the Sync says that so many of its objects differ from Git."""

    async def said() -> bool:
        objects = child(child(await followed.world.guard.sync(followed.name), "status"), "objects")
        return bool(objects.get("drifted", 0) == count)

    await eventually(said, what=lambda: f"{count} drifted; the log ends:\n{followed.world.guard.tail()}")


async def test_what_is_as_git_says_has_not_drifted_when_break_glass_ends(world: World, unhealed: Followed) -> None:
    other, third = f"{unhealed.name}-other", f"{unhealed.name}-third"
    await unhealed.commit({f"{name}.yaml": config_map(name, "default", "  color: blue") for name in (other, third)})
    glass = Glass(world, document("guard-system", {"sync": {"name": unhealed.name}}, name=unhealed.name))
    await glass.make()
    await edited(world, other)
    await drifts(unhealed, 1)
    await glass.end()
    # One was changed before and one is changed now; a third would be the one that nobody touched.
    await edited(world, unhealed.name)
    await drifts(unhealed, 2)


async def test_a_field_that_git_drops_is_no_drift(unhealed: Followed) -> None:
    """The watch shows our own apply, often before its answer comes."""
    names = [f"{unhealed.name}-{number}" for number in range(30)]
    await unhealed.commit({f"{name}.yaml": config_map(name, "default", "  color: blue\n  size: large") for name in names})
    await unhealed.commit({f"{name}.yaml": config_map(name, "default", "  color: blue") for name in names})
    await edited(unhealed.world, unhealed.name)
    await drifts(unhealed, 1)


async def test_what_git_declares_no_more_has_not_drifted(world: World, unhealed: Followed) -> None:
    other = f"{unhealed.name}-other"
    await unhealed.commit({"other.yaml": config_map(other, "default", "  color: blue")})
    await edited(world, other)
    await drifts(unhealed, 1)
    await unhealed.commit({"other.yaml": None})
    await drifts(unhealed, 0)


@pytest.mark.case(19)
async def test_a_changed_label_is_put_back_and_the_drift_is_left(world: World, unhealed: Followed) -> None:
    await edited(world, unhealed.name)
    await world.past("label", "--overwrite", "configmap", unhealed.name, "-n", "default", f"{SYNC_LABEL}=guard-system.other")

    async def is_back() -> bool:
        found = await world.get(f"configmap/{unhealed.name}", "default")
        return bool(found["metadata"]["labels"][SYNC_LABEL] == f"guard-system.{unhealed.name}")

    await eventually(is_back, what="the label is back")
    assert await unhealed.color() == "red"
