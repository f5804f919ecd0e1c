"""The logic behind the commands that look at the cluster, the desired state and the journal side by side."""

from guard.inspect.check import Checked, CheckedField, Question, Verdict, check, question
from guard.inspect.compared import DeclaredField, FieldDifference, OtherField
from guard.inspect.diff import Comparison, Difference, compare
from guard.inspect.explain import Changeable, Explanation, Manager, explain

__all__ = [
    "Changeable",
    "Checked",
    "CheckedField",
    "Comparison",
    "DeclaredField",
    "Difference",
    "Explanation",
    "FieldDifference",
    "Manager",
    "OtherField",
    "Question",
    "Verdict",
    "check",
    "compare",
    "explain",
    "question",
]
