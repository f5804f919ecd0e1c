"""How differences are shown: to people on a terminal, in a pipe, and with colours on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard import control
from guard.base.errors import ConfigError
from guard.inspect import Comparison, Difference, Explanation, FieldDifference
from tests.cli.terminal import Session, on_terminal, unstyled

CHANGED = Difference(
    kind="ConfigMap",
    namespace="shop",
    name="settings",
    sync="guard-system/apps",
    what="changed",
    origin="apps/settings.yaml:1",
    file="apps/settings.yaml",
    fields=(
        FieldDifference(path="data.color", git="blue", live="red", line=7, managed_by=("kubectl-edit", "guard")),
        FieldDifference(path="data.extra", git="", live="1", managed_by=("kubectl-edit",)),
        FieldDifference(path="data.size", git="large", live="", line=8),
    ),
)
MISSING = Difference(
    kind="Deployment", namespace="shop", name="web", sync="guard-system/apps", what="missing", origin="apps/web.yaml:1"
)
PRUNABLE = Difference(kind="ConfigMap", namespace="shop", name="old", sync="guard-system/apps", what="prunable")
UNKNOWN = Difference(
    kind="Gizmo", namespace="", name="g", sync="guard-system/apps", what="unknown", origin="g.yaml:1", problem="no answer"
)
REVISION = {"guard-system/apps": "main@sha1:3f2c1ab0000000000000000000000000000000aa"}

SHOWN = """ConfigMap shop/settings (apps/settings.yaml:1): changed
  data.color (apps/settings.yaml:7, set by kubectl-edit)
    - cluster: red
    + Git:     blue
  data.extra (set by kubectl-edit)
    - cluster: 1
  data.size (apps/settings.yaml:8)
    + Git:     large
Deployment shop/web (apps/web.yaml:1): missing in the cluster
ConfigMap shop/old: no longer in Git, to be pruned
Gizmo g (g.yaml:1): not compared: no answer
2 of 120 objects differ from main@3f2c1ab (1 changed, 1 missing), 1 to be pruned, 1 could not be compared
"""


class Answering:
    """What the running Guard says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found = Comparison(objects=120, differences=(CHANGED, MISSING, PRUNABLE, UNKNOWN), revisions=REVISION)
        self.asked: list[str] = []

    async def diff(self, sync: str) -> Comparison:
        self.asked.append(sync)
        if "nobody" in sync:
            raise ConfigError(f"there is no Sync {sync}", hint="guard status lists them")
        return self.found

    async def explain(self, kind: str, name: str, *, namespace: str) -> Explanation:
        return Explanation(group="", kind=kind, namespace=namespace, name=name, state="same")


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Answering]:
    found = Answering(tmp_path)
    runner = await control.serve(tmp_path, journal=tmp_path / "audit", diff=found.diff, explain=found.explain)
    yield found
    await runner.cleanup()


async def shown(guard: Answering, *arguments: str, terminal: bool = False, **more: str) -> tuple[int, str]:
    async with Session.of("diff", *arguments, terminal=terminal, GUARD_DATA_DIR=str(guard.directory), **more) as session:
        return await session.ended(), session.sent


async def test_a_pipe_gets_plain_text(guard: Answering) -> None:
    assert await shown(guard) == (1, SHOWN)


