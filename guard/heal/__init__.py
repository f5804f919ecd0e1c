"""The background loop: drift seen in metadata, repaired at once."""

from guard.heal.repair import Repairer
from guard.heal.report import Drift, Report
from guard.heal.watching import Watching

__all__ = ["Drift", "Repairer", "Report", "Watching"]
