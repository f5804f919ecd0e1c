"""Guard's real Runtime with two responders more on its admission listener, so that a no-op shares all of Guard but the work.

`/noop` allows and `/noop-deny` refuses; both read nothing of a review but its uid. The refusal says what --denial holds, which
is read when it is first asked for: the benchmark writes one of Guard's own there.
"""

from __future__ import annotations

import cProfile
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import click
import msgspec
import uvloop

from guard import telemetry
from guard.admission import Responder
from guard.base import codec
from guard.base.codec import JsonObject
from guard.cli.options import Address, Seconds
from guard.runtime import Options, Runtime


class _Request(msgspec.Struct, frozen=True):
    uid: str


class _Review(msgspec.Struct, frozen=True):
    request: _Request


def _answer(data: bytes, response: JsonObject) -> bytes:
    uid = codec.decode_as(data, _Review).request.uid
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, **response}}
    return codec.encode(review)


def _noop(data: bytes) -> bytes:
    return _answer(data, {"allowed": True})


def _noop_deny(denial: Path) -> Responder:
    read: Callable[[], JsonObject] = cache(lambda: codec.decode(denial.read_bytes()))
    return lambda data: _answer(data, {"allowed": False, **read()})


@click.command()
@click.argument("command", type=click.Choice(["run"]))
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--kubeconfig", type=click.Path(path_type=Path), required=True)
@click.option("--listen", type=Address(), required=True)
@click.option("--webhook-url", required=True)
@click.option("--metrics-listen", type=Address(), required=True)
@click.option("--data-dir", type=click.Path(path_type=Path), required=True)
@click.option("--resync", type=Seconds(), required=True)
@click.option("--log-format", type=click.Choice(["json"]), required=True)
@click.option("--denial", type=click.Path(path_type=Path), required=True)
@click.option("--profile", type=click.Path(path_type=Path))
def main(
    *,
    command: str,  # noqa: ARG001 (the arguments are those of `guard run`, which opens with it)
    config: Path,
    kubeconfig: Path,
    listen: tuple[str, int],
    webhook_url: str,
    metrics_listen: tuple[str, int],
    data_dir: Path,
    resync: float,
    log_format: telemetry.Form,
    denial: Path,
    profile: Path | None,
) -> None:
    telemetry.configure(form=log_format, stream=sys.stderr.buffer)
    options = Options(
        data_dir=data_dir,
        configs=(config,),
        kubeconfig=kubeconfig,
        listen=listen,
        webhook_url=webhook_url,
        metrics_listen=metrics_listen,
        resync=resync,
        responders=(("/noop", _noop), ("/noop-deny", _noop_deny(denial))),
    )
    if profile is None:
        uvloop.run(Runtime(options).run())
    else:
        _profiled(options, profile)


def _profiled(options: Options, file: Path) -> None:
    """Profile from one SIGUSR2 to the next: the benchmark chooses what."""
    profiler, running = cProfile.Profile(), False

    def toggle(*_: object) -> None:
        nonlocal running
        (profiler.disable if running else profiler.enable)()
        running = not running

    signal.signal(signal.SIGUSR2, toggle)
    uvloop.run(Runtime(options).run())
    profiler.dump_stats(file)


if __name__ == "__main__":
    main()
