"""Spoiled reviews, answered: nothing but a DecodeError escapes, nothing is answered with a 5xx, and no changed declared field is
let through.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from functools import cache
from random import Random

import msgspec

from guard import telemetry
from guard.admission import Judge
from guard.admission.review import parse
from guard.audit import References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import DecodeError, Json, JsonObject, child, is_array, is_object
from guard.state import MISSING, ObjectKey, Requester, written
from guard.state.fields import Path, item_keys
from guard.state.requesters import BREAK_GLASS_GROUP
from tests.admission.recorded import Recorded, World, recorded
from tests.fuzz.mutations import encode, spoil, spoil_bytes

# Of CPU time, since others may be busy on the machine: longer than the API server waits.
SLOW_SECONDS = 3.0
REMOVED, SPOILED = 0.2, 0.9  # how often a field is taken away, and how often something else is spoiled, too
KEPT = 20  # findings: past that they are the same one again
SERVER_ERROR = 500
IDENTITY = ("resource", "kind", "operation", "name", "namespace", "subResource")


_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')
_ERROR = re.compile(r"^(\w+(?:Error|Exception)\b)", re.MULTILINE)


class Finding(msgspec.Struct, frozen=True):
    """What went wrong, on which bytes; `trace` says where in the code."""

    what: str
    review: str
    data: bytes
    trace: str = ""


class Fuzzer:
    """Runs on and counts; `findings` are what a person has to look at, one for each place in the code."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)  # noqa: S311 (the same run for the same seed)
        self.counts: Counter[str] = Counter()
        self.findings: dict[str, Finding] = {}
        self._log = io.BytesIO()
        telemetry.configure(form="json", stream=self._log)
        self._judges: dict[int, Judge] = {}

    def step(self) -> None:
        """One spoiled review of each sort."""
        base = self._draw.choice(recorded())
        if self._draw.random() < 0.4:
            data = spoil_bytes(self._draw, base.data, other=self._draw.choice(recorded()).data)
        else:
            document = codec.decode(base.data)
            spoil(self._draw, document, within=self._part(document["request"]))
            data = encode(document)
        self.answer(base, data, sort="anything")
        target = self._draw.choice(targets())
        path, data = self._change(target)
        outcome = self.answer(target.review, data, sort="declared field changed")
        if _still_changed(target, data, path):
            self.counts["declared field changed: decodable and still changed"] += 1
            if outcome != "allowed":
                return
            self._find("a changed declared field was let through", target.review, data, trace=written(path))

    def _part(self, request: JsonObject) -> Json:
        """Half of the time the whole request, or else one of the parts that rules read."""
        parts: list[Json] = [request] * 6
        for body in (child(request, "object"), child(request, "oldObject")):
            metadata = child(body, "metadata")
            parts += [body, metadata, metadata.get("managedFields"), child(metadata, "labels")]
        parts += [request.get("options"), request.get("userInfo")]
        return self._draw.choice([part for part in parts if part] or [request])

    def answer(self, base: Recorded, data: bytes, *, sort: str) -> str:
        """What became of it, counted; what is wrong with that is kept."""
        self.counts[f"{sort}: executed"] += 1
        self._log.seek(0)
        self._log.truncate()
        started = time.process_time()
        try:
            outcome = self._outcome(self._judge(base.world), base, data)
        except DecodeError:
            outcome = "undecodable"
        except Exception as error:  # noqa: BLE001 (this is what is looked for)
            outcome = "escaped"
            self._find(f"{type(error).__name__} escaped respond", base, data, trace=place_of(error))
        if time.process_time() - started > SLOW_SECONDS:
            self._find(f"took more than {SLOW_SECONDS:.0f} s", base, data)
        self.counts[f"{sort}: {outcome}"] += 1
        return outcome

    def _outcome(self, judge: Judge, base: Recorded, data: bytes) -> str:
        response = codec.decode(judge.respond(data))["response"]
        if response["uid"] != parse(data).request.uid:
            self._find("the answer is to another review", base, data)
        if response["allowed"]:
            return "allowed"
        code = response["status"]["code"]
        if code >= SERVER_ERROR:
            self._find("answered with a 5xx", base, data, trace=self._logged())
        return f"refused with {code}"

    def _judge(self, world: World) -> Judge:
        judge = self._judges.get(id(world))
        if judge is None:
            clock = SystemClock()
            judge = self._judges[id(world)] = Judge(
                view=world.view,
                policy=lambda: world.policy,
                write=lambda record: self.counts.update({"records": bool(record.line())}),
                references=References(clock),
                clock=clock,
                meter=telemetry.Metrics(),
            )
        return judge

    def _logged(self) -> str:
        """Where the failure that was logged last came from: the exception's class and its innermost frames."""
        text = self._log.getvalue().decode(errors="replace").replace("\\n", "\n").replace('\\"', '"')
        frames = [f"{name.rpartition('/')[2]}:{line} {function}" for name, line, function in _FRAME.findall(text)]
        errors = _ERROR.findall(text)
        return f"{errors[-1] if errors else '?'} at {' < '.join(reversed(list(dict.fromkeys(frames))[-3:]))}"

    def _find(self, what: str, base: Recorded, data: bytes, *, trace: str = "") -> None:
        self.counts["findings"] += 1
        key = f"{what} {trace}"
        if len(self.findings) < KEPT or key in self.findings:
            known = self.findings.get(key)
            if known is None or len(data) < len(known.data):
                self.findings[key] = Finding(what=what, review=base.name, data=data, trace=trace)

    # ---- a declared field changed

    def _change(self, target: Target) -> tuple[Path, bytes]:
        """The review with one declared field set to something else, or taken away, and anything else spoiled."""
        document = codec.decode(target.review.data)
        request = document["request"]
        path = self._draw.choice(target.paths)
        holder, name = _resolve(request["object"], path[:-1]), path[-1].removeprefix("f:")
        if self._draw.random() < REMOVED:
            del holder[name]
        else:
            others: list[Json] = [f"{holder[name]}-fuzz", 4711, None, True, [], {}, {"fuzz": "x"}, ["fuzz"], "", "0", -1]
            holder[name] = self._draw.choice(others)
        if self._draw.random() < SPOILED:
            spoil(self._draw, document, within=self._part(request))
        return path, encode(document)


