"""`guard`, also installed as `kubectl-guard`. Each command is loaded when it is called, so that `guard --help` is quick."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from importlib.metadata import version
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from guard.base.errors import GuardError
from guard.base.naming import printable

# Module below guard.cli for each command, and what it does in a line: help and completion load none of them.
COMMANDS = {
    "audit": "What was refused, healed and synced, and why.",
    "break-glass": "Suspend enforcement and healing, for a while and a reason.",
    "check": "Offline: whether a folder is a good revision, and what a change would meet.",
    "diff": "Where the cluster differs from Git, field by field.",
    "explain": "All about one object.",
    "reconcile": "Look at the source of a Sync now.",
    "resume": "Go on with a Sync that was suspended.",
    "run": "Keep the cluster equal to Git until told to stop.",
    "status": "How the Syncs stand.",
    "suspend": "Stop fetching, applying, pruning and healing for a Sync.",
}

FINE, UNUSABLE = 0, 2
TRACEBACK = "GUARD_TRACEBACK"  # in the environment, with any value: where an unforeseen error came from


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"guard.cli.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read has seen enough. Click would end with 1, which stands for drift, and Python fail to flush the rest.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FINE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's signature)
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        named = [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gitops-guard"), prog_name="guard")
@click.pass_context
def guard(context: click.Context) -> None:
    """Keeps a Kubernetes cluster equal to Git: applies it, refuses manual changes, heals the rest.

    Exit codes: 0 fine, 1 drift or denial found, 2 no answer: wrong usage or configuration, or an error.
    """
    # https://no-color.org, for all commands.
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    """Run the command line; one clear line on standard error for whatever went wrong."""
    try:
        code = guard.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(UNUSABLE)
    except GuardError as error:
        _fail(str(error))
    except Exception as error:  # noqa: BLE001 (Python would end with 1, which stands for drift or a denial)
        if TRACEBACK in os.environ:
            for text in traceback.format_exc().splitlines():
                click.echo(printable(text), err=True)
        _fail(f"{type(error).__name__}: {error} (an error that nobody foresaw; with {TRACEBACK}=1 it says where it comes from)")
    sys.exit(code if isinstance(code, int) else FINE)


def _fail(text: str) -> NoReturn:
    # An error quotes what it is about: answers of servers, keys of files.
    click.echo(f"guard: {printable(text)}", err=True)
    sys.exit(UNUSABLE)
