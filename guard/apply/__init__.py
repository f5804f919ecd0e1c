"""Writing declared objects: from a manifest to what is applied, and the one writer that applies it."""

from guard.apply.errors import is_anothers, is_crowded, is_denied, policy, told
from guard.apply.lesson import learned
from guard.apply.prepare import prepare
from guard.apply.wanted import wanted
from guard.apply.writer import Applied, Known, Writer

__all__ = [
    "Applied",
    "Known",
    "Writer",
    "is_anothers",
    "is_crowded",
    "is_denied",
    "learned",
    "policy",
    "prepare",
    "told",
    "wanted",
]
