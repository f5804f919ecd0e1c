"""`guard`, also installed as `kubectl-guard`. Each command is loaded when it is called, so that `guard --help` is quick."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version

import click

from guard.base.errors import GuardError

# Module below guard.cli for each command.
COMMANDS = ("audit", "check", "diff", "explain", "reconcile", "run", "status")

FINE, FOUND, UNUSABLE = 0, 1, 2


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"guard.cli.{cmd_name}").command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gitops-guard"), prog_name="guard")
def guard() -> None:
    """Keeps a Kubernetes cluster equal to Git: applies it, refuses manual changes, heals the rest.

    Exit codes: 0 fine, 1 drift or denial found, 2 usage or configuration error.
    """


def main() -> None:
    """Run the command line; one clear line on standard error for whatever a user can mend."""
    try:
        code = guard.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(UNUSABLE)
    except GuardError as error:
        click.echo(f"guard: {error}", err=True)
        sys.exit(UNUSABLE)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FINE)
    sys.exit(code if isinstance(code, int) else FINE)
