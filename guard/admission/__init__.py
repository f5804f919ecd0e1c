"""The validating admission webhook: reads a review, decides it against the desired state, and words the answer."""

from guard.admission.decide import Case, Decision, decide
from guard.admission.judge import Judge
from guard.admission.message import shown_value
from guard.admission.review import Answer, Request, Review
from guard.admission.server import KEEP_ALIVE_SECONDS, PATH, Responder, application

__all__ = [
    "KEEP_ALIVE_SECONDS",
    "PATH",
    "Answer",
    "Case",
    "Decision",
    "Judge",
    "Request",
    "Responder",
    "Review",
    "application",
    "decide",
    "shown_value",
]
