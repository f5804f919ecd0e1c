from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render import scratch
from guard.state.snapshot import Entry
from tests.render.memory import MemoryTree


async def write(files: dict[str, str | bytes], into: Path) -> tuple[str, ...]:
    tree = MemoryTree(files)
    return await scratch.write(tree, await tree.entries(""), into)


async def test_a_scratch_folder_is_nobody_elses_and_gone_afterwards(tmp_path: Path) -> None:
    async with scratch.scratch(tmp_path / "a" / "b") as made:
        await write({"x/y.yaml": "text", "z": b"\0"}, made.files)
        assert (made.files / "x" / "y.yaml").read_text() == "text"
        assert (made.files / "z").read_bytes() == b"\0"
        root = made.files.parent
        assert {stat.S_IMODE(path.stat().st_mode) for path in (root, made.home, made.files, made.files / "x")} == {0o700}
        assert stat.S_IMODE((made.files / "z").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "a" / "b") == []  # noqa: PTH208


async def test_it_is_gone_also_when_the_task_is_cancelled(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with scratch.scratch(tmp_path) as made:
            await write({f"{index}": "x" for index in range(100)}, made.files)
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_what_is_still_being_written_is_gone_also_when_the_task_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def waits(_data: bytes) -> bool:
        writing.set()
        return not go_on.wait(30)

    async def work() -> None:
        async with scratch.scratch(tmp_path) as made:
            await write({"a/value": "secret", "b/value": "secret"}, made.files)

    monkeypatch.setattr(scratch, "is_lfs_pointer", waits)
    task = asyncio.create_task(work())
    await asyncio.to_thread(writing.wait)
    task.cancel()
    await asyncio.wait((task,), timeout=0.2)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Whatever thread there is has written by then.
    await asyncio.sleep(0.2)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_it_is_gone_also_when_the_task_is_cancelled_while_it_is_made(tmp_path: Path) -> None:
    async def work() -> None:
        async with scratch.scratch(tmp_path):
            await asyncio.Event().wait()

    for turn in range(100):
        task = asyncio.create_task(work())
        await asyncio.sleep(turn % 10 / 10_000)
        task.cancel()
        await asyncio.wait((task,))
    await asyncio.sleep(0.2)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_what_a_killed_guard_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / f"{scratch.PREFIX}x" / "files").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    scratch.sweep(tmp_path)
    scratch.sweep(tmp_path / "absent")
    assert os.listdir(tmp_path) == ["other"]  # noqa: PTH208


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", ".git/config", "a/.git/hooks/x", "a//b", "./x", "a/."])
async def test_a_name_that_leads_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    tree = MemoryTree({"x": "text"})
    (entry,) = await tree.entries("")
    with pytest.raises(RenderError, match="the repository holds a file whose name leads elsewhere"):
        await scratch.write(tree, [Entry(path=path, blob=entry.blob, size=4)], tmp_path / "files")
    assert not (tmp_path / "x").exists()


async def test_two_files_in_one_place_are_refused(tmp_path: Path) -> None:
    tree = MemoryTree({"x": "text"})
    (entry,) = await tree.entries("")
    below = Entry(path="x/y", blob=entry.blob, size=4)
    with pytest.raises(RenderError, match="x: the repository holds two things in one place"):
        await scratch.write(tree, [entry, entry], tmp_path / "a")
    with pytest.raises(RenderError, match="x/y: the repository holds two things in one place"):
        await scratch.write(tree, [entry, below], tmp_path / "b")
    with pytest.raises(RenderError, match="x: the repository holds two things in one place"):
        await scratch.write(tree, [below, entry], tmp_path / "c")


async def test_names_that_no_disk_takes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="files for a build cannot be written: File name too long"):
        await write({"x" * 300: "text"}, tmp_path)


async def test_pointers_of_large_files_are_left_out_and_named(tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    assert await write({"a": "text", "b/c": pointer}, tmp_path) == ("b/c",)
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


async def test_number_and_size_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MOST_FILES", 3)
    with pytest.raises(RenderError, match="more than 3 files would have to be read"):
        await write({f"{index}": "x" for index in range(4)}, tmp_path)
    monkeypatch.setattr(scratch, "MOST_IN_ALL", 5)
    with pytest.raises(RenderError, match="the files to be read are larger than 0 MiB together"):
        await write({"a": "xxx", "b": "yyy"}, tmp_path)


async def test_files_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "AT_ONCE", 10)
    asked: list[int] = []

    class Counting(MemoryTree):
        async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
            found = await super().read(blobs)
            asked.append(len(found))
            return found

    tree = Counting({f"{index}": f"{index}" * 4 for index in range(5)} | {"large": "x" * 20})
    await scratch.write(tree, await tree.entries(""), tmp_path)
    assert asked == [2, 2, 1, 1]
    assert len(os.listdir(tmp_path)) == 6  # noqa: PTH208


def test_what_no_tool_gets_to_see_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MOST_IN_FILE", 10)
    entries = [
        Entry(path="fit", blob="", size=10),
        Entry(path="link", blob="", size=1, type="link"),
        Entry(path="module", blob="", size=0, type="submodule"),
        Entry(path="large", blob="", size=11),
    ]
    assert [(entry.path, why.split(",")[0]) for entry, why in scratch.unfit(entries)] == [
        ("link", "is a symbolic link"),
        ("module", "is a submodule"),
        ("large", "is larger than 0 MiB"),
    ]
