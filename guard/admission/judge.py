"""Answers reviews: decides, records what is refused, and words the answer."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Protocol, TypeAlias

from guard import telemetry
from guard.admission import message, review
from guard.admission.case import Case, Decision
from guard.admission.decide import HARMLESS, answered
from guard.admission.review import Answer, Request, Review
from guard.admission.server import PATH
from guard.api import BREAK_GLASS
from guard.audit import Record, References
from guard.audit.record import Event
from guard.base.clock import Clock, rfc3339
from guard.base.codec import DecodeError, JsonObject
from guard.base.errors import JournalError
from guard.base.naming import printable
from guard.state.desired import View
from guard.state.policy import Policy
from guard.state.requesters import ACTING_EXTRA, Requester
from guard.state.vouched import Vouched

FRAMES = 8
COMPLAINT_SECONDS = 1.0
FORBIDDEN, BAD_REQUEST, SERVER_ERROR = 403, 400, 500

_EVENTS: dict[str, Event] = {
    "deny": "denied",
    "warn": "warned",
    "audit": "audited",
    "exempt": "exempted",
    "open": "break-glass-used",
}

# Told of whoever makes or deletes a BreakGlass: its uid, the operation, user and groups.
Witness: TypeAlias = Callable[[str, str, str, tuple[str, ...]], None]

_log = telemetry.get("admission")


class Meter(Protocol):
    """What the server counts; telemetry's Metrics fits."""

    def admission(self, *, path: str, decision: str, seconds: float) -> None: ...
    def undecoded(self) -> None: ...
    def journal_failed(self) -> None: ...


def _nobody(_uid: str, _operation: str, _user: str, _groups: tuple[str, ...]) -> None:
    """Where nobody wants to know."""


def _at_once(work: Callable[[], None]) -> None:
    work()


