"""Writing declared objects: from a manifest to what is applied, and the one writer that applies it."""

from guard.apply.errors import told
from guard.apply.prepare import prepare
from guard.apply.wanted import wanted
from guard.apply.writer import Applied, Known, Writer, learned

__all__ = ["Applied", "Known", "Writer", "learned", "prepare", "told", "wanted"]
