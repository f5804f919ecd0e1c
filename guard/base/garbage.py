"""Keeps Python's collections of garbage short in a process that holds much for long.

A full collection looks at everything that is alive: 10,000 declared objects and what was learned of them take it a quarter of
a second, in which nothing else runs, in no thread.
"""

from __future__ import annotations

import gc
import time

# Python's own (2,000 or 700, 10, 10), but for the last: a full collection comes after some 20,000 new objects, and looks at these
# alone.
_YOUNG, _MIDDLE, _OLD = 700, 10, 3
# A collection that takes longer looked at some 20,000 objects: a large revision is being loaded, and it is there to stay. (Set
# aside after every one, a Guard that had applied 6,000 changes held 400 objects, 62 KB, that nobody could reach any more.)
_LONG_SECONDS = 0.005
_FULL = 2  # the generation


class _Aside:
    """Sets what survived a long full collection aside, not to be looked at again. It still goes when nobody refers to it; what is
    in use at that moment, and part of a cycle when it falls out of use, stays for ever. Therefore not after each collection.
    """

    def __init__(self) -> None:
        self._started = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != _FULL:
            return
        if phase == "start":
            self._started = time.perf_counter()
        elif time.perf_counter() - self._started > _LONG_SECONDS:
            gc.freeze()


def set_survivors_aside() -> None:
    """Have it so from now on; what is there already, modules above all, is set aside."""
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.collect()
    gc.freeze()
    gc.callbacks.append(_Aside())
