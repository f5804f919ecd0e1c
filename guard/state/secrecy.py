"""Whose values are shown to nobody, in no message, record, log or status: those of Secrets, and of what is encrypted in the
source.
"""

from __future__ import annotations

from enum import Enum, auto

from guard.state.fields import Path
from guard.state.ids import LABEL_PATH, ObjectKey

# Of a Secret no other value is ever shown: annotations hold copies of the whole object.
_SHOWN_OF_SECRETS = {("f:metadata", "f:labels"), ("f:metadata", "f:finalizers"), ("f:metadata", "f:ownerReferences")}


class Secrecy(Enum):
    """How much of an object is shown: every value (`OPEN`), no value of a `SECRET` but labels, finalizers and owners, or no value
    (`CONFIDENTIAL`) but Guard's own label: SOPS encrypts whatever it is told to. What the object is and is called always is.
    """

    OPEN = auto()
    SECRET = auto()
    CONFIDENTIAL = auto()

    @property
    def is_open(self) -> bool:
        return self is Secrecy.OPEN

    @property
    def excuse(self) -> str:
        """What is said where there would be more to say."""
        whose = "what is encrypted in the source" if self is Secrecy.CONFIDENTIAL else "Secrets"
        return f"details of {whose} are not shown"

    def hides(self, path: Path) -> bool:
        """Whether the values at and below the path are shown to nobody."""
        match self:
            case Secrecy.OPEN:
                return False
            case Secrecy.SECRET:
                return path[:2] not in _SHOWN_OF_SECRETS
            case Secrecy.CONFIDENTIAL:
                return path != LABEL_PATH

    def shown(self, path: Path) -> Path:
        """As much of the path as may be shown: items of sets and keys of lists are values themselves."""
        if not self.hides(path):
            return path
        return path[: next((place for place, element in enumerate(path) if not element.startswith("f:")), len(path))]


def secrecy_of(key: ObjectKey, *, confidential: bool) -> Secrecy:
    """`confidential` is what was encrypted in the source."""
    if confidential:
        return Secrecy.CONFIDENTIAL
    return Secrecy.SECRET if key.kind == "Secret" and not key.group else Secrecy.OPEN
