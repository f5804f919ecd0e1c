"""Files that git and ssh are pointed at."""

from __future__ import annotations

import tempfile
from pathlib import Path


def put(path: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all; one that says so already stays. Never readable by others for a moment. Raises OSError."""
    if path.exists() and path.read_text() == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as new:
        new.write(text)
    Path(new.name).chmod(mode)
    Path(new.name).replace(path)