class Judge:
    """Answers reviews: decides, records what it refuses, and words the answer. `later` is given what nobody has to wait for: the
    event loop does it when the answer is on its way, and before it hears of anything that comes of it. `now` is the time that
    break-glass ends by. `proves` tells whether Guard itself acts in the name of a user, by what the request brings as proof.
    """

    def __init__(
        self,
        *,
        view: View,
        policy: Callable[[], Policy],
        write: Callable[[Record], None],
        references: References,
        clock: Clock,
        meter: Meter,
        vouched: Vouched | None = None,
        proves: Callable[[str, Collection[str]], bool] = lambda _username, _given: False,
        locate: message.Locate = message.at_the_object,
        later: Callable[[Callable[[], None]], object] = _at_once,
        now: Callable[[], datetime] | None = None,
        witness: Witness = _nobody,
    ) -> None:
        self._view = view
        self._policy = policy
        self._write = write
        self._references = references
        self._clock = clock
        self._meter = meter
        self._proves = proves
        self._locate = locate
        self._later = later
        self._now = now or clock.now
        self._witness = witness
        self._complained, self._unsaid = -COMPLAINT_SECONDS, 0
        self._vouched = vouched if vouched is not None else Vouched()

    def respond(self, data: bytes) -> bytes:
        """One review's answer, encoded. Raises DecodeError when the review itself cannot be read."""
        started = time.perf_counter()
        parsed = review.parse(data)
        try:
            answer, label = self._judge(parsed)
        except Exception as error:  # noqa: BLE001 (whatever fails inside, the answer is no, and says so)
            self._complain(parsed.request, error)
            answer, label = _failure(parsed.request, error, self._policy()), "Failure"
        seconds = time.perf_counter() - started
        self._afterwards(parsed.request, partial(self._meter.admission, path=PATH, decision=label, seconds=seconds))
        return review.encode(answer)

    def _afterwards(self, request: Request, work: Callable[[], None]) -> None:
        def done() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 (the loop would log the work with all that it holds, Secrets among it)
                self._complain(request, error)

        self._later(done)

    def _complain(self, request: Request, error: Exception) -> None:
        """In the log, at most once a second: whoever sends what cannot be judged shall not fill it."""
        now = self._clock.monotonic()
        self._unsaid += 1
        if now - self._complained < COMPLAINT_SECONDS:
            return
        _log.error(
            "a review could not be judged, or what comes of it could not be noted",
            kind=printable(request.kind.kind),
            namespace=printable(request.namespace),
            name=printable(request.name),
            error=type(error).__name__,
            times=self._unsaid,
            # Frames alone: the error's own text may hold a value.
            frames=traceback.format_tb(error.__traceback__)[-FRAMES:],
        )
        self._complained, self._unsaid = now, 0

    def _judge(self, parsed: Review) -> tuple[Answer, str]:
        policy = self._policy()
        request = parsed.request
        case = Case(request, view=self._view, policy=policy, now=self._now(), acting=self._is_acting(request))
        decision = answered(case)
        if request.resource.resource == BREAK_GLASS.resource and request.resource.group == BREAK_GLASS.group:
            self._see(request)
        if request.is_undecoded:
            self._meter.undecoded()
        if decision.verdict == "allow":
            self._afterwards(request, partial(self._vouch, case, decision))
            return Answer(uid=request.uid, allowed=True), decision.reason
        shown = message.field_changes(case, decision)
        reference = self._references.new()
        revision = self._view.state.revision(decision.declared.sync) if decision.declared else ""
        wording = message.Wording(case, decision, shown, reference=reference, revision=revision, locate=self._locate)
        notes = wording.notes()
        try:
            self._write(self._record(case, decision, reference=reference, shown=shown))
        except JournalError as error:
            self._meter.journal_failed()
            notes["journal"] = "not written"
            _log.error("a decision could not be recorded", reference=reference, error=str(error))
        if decision.verdict == "deny":
            status = _status(request, wording)
            return Answer(uid=request.uid, allowed=False, status=status, audit_annotations=notes), decision.reason
        lines = wording.warnings() if decision.verdict in {"warn", "open"} else ()
        label = "BreakGlass" if decision.verdict == "open" else decision.reason
        return Answer(uid=request.uid, allowed=True, warnings=lines, audit_annotations=notes), label

    def _see(self, request: Request) -> None:
        if not request.dry_run:
            uid = request.new_sections.metadata.uid or request.old_sections.metadata.uid
            user = request.user_info
            self._witness(uid, request.operation, user.username, user.groups or ())

    def _is_acting(self, request: Request) -> bool:
        proof = (request.user_info.extra or {}).get(ACTING_EXTRA)
        return proof is not None and self._proves(request.user_info.username, proof)

    def _vouch(self, case: Case, decision: Decision) -> None:
        """Tell healing of an update that is to be stored and leaves what Git declares alone."""
        request = case.request
        if decision.reason != HARMLESS or decision.declared is None or request.sub_resource or request.dry_run:
            return
        managed, generation, before = request.stored_as
        at = self._clock.monotonic()
        key = decision.declared.key
        self._vouched.note(key, managed=managed, generation=generation, before=before, at=at)
        if taken := case.taken:
            self._view.takings.note(key, taken, at=at)

    def _record(self, case: Case, decision: Decision, *, reference: str, shown: tuple[message.FieldChange, ...]) -> Record:
        request, declared = case.request, decision.declared
        return Record(
            time=rfc3339(self._clock.now()),
            id=reference,
            event=_EVENTS[decision.verdict],
            reason=decision.reason,
            sync=decision.sync,
            revision=self._view.state.revision(declared.sync) if declared else "",
            group=request.resource.group,
            kind=declared.key.kind if declared else request.kind.kind,
            namespace=request.object_namespace,
            name=request.object_name,
            origin=str(declared.origin) if declared else "",
            user=request.user_info.username,
            groups=request.user_info.groups or (),
            operation=request.operation,
            subresource=request.sub_resource,
            dry_run=bool(request.dry_run),
            fields=shown,
            message=message.headline(case, decision),
            break_glass=decision.opened,
        )


def _status(request: Request, wording: message.Wording) -> JsonObject:
    """A denial as a metav1.Status; the API server passes it on but for its own words before the message."""
    details = {
        "name": request.object_name,
        "group": request.resource.group,
        "kind": request.resource.resource,  # as the API server itself has it in what it forbids
        "causes": wording.causes(),
    }
    return {
        "status": "Failure",
        "code": FORBIDDEN,
        "reason": "Forbidden",
        "message": wording.refusal(),
        "details": details,
    }


def _failure(request: Request, error: Exception, policy: Policy) -> Answer:
    """A failure inside the decision denies people and machines, and says so; it never lets a change in by accident. The control
    plane is never in question: what it does is healed.
    """
    if policy.requester(request.user_info.username) in {Requester.SYNC, Requester.CONTROL_PLANE}:
        return Answer(uid=request.uid, allowed=True)
    detail = f": {error}" if isinstance(error, DecodeError) else ""
    text = f"Guard could not judge this change, so it is refused ({type(error).__name__}{detail}). Its log says more."
    code, reason = (BAD_REQUEST, "BadRequest") if isinstance(error, DecodeError) else (SERVER_ERROR, "InternalError")
    status = {"status": "Failure", "code": code, "reason": reason, "message": printable(text)}
    return Answer(uid=request.uid, allowed=False, status=status)
