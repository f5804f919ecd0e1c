"""The background loop: drift seen in metadata, repaired at once."""

from guard.heal.repair import Drift, Repairer
from guard.heal.watching import Watching

__all__ = ["Drift", "Repairer", "Watching"]
