"""Options that several commands share, and how they are read."""

from __future__ import annotations

import os
from pathlib import Path

import click

from guard.state.ids import GUARD_NAMESPACE


def default_data_dir() -> Path:
    """$GUARD_DATA_DIR, or the user's data folder (XDG base directories)."""
    given = os.environ.get("GUARD_DATA_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "guard"


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_data_dir,
    help="Folder of the running Guard: repositories, certificates, journal, control socket. Default: $GUARD_DATA_DIR, or "
    "guard below the user's data folder.",
)
kubeconfig_option = click.option(
    "--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="Default: $KUBECONFIG, or ~/.kube/config."
)
context_option = click.option("--context", help="A context of the kubeconfig. Default: its current one.")


namespace_option = click.option(
    "-n", "--namespace", default="", help="Of a Sync that is named without one. Default: guard-system."
)


def sync_key(name: str, *, namespace: str = "") -> str:
    """`apps` and `guard-system/apps` name the same Sync, unless another namespace is given; an empty name stays empty."""
    if not name:
        return ""
    given, slash, _ = name.partition("/")
    if not slash:
        return f"{namespace or GUARD_NAMESPACE}/{name}"
    if namespace and namespace != given:
        raise click.UsageError(f"{name} is not in namespace {namespace}")
    return name


def sync_name(key: str) -> str:
    """The shortest that sync_key reads as this."""
    return key.removeprefix(f"{GUARD_NAMESPACE}/")


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, `:PORT`, `[IPv6]:PORT`."""

    name = "address"

    def convert(self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 (the largest port)
            self.fail(f"{value!r} is not ADDR:PORT", param, ctx)
        return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (what an empty host asks for)


class Seconds(click.ParamType[float]):
    """A duration as Go writes it (`30s`, `10m`), or 0."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from guard.api import seconds

        if not isinstance(value, str):
            return value
        if value == "0":
            return 0.0
        try:
            return seconds(value)
        except ValueError:
            self.fail(f"{value!r} is not a duration like 30s or 10m", param, ctx)


wait_option = click.option("--wait", is_flag=True, help="Until Guard has done it, showing how it gets on.")
timeout_option = click.option(
    "--timeout", type=Seconds(), default="5m", show_default=True, help="How long to wait with --wait, like 30s or 10m."
)
