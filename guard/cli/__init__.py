"""The commands: parse, call, print. No logic."""

from guard.cli.main import main

__all__ = ["main"]