def place_of(error: BaseException) -> str:
    """The innermost frames: one place in the code is one finding, whatever led there."""
    trace, places = error.__traceback__, list[str]()
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(list(dict.fromkeys(places))[-3:]))


class Target(msgspec.Struct, frozen=True):
    """An update by a person or a machine of an object on which every change is refused; `paths` are the declared fields that it
    holds, members of sets aside, and `git` what Git says of the object.
    """

    review: Recorded
    git: JsonObject
    paths: tuple[Path, ...]


@cache
def targets() -> tuple[Target, ...]:
    return tuple(target for review in recorded() if (target := _target(review)) is not None)


def _target(review: Recorded) -> Target | None:
    request, view, policy = parse(review.data).request, review.world.view, review.world.policy
    names = (request.resource.group, request.kind.kind, request.object_namespace, request.object_name)
    key = ObjectKey(group=names[0], kind=names[1], namespace=names[2], name=names[3])
    declared = view.state.get(key)
    if declared is None or request.operation != "UPDATE" or request.sub_resource:
        return None
    enforcement = policy.of(declared.sync)
    if (
        policy.requester(request.user_info.username) not in {Requester.PERSON, Requester.MACHINE}
        or BREAK_GLASS_GROUP in (request.user_info.groups or ())
        or declared.kind.version != request.resource.version
        or (enforcement.mode, enforcement.ignore, enforcement.exempt) != ("Deny", (), ())
    ):
        return None
    body = codec.decode(review.data)["request"]["object"]
    paths = [path for path in view.fields(declared).paths() if path[-1].startswith("f:")]
    held = tuple(path for path in paths if _resolve(body, path) is not MISSING)
    return Target(review=review, git=view.git(declared), paths=held) if held else None


def _resolve(body: Json, path: Path) -> Json:
    """The value at a path, by means of this test's own."""
    for element in path:
        if element.startswith("f:"):
            body = body.get(element[2:], MISSING) if is_object(body) else MISSING
        elif element.startswith("k:") and is_array(body):
            keys = item_keys(element)
            body = next((item for item in body if is_object(item) and all(item.get(k) == v for k, v in keys)), MISSING)
        else:
            return MISSING
    if body is None and (path[0] == "f:data" or path[:2] in {("f:metadata", "f:labels"), ("f:metadata", "f:annotations")}):
        return ""  # a null text is stored empty
    return MISSING if body is None else body


def _still_changed(target: Target, data: bytes, path: Path) -> bool:
    """Whether the spoiled review still asks, as the same person, to change this field of this object to what is not Git's.

    Read by another parser than Guard's, and one that forgives: what is no UTF-8, or a number past all floats, may stand in a part
    that no rule has to read.
    """
    try:
        request, was = (json.loads(text.decode(errors="replace"))["request"] for text in (data, target.review.data))
        old, new, user = request.get("oldObject"), request.get("object"), request["userInfo"]
        if any(request.get(name) != was.get(name) for name in IDENTITY) or user["username"] != was["userInfo"]["username"]:
            return False
        if BREAK_GLASS_GROUP in (user.get("groups") or ()):
            return False
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return False
    wanted, before, after = (_resolve(body, path) for body in (target.git, old, new))
    return not _alike(after, wanted) and not _alike(after, before)


def _alike(one: Json, other: Json) -> bool:
    """As JSON, where nothing, null and an empty list are one."""
    if not one and not other and not any(isinstance(value, (bool, int, float, str, dict)) for value in (one, other)):
        return True
    return isinstance(one, bool) == isinstance(other, bool) and one == other
