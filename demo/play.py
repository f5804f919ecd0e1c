"""The demo: a real control plane, a real `guard run` and a real Git repository, told as a story that checks itself.

    make demo            builds what is missing, plays, stops everything
    make demo KEEP=1     leaves it running, with the lines to try by hand

Exit codes: 0 all came true, 1 something did not, 2 it could not start.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import click
from rich.console import Console

from demo import story
from demo.stage import BREAK_GLASS, Stage
from guard.base.errors import GuardError
from tools import binaries
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, Repository, guard_command, running, sync_document

# Short, since Guard's control socket lies below it and a socket's path has some 100 bytes.
PARENT = "/tmp"  # noqa: S108 (mkdtemp makes a folder of our own in it)
TAIL_LINES = 40
FINE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C.")
def main(*, keep: bool) -> None:
    """Play the demo."""
    # Piped, lines are as long as they need to be.
    console = Console(highlight=False, soft_wrap=True)
    try:
        code = asyncio.run(_main(console, keep=keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped")
        code = INTERRUPTED
    except (GuardError, binaries.ToolsError) as error:
        click.echo(f"demo: {error}", err=True)
        code = UNUSABLE
    sys.exit(code)


async def _main(console: Console, *, keep: bool) -> int:
    task = asyncio.current_task()
    if task is not None:
        # As Ctrl-C does: everything that runs is stopped on the way out.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    directory = Path(tempfile.mkdtemp(prefix="guard-demo-", dir=PARENT))
    try:
        return await _play(console, directory, keep=keep)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _play(console: Console, directory: Path, *, keep: bool) -> int:
    began = time.monotonic()
    repository = Repository(directory / "repository")
    repository.commit(story.files(), message="The shop: storefront 1.4.0")
    # Without its controllers a cluster still stores, admits and watches; Deployments just get no ReplicaSets.
    controllers = not binaries.search(["kube-controller-manager"]).missing
    console.print("Starting etcd, kube-apiserver" + (", kube-controller-manager" if controllers else "") + " ...")
    async with ControlPlane.start(directory / "plane", controller_manager=controllers) as plane:
        console.print(f"A control plane of its own, {plane.url}, after {time.monotonic() - began:.1f} s")
        syncs = [sync_document("shop", repository.directory, path=f"./{story.FOLDER}")]
        guard = GuardProcess(plane, directory / "guard", syncs=syncs)
        stage = Stage(plane=plane, guard=guard, repository=repository, console=console, scratch=directory)
        story.opening(stage)
        try:
            async with running(guard):
                await story.play(stage)
                if keep:
                    _sum_up(stage, seconds=time.monotonic() - began)
                    await _keep(stage)
                await story.ending(stage)
        except (GuardError, AssertionError, aiohttp.ClientError) as error:
            stage.check(f"the story ends early: {error}", holds=False)
        if not keep:
            _sum_up(stage, seconds=time.monotonic() - began)
        if stage.failed:
            stage.say(f"\n{stage.failed} of {stage.failed + stage.passed} steps did not come true. The end of Guard's log:")
            stage.output(guard.tail(TAIL_LINES))
    return FAILED if stage.failed else FINE


def _sum_up(stage: Stage, *, seconds: float) -> None:
    stage.act("Drift lasted")
    for heal in stage.heals:
        stage.say(f"  {heal.seconds * 1000:6.0f} ms  {heal.what}")
    stage.say(f"\n{stage.passed} of {stage.passed + stage.failed} checks came true, {seconds:.0f} s in all.")


async def _keep(stage: Stage) -> None:
    """The lines to try by hand, and a wait for Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    commands = shlex.quote(str(Path(guard_command()[0]).parent))
    tools = shlex.quote(str(stage.plane.kubectl_path.parent))
    repository = stage.repository.directory
    stage.act("It stays until Ctrl-C. In another terminal:")
    stage.say(
        f"""
  export PATH={commands}:{tools}:$PATH
  export KUBECONFIG={stage.plane.kubeconfig("person")}   # ada, a cluster admin
  export GUARD_DATA_DIR={stage.guard.data}

  kubectl edit deployment/storefront -n shop
  kubectl scale deployment/storefront -n shop --replicas=0 {" ".join(BREAK_GLASS)}
  $EDITOR {repository / story.FOLDER}/config.yaml && git -C {repository} commit -am "A change"
  guard status;  guard diff;  guard audit --follow

  Guard's log: {stage.guard.log}
"""
    )
    await stop.wait()


if __name__ == "__main__":
    main()
