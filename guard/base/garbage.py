"""Keeps Python's collections of garbage short in a process that holds much for long.

A full collection looks at everything that is alive: 10,000 declared objects and what was learned of them take it a quarter of
a second, in which nothing else runs, in no thread.
"""

from __future__ import annotations

import gc

# Python's own (2,000 or 700, 10, 10), but for the last: a full collection comes after some 20,000 new objects, and looks at these
# alone.
_YOUNG, _MIDDLE, _OLD = 700, 10, 3


def set_survivors_aside() -> None:
    """From now on what survives a full collection is never looked at again. It still goes when nobody refers to it; what was
    set aside while in use and is part of a cycle when it falls out of use stays for ever.
    """
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.collect()
    gc.freeze()
    gc.callbacks.append(_collected)


def _collected(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:  # noqa: PLR2004 (the oldest)
        gc.freeze()
