"""Tools that behave badly, played by the shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from guard.base.errors import RenderError
from guard.render import process
from guard.render.process import Binary, Finished, Limits
from guard.render.scratch import Scratch, scratch

LIMITS = Limits(seconds=20, memory=256 * 1024 * 1024, output=1024 * 1024, told=1024)
SHELL = Binary(name="tool", path=os.path.realpath("/bin/sh"), identity="")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Scratch]:
    async with scratch(tmp_path) as made:
        (made.files / "file").write_text("text")
        yield made


async def shell(script: str, made: Scratch, *, network: bool = False, **limits: float) -> Finished:
    limited = msgspec.structs.replace(LIMITS, **limits)
    return await process.run(
        SHELL, ["-c", script], folder=made.files, scratch=made, limits=limited, where="here", network=network
    )


async def test_what_it_gives_out_and_says_is_what_it_did(made: Scratch) -> None:
    done = await shell("read line < file; echo $line; echo told >&2; exit 3", made)
    assert done == Finished(status=3, output=b"text\n", told=b"told\n")


async def test_it_is_told_nothing_of_guards_environment(made: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "sesame")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:sesame@proxy")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    names = {line.partition(b"=")[0] for line in (await shell("export -p", made)).output.replace(b"export ", b"").splitlines()}
    own = {b"HOME", b"TMPDIR", b"KUBECONFIG", b"PATH", b"XDG_CACHE_HOME", b"XDG_CONFIG_HOME", b"XDG_DATA_HOME", b"XDG_STATE_HOME"}
    assert names <= own | {b"PWD", b"OLDPWD", b"SHLVL", b"_"}
    with_network = (await shell("echo $HTTPS_PROXY $GIT_ALLOW_PROTOCOL", made, network=True)).output
    assert with_network == b"http://user:sesame@proxy https:http:ssh\n"


async def test_it_may_write_at_home_only(made: Scratch) -> None:
    done = await shell('echo x > "$HOME/x" && read line < "$TMPDIR/x" && echo $line; echo x > new', made)
    assert done.output == b"x\n"
    assert b"new" in done.told


async def test_it_runs_no_other_program(made: Scratch) -> None:
    done = await shell("/bin/ls; /usr/bin/env", made)
    assert done.status == 126
    assert done.output == b""


async def test_its_input_is_closed(made: Scratch) -> None:
    assert (await shell("read line; echo $?", made)).output == b"1\n"


async def test_one_that_takes_too_long_is_killed(made: Scratch) -> None:
    with pytest.raises(RenderError) as caught:
        await shell("trap '' TERM; while :; do :; done", made, seconds=0.5)
    assert str(caught.value) == "here: tool took longer than 0.5 s"


async def test_one_that_closes_its_output_and_goes_on_is_killed(made: Scratch) -> None:
    with pytest.raises(RenderError, match=r"took longer than 0\.5 s"):
        await shell("exec >&- 2>&-; while :; do :; done", made, seconds=0.5)


async def test_one_that_gives_out_too_much_is_killed(made: Scratch) -> None:
    with pytest.raises(RenderError, match="here: tool gives out more than 1 MiB"):
        await shell("while :; do echo 0123456789012345678901234567890123456789; done", made)


async def test_of_what_it_says_only_the_end_is_kept(made: Scratch) -> None:
    done = await shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo end >&2", made)
    assert len(done.told) == 1024
    assert done.told.endswith(b"0123456789\nend\n")


async def test_one_that_takes_too_much_memory_is_refused(made: Scratch) -> None:
    with pytest.raises(RenderError, match="tool needs more than 256 MiB of memory"):
        await shell("echo 'fatal error: runtime: cannot allocate memory' >&2; exit 2", made)
    with pytest.raises(RenderError, match="tool was ended by signal 9, as happens when memory or time runs out"):
        await shell("kill -9 $$", made)


async def test_what_it_leaves_running_is_killed(made: Scratch) -> None:
    done = await shell("(exec >&- 2>&-; while :; do :; done) & echo $!", made)
    await _gone(int(done.output))


async def test_all_of_it_is_killed_when_nobody_waits_any_more(made: Scratch) -> None:
    script = '(while :; do :; done) & echo $$ $! > "$HOME/started"; while :; do :; done'
    task = asyncio.create_task(shell(script, made))
    started = made.home / "started"
    while not started.exists() or not started.read_text().endswith("\n"):  # noqa: ASYNC110 (another process)
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for pid in started.read_text().split():
        await _gone(int(pid))


async def test_one_that_cannot_be_started_says_why(made: Scratch, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\necho started\n")
    script.chmod(0o755)
    for path, why in ((script, "Permission denied"), (tmp_path / "absent", "No such file or directory")):
        binary = Binary(name="tool", path=str(path), identity="")
        with pytest.raises(RenderError, match=f"{path}: tool cannot be started: {why}"):
            await process.run(binary, [], folder=made.files, scratch=made, limits=LIMITS, where="here")


def test_a_binary_is_known_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match="tool is not installed where Guard runs"):
        process.find("tool")
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "real").chmod(0o755)
    (tmp_path / "tool").symlink_to("real")
    first = process.find("tool")
    assert first.path == str(tmp_path / "real")
    assert process.find("tool") == first
    (tmp_path / "real").write_bytes(b"22")
    assert process.find("tool").identity != first.identity


async def _gone(pid: int) -> None:
    while _runs(pid):  # noqa: ASYNC110 (another process, which knows no Event)
        await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
