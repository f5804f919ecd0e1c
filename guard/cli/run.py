"""guard run"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, cast
from urllib.parse import urlsplit

import click
import uvloop

from guard import telemetry
from guard.base.concurrency import end
from guard.base.errors import ConfigError, GuardError
from guard.base.garbage import set_survivors_aside
from guard.base.memory import keep_private
from guard.cli.main import FINE, UNUSABLE
from guard.cli.options import Address, Seconds, context_option, data_dir_option, kubeconfig_option
from guard.cli.output import line
from guard.runtime import Options, Runtime
from guard.sync import APPLIES_AT_ONCE

FRAMES = 8
THREADS_SECONDS = 1.0

_log = telemetry.get("cli")


@click.command("run")
@click.option("--config", "configs", multiple=True, type=click.Path(path_type=Path), help="A file of Syncs; the file wins.")
@kubeconfig_option
@context_option
@click.option("--listen", type=Address(), default="127.0.0.1:9443", show_default=True, help="Where the webhook listens.")
@click.option(
    "--webhook-url", default="", help="How the API server reaches it. Default, in a cluster: Service guard-system/guard."
)
@data_dir_option
@click.option("--metrics-listen", type=Address(), help="Where to serve /metrics. Default: nowhere.")
@click.option(
    "--credentials-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Secrets that Syncs name as files: NAMESPACE/NAME/KEY. Default: all are in the cluster.",
)
@click.option("--receiver-listen", type=Address(), help="Where hosts of repositories push to. Default: nowhere.")
@click.option("--cert-dir", type=click.Path(file_okay=False, path_type=Path), help="Own tls.crt, tls.key and ca.crt.")
@click.option("--resync", type=Seconds(), default="10m", show_default=True, help="How often to apply everything again; 0: never.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1, max=100),
    default=APPLIES_AT_ONCE,
    show_default=True,
    help="How many objects a Sync applies at once.",
)
@click.option(
    "--break-glass-longest",
    "longest_break_glass",
    type=Seconds(),
    default="4h",
    show_default=True,
    help="How long a BreakGlass may last at most; 0: none is taken.",
)
@click.option("--admin-group", "admin_groups", multiple=True, help="A group that may change what is Guard's own; repeatable.")
@click.option(
    "--control-plane-user",
    "control_plane",
    multiple=True,
    help="A user to count among the control plane, as of a network or storage driver outside kube-system; repeatable.",
)
@click.option("--log-format", type=click.Choice(["json", "console"]), help="Default: console on a terminal, json elsewhere.")
def command(
    *,
    configs: tuple[Path, ...],
    kubeconfig: Path | None,
    context: str | None,
    listen: tuple[str, int],
    webhook_url: str,
    data_dir: Path,
    metrics_listen: tuple[str, int] | None,
    receiver_listen: tuple[str, int] | None,
    credentials_dir: Path | None,
    cert_dir: Path | None,
    resync: float,
    concurrency: int,
    longest_break_glass: float,
    admin_groups: tuple[str, ...],
    control_plane: tuple[str, ...],
    log_format: telemetry.Form | None,
) -> None:
    """Keep the cluster equal to Git until told to stop."""
    telemetry.configure(form=log_format or ("console" if sys.stderr.isatty() else "json"), stream=sys.stderr.buffer)
    if missing := keep_private():
        _log.warning("what Guard holds in memory is less private than it could be", lacking=missing)
    options = Options(
        data_dir=data_dir.absolute(),
        configs=configs,
        kubeconfig=kubeconfig,
        context=context,
        listen=listen,
        webhook_url=_checked(webhook_url),
        metrics_listen=metrics_listen,
        receiver_listen=receiver_listen,
        credentials_dir=credentials_dir,
        cert_dir=cert_dir,
        resync=resync,
        concurrency=concurrency,
        longest_break_glass=longest_break_glass,
        admin_groups=admin_groups,
        control_plane=control_plane,
    )
    set_survivors_aside()
    threads = ThreadPoolExecutor(thread_name_prefix="guard")
    try:
        _run(options, threads)
    except GuardError as error:
        # Where nobody can be told, the exit code says it.
        with suppress(OSError):
            line(f"guard: {error}", err=True)
        _leave(threads, UNUSABLE)
    _leave(threads, FINE)


def _run(options: Options, threads: ThreadPoolExecutor) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(telemetry.unawaited)
        loop.set_default_executor(threads)
        try:
            await Runtime(options).run()
        finally:
            await end(asyncio.all_tasks() - {asyncio.current_task()})

    # Never closed: that would wait for threads, those in which libuv asks the name service among them.
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(main())
    except (Exception, BaseExceptionGroup, asyncio.CancelledError) as error:
        # A failure of one background part ends the run; the first of them says why.
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = cast("tuple[BaseException, ...]", first.exceptions)[0]  # pyright's narrowing loses the type
        raise _told(first) from error


def _leave(threads: ThreadPoolExecutor, code: int) -> NoReturn:
    """End the process, although a thread waits for somebody else, as for a name service that does not answer. All else is done,
    and Python would wait for the thread.
    """
    threads.shutdown(wait=False)
    until = time.monotonic() + THREADS_SECONDS
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.01)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _told(error: BaseException) -> GuardError:
    """The error, if it is one that Guard knows. Another may not come again when somebody looks, so the log says where it came
    from; its own text may hold a value, and stays out.
    """
    if isinstance(error, GuardError):
        return error
    name = type(error).__name__
    frames = traceback.format_tb(error.__traceback__)[-FRAMES:]
    _log.error("an error that nobody foresaw ends the run", error=name, frames=frames)
    return GuardError(f"an error that nobody foresaw ended the run: {name}", hint="the log says where it came from")


def _checked(url: str) -> str:
    if url and (not url.startswith("https://") or not urlsplit(url).hostname):
        raise ConfigError("has to be https://HOST:PORT, since the API server calls webhooks by https only", where="--webhook-url")
    return url
