"""The real kubectl, kept from the user's own configuration."""

from __future__ import annotations

import asyncio
import shlex
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from guard.base import codec
from guard.base.codec import Json
from tools.controlplane.processes import ControlPlaneError, clean_environment

KUBECTL_SECONDS = 120


class Completed(msgspec.Struct, frozen=True):
    """What a finished kubectl said."""

    command: str
    returncode: int
    stdout: str
    stderr: str

    def json(self) -> Json:
        """What it printed under `-o json`."""
        return codec.decode(self.stdout.encode())


class KubectlError(ControlPlaneError):
    """kubectl ended with another exit code than 0."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(f"{completed.command}: exit code {completed.returncode}\n{completed.stderr}{completed.stdout}")
        self.completed = completed


async def run(
    kubectl: Path,
    arguments: Sequence[str | Path],
    *,
    kubeconfig: Path,
    home: Path,
    check: bool,
    input_text: str | None,
    environment: Mapping[str, str],
) -> Completed:
    """Run to the end. Raises KubectlError for a failure when `check` says so, ControlPlaneError when it hangs."""
    words = [str(argument) for argument in arguments]
    command = shlex.join(["kubectl", *words])
    process = await asyncio.create_subprocess_exec(
        kubectl, *words,
        stdin=DEVNULL if input_text is None else PIPE, stdout=PIPE, stderr=PIPE, cwd=home,
        env=clean_environment(home, KUBECONFIG=str(kubeconfig), **environment),
    )  # fmt: skip
    try:
        async with asyncio.timeout(KUBECTL_SECONDS):
            stdout, stderr = await process.communicate(None if input_text is None else input_text.encode())
    except TimeoutError as error:
        raise ControlPlaneError(f"{command}: no end after {KUBECTL_SECONDS} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    completed = Completed(command, process.returncode or 0, stdout.decode(), stderr.decode())
    if check and completed.returncode:
        raise KubectlError(completed)
    return completed
