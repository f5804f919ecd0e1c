"""The validating admission webhook: reads a review, decides it against the desired state, and words the answer."""

from guard.admission.case import Case, Decision
from guard.admission.decide import decide
from guard.admission.judge import Judge
from guard.admission.message import Located
from guard.admission.review import Answer, Request, Review
from guard.admission.server import PATH, Responder, application, serve

__all__ = [
    "PATH",
    "Answer",
    "Case",
    "Decision",
    "Judge",
    "Located",
    "Request",
    "Responder",
    "Review",
    "application",
    "decide",
    "serve",
]