@pytest.mark.parametrize(
    ("arguments", "environment", "terminal", "coloured"),
    [
        ((), {}, True, True),
        (("--color", "never"), {}, True, False),
        ((), {"NO_COLOR": "1"}, True, False),
        ((), {"NO_COLOR": ""}, True, True),
        (("--color", "always"), {}, False, True),
        (("--color", "always"), {"NO_COLOR": "1"}, False, True),
        (("--color", "auto"), {}, False, False),
    ],
)
async def test_colours_are_for_terminals_and_whoever_asks_for_them(
    guard: Answering, *, arguments: tuple[str, ...], environment: dict[str, str], terminal: bool, coloured: bool
) -> None:
    code, sent = await shown(guard, *arguments, terminal=terminal, **environment)
    assert (code, unstyled(sent)) == (1, SHOWN)
    assert ("\x1b[31m    - cluster: red" in sent, "\x1b[32m    + Git:     blue" in sent) == (coloured, coloured)
    assert ("\x1b" in sent) == coloured


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        (Comparison(objects=1, differences=(), revisions=REVISION), 0, "1 object, no difference from main@3f2c1ab"),
        (Comparison(objects=9, differences=(), revisions={**REVISION, "a/b": "x"}), 0, "9 objects, no difference from Git"),
        (Comparison(objects=9, differences=(UNKNOWN,), revisions=REVISION), 1, "9 objects, 1 could not be compared"),
        (
            Comparison(objects=9, differences=(MISSING,), revisions=REVISION),
            1,
            "1 of 9 objects differs from main@3f2c1ab (1 missing)",
        ),
        (
            Comparison(objects=9, differences=(PRUNABLE,), revisions=REVISION),
            1,
            "9 objects, no difference from main@3f2c1ab, 1 to be pruned",
        ),
        (Comparison(objects=0, differences=(), not_compared={"a/b": "not loaded"}), 1, "0 objects, no difference from Git"),
    ],
)
async def test_the_last_line_sums_it_up(guard: Answering, found: Comparison, code: int, last: str) -> None:
    guard.found = found
    returned, sent = await shown(guard)
    assert (returned, sent.splitlines()[-1]) == (code, last)
    assert all(f"{name}: {why}\n" in sent for name, why in found.not_compared.items())


async def test_of_a_bucket_it_is_the_bucket_that_is_named(guard: Answering) -> None:
    guard.found = Comparison(
        objects=2, differences=(CHANGED, PRUNABLE), revisions={"guard-system/apps": "deploy@sha256:" + 64 * "0"}
    )
    _, sent = await shown(guard)
    assert "    - cluster: red\n    + bucket:  blue\n" in sent
    assert "ConfigMap shop/old: no longer in the bucket, to be pruned\n" in sent
    assert "Git" not in sent


async def test_of_several_syncs_each_object_names_its_own(guard: Answering) -> None:
    guard.found = Comparison(objects=2, differences=(MISSING,), revisions={**REVISION, "a/b": "x"})
    _, sent = await shown(guard)
    assert sent.startswith("Deployment shop/web (apps/web.yaml:1, guard-system/apps): missing")


async def test_one_sync_is_named_as_everywhere(guard: Answering) -> None:
    for arguments in (("apps",), ("team/apps",), ("apps", "-n", "team")):
        await shown(guard, *arguments)
    assert guard.asked == ["guard-system/apps", "team/apps", "team/apps"]
    code, sent = await shown(guard, "nobody")
    assert (code, sent) == (2, "guard: there is no Sync guard-system/nobody (guard status lists them)\n")
    code, sent = await shown(guard, "-n", "team")
    assert (code, "-n goes with the name of a Sync" in sent) == (2, True)


async def test_a_reader_that_has_seen_enough_is_no_drift(guard: Answering) -> None:
    many = tuple(Difference(kind="Gizmo", namespace="", name=f"g{number}", sync="a/b", what="missing") for number in range(5000))
    guard.found = Comparison(objects=5000, differences=many)
    async with Session.of("diff", terminal=False, GUARD_DATA_DIR=str(guard.directory)) as session:
        await session.until("Gizmo g0")
        session.hang_up()
        assert await session.ended() == 0


async def test_programs_get_all_of_it(guard: Answering) -> None:
    code, sent = await on_terminal("diff", "-o", "json", GUARD_DATA_DIR=str(guard.directory))
    assert code == 1
    assert '"managedBy": [\n' in sent
    assert '"revisions": {' in sent
