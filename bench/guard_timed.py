"""`guard run` as users have it, with the steps of its syncs noted: `python -m bench.guard_timed LOG run ...`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.guard_watched import Watch, mark
from guard.cli.main import main


def timed() -> None:
    watch = Watch(Path(sys.argv.pop(1)))
    mark(watch)
    try:
        main()
    finally:
        watch.close()


if __name__ == "__main__":
    timed()
