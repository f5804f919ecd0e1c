"""Names, values and messages that want something of the terminal: each command shows them, and nothing obeys them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard import control
from guard.api import SYNC
from guard.audit import FieldChange, Journal, Record
from guard.base import codec, naming
from guard.base.codec import JsonObject
from guard.base.errors import ClusterError
from guard.cluster import collection_path
from guard.inspect import Comparison, DeclaredField, Difference, Explanation, FieldDifference, Manager, OtherField
from tests.cli.terminal import HARMLESS, HARMLESS_JSON, HOSTILE, environment, obeyed, on_terminal
from tests.inspect.apiserver import answering
from tools.guardrun import guard_command, sync_document

RECORD = Record(
    time="2026-01-02T03:04:05Z",
    id=f"{1:026}",
    event="denied",
    kind="ConfigMap",
    namespace="shop",
    name=HOSTILE,
    user=HOSTILE,
    fields=(FieldChange(path=HOSTILE, git=HOSTILE, asked=HOSTILE),),
)
COMPARISON = Comparison(
    objects=3,
    differences=(
        Difference(
            kind=HOSTILE,
            namespace="shop",
            name=HOSTILE,
            sync="guard-system/apps",
            origin=f"{HOSTILE}:1",
            what="changed",
            fields=(FieldDifference(path=HOSTILE, git=HOSTILE, live=HOSTILE),),
        ),
        Difference(kind="Gizmo", namespace="", name="g", sync="a/b", origin="g.yaml:1", what="unknown", problem=HOSTILE),
    ),
)
DECLARED = Explanation(
    group="",
    kind="ConfigMap",
    namespace="shop",
    name=HOSTILE,
    state="unknown",
    problem=HOSTILE,
    sync="guard-system/apps",
    revision=HOSTILE,
    file=HOSTILE,
    url=HOSTILE,
    fields=(DeclaredField(path=HOSTILE, git=HOSTILE, live=HOSTILE, same=False, line=1, managed_by=(HOSTILE,)),),
    others=(OtherField(path=HOSTILE, live=HOSTILE, addition=True, managed_by=(HOSTILE,)),),
    managers=(Manager(manager=HOSTILE, operation="Update", subresource="", api_version="v1", time="", fields=()),),
    records=(RECORD,),
)


@pytest.fixture
async def data(tmp_path: Path) -> AsyncIterator[Path]:
    """The data folder of a Guard that has nothing good to say."""

    async def diff(sync: str) -> Comparison:
        if sync:
            raise ClusterError(HOSTILE)
        return COMPARISON

    async def explain(kind: str, name: str, *, namespace: str) -> Explanation:
        undeclared = Explanation(
            group="", kind=kind, namespace=namespace, name=name, state="undeclared", label=HOSTILE, strict=HOSTILE
        )
        return DECLARED if name == "web" else undeclared

    journal = Journal(tmp_path / "audit")
    journal.write(RECORD)
    journal.close()
    runner = await control.serve(tmp_path, journal=tmp_path / "audit", diff=diff, explain=explain)
    yield tmp_path
    await runner.cleanup()


@pytest.mark.parametrize(
    ("command", "code", "times"),
    [
        (("diff",), 1, 7),
        (("diff", "apps"), 2, 1),
        (("explain", "cm/web"), 1, 15),
        (("explain", "cm/other"), 0, 2),
        (("audit",), 1, 3),
    ],
)
async def test_what_the_running_guard_answers(data: Path, command: tuple[str, ...], code: int, times: int) -> None:
    returned, sent = await on_terminal(*command, GUARD_DATA_DIR=str(data))
    assert (returned, obeyed(sent)) == (code, [])
    assert sent.count(HARMLESS) == times


@pytest.mark.parametrize("command", ["diff", "explain cm/web", "audit", "audit --reference=" + RECORD.id])
@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_what_programs_read_says_the_same_and_is_as_harmless(data: Path, command: str, form: str) -> None:
    import yaml

    _, sent = await on_terminal(*command.split(), "-o", form, GUARD_DATA_DIR=str(data))
    assert obeyed(sent) == []
    assert (HARMLESS_JSON in sent) == (form == "json")
    assert repr(HOSTILE) in repr(codec.decode(sent.encode()) if form == "json" else yaml.safe_load(sent))


@pytest.mark.parametrize(("form", "shown"), [("table", HARMLESS), ("json", HARMLESS_JSON)])
async def test_records_that_are_followed_take_one_line_each(data: Path, form: str, shown: str) -> None:
    command = [*guard_command(), "audit", "--follow", "-o", form]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=environment(GUARD_DATA_DIR=str(data))
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            sent = (await process.stdout.readline()).decode()
    finally:
        process.kill()
        await process.communicate()
    assert RECORD.id in sent
    assert (shown in sent, obeyed(sent)) == (True, [])


async def test_what_syncs_say_about_themselves(tmp_path: Path) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "Failed", "message": HOSTILE, "lastTransitionTime": RECORD.time}
    sync = sync_document("apps", "https://git.example.com/apps")
    sync["status"] = {"conditions": [condition], "lastAppliedRevision": f"main@{HOSTILE}"}
    async with answering(tmp_path, {collection_path(SYNC): {"items": [sync]}}) as kubeconfig:
        returned, sent = await on_terminal("status", "--kubeconfig", kubeconfig)
    assert (returned, obeyed(sent), sent.count(HARMLESS)) == (1, [], 1)


MANIFEST: JsonObject = {"apiVersion": "example.com/v1", "kind": HOSTILE, "metadata": {"name": HOSTILE, "namespace": "shop"}}
FAULTY: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": HOSTILE}}


def write(file: Path, manifest: JsonObject) -> None:
    # Escaped, since YAML takes no control characters as they are.
    file.write_text(naming.printable_json(codec.encode(manifest).decode()))


async def test_a_manifest_that_is_checked(tmp_path: Path) -> None:
    desired = tmp_path / "desired"
    desired.mkdir()
    changed = tmp_path / "changed.json"
    write(desired / "a.json", MANIFEST)
    write(changed, {**MANIFEST, "data": {HOSTILE: HOSTILE}})
    returned, sent = await on_terminal("check", "--desired", desired, "-f", changed)
    assert (returned, obeyed(sent)) == (1, [])
    assert f"{changed}:1: UPDATE {HARMLESS} shop/{HARMLESS}: refused" in sent
    assert f"\nwarning: {desired}/a.json:1: {HARMLESS}.example.com is not built in" in sent


async def test_a_folder_whose_faults_quote_it(tmp_path: Path) -> None:
    write(tmp_path / "a.json", FAULTY)
    returned, sent = await on_terminal("check", "--desired", tmp_path)
    assert (returned, obeyed(sent)) == (1, [])
    assert f"ConfigMap {HARMLESS} has no metadata.namespace" in sent
