"""The logic behind the commands that look at the cluster and the desired state side by side."""

from guard.inspect.diff import Comparison, Difference, FieldDifference, compare

__all__ = ["Comparison", "Difference", "FieldDifference", "compare"]
