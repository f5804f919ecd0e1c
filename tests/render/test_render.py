from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render import render
from guard.state.snapshot import File, Snapshot

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
# About a second of parsing.
LARGE = (MAP + "data:\n" + "".join(f"  key{n}: value {n}\n" for n in range(40)) + "---\n") * 5000


def snapshot(files: dict[str, str]) -> Snapshot:
    return Snapshot(
        revision="main@sha1:1",
        path="",
        files=tuple(File(path=path, blob=f"{number}", data=text.encode()) for number, (path, text) in enumerate(files.items())),
    )


def children() -> set[int]:
    """The worker processes of this one."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if b"guard.render.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


async def started() -> int:
    while not (found := children()):  # noqa: ASYNC110 (another process has no event to wait for)
        await asyncio.sleep(0.01)
    return found.pop()


async def test_files_become_manifests_in_order() -> None:
    manifests = await render(
        snapshot({"a.yaml": MAP + "---\n" + MAP, "b.json": '{"apiVersion":"v1","kind":"X","metadata":{"name":"x"}}'})
    )

    assert [str(each.origin) for each in manifests] == ["a.yaml:1", "a.yaml:5", "b.json:1"]
    assert manifests[2].body == {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}


async def test_nothing_gives_nothing() -> None:
    assert await render(snapshot({})) == ()
    assert await render(snapshot({"a.yaml": "# empty\n"})) == ()


async def test_all_faults_of_all_files_are_in_one_line() -> None:
    with pytest.raises(RenderError) as caught:
        await render(snapshot({"a.yaml": "kind: A\n", "b.yaml": MAP, "c.yaml": "a: [\n", "d.yaml": "a: 1\na: 2\n"}))

    assert str(caught.value) == (
        "a.yaml:1: the object has no apiVersion and no metadata.name (every object needs apiVersion, kind and metadata.name; "
        "2 other errors: c.yaml:2:1: while parsing a flow node, did not find expected node content; "
        "d.yaml:2:1: the key 'a' stands twice, first in line 1)"
    )


async def test_very_many_faults_are_counted() -> None:
    with pytest.raises(RenderError, match=r"9 other errors: .*; and 5 more"):
        await render(snapshot({f"{number}.yaml": "a: [\n" for number in range(10)}))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("kustomization.yaml", "Kustomize"),
        ("kustomization.yml", "Kustomize"),
        ("Kustomization", "Kustomize"),
        ("Chart.yaml", "Helm"),
    ],
)
async def test_other_formats_are_named(name: str, told: str) -> None:
    with pytest.raises(RenderError, match=rf"^apps/{name}: {told}.* not supported yet$"):
        await render(snapshot({f"apps/{name}": "a: 1"}))


async def test_a_parser_that_takes_too_long_is_killed() -> None:
    with pytest.raises(RenderError, match=r"^a\.yaml: parsing took longer than 0\.2 s"):
        await render(snapshot({"a.yaml": LARGE}), timeout=0.2)

    assert not children()


async def test_a_parser_that_dies_names_the_file() -> None:
    rendering = asyncio.create_task(render(snapshot({"ok.yaml": MAP, "bad.yaml": LARGE})))
    child = await started()
    await asyncio.sleep(0.3)
    os.kill(child, signal.SIGKILL)

    with pytest.raises(RenderError, match=r"^bad\.yaml: the parser ended unexpectedly \(signal 9\)"):
        await rendering


async def test_a_cancelled_render_leaves_no_child() -> None:
    rendering = asyncio.create_task(render(snapshot({"a.yaml": LARGE})))
    await started()
    rendering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert not children()


def test_the_worker_loads_neither_aiohttp_nor_the_cluster_client() -> None:
    code = "import sys, guard.render.worker; print({'aiohttp', 'kubernetes_asyncio', 'git'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
