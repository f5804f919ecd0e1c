"""One trial: a state, a change by somebody, Guard's decision and the oracle's."""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child
from guard.state.ids import FIELD_MANAGER, SYNC_LABEL
from tests.oracle.choosing import Chooser
from tests.oracle.clients import Client
from tests.oracle.edits import Edit, at, edited
from tests.oracle.judge import Facts, Verdict, judge
from tests.oracle.kinds import Target
from tests.oracle.requests import APPLY, JSON_PATCH, MERGE, Draft, Request
from tests.oracle.world import GUARD_ASKS, MACHINE_ASKS, PERSON_ASKS, Answer, Asker, World

State = Literal["clean", "drifted", "drift undone", "machine added", "person added", "co-owned", "wiped", "terminating", "absent"]
Decision = Literal["allowed", "refused", "invalid", "broken"]

_STATES: dict[State, int] = {
    "clean": 60, "drifted": 12, "drift undone": 6, "machine added": 6, "person added": 6, "co-owned": 4, "wiped": 3,
    "terminating": 3,
}  # fmt: skip
# Without a fieldManager the API server names the writer after its User-Agent.
BY_USER_AGENT = "User-Agent "
_PERSONS_MANAGERS = (
    *("kubectl-edit", "kubectl-patch", "kubectl", "kubectl-client-side-apply", "kubectl-label", "kubectl-scale"),
    *("an-editor", "", "guard"),
)
_MACHINES_MANAGERS = (
    *("shop-operator", "shop-operator", "argocd-controller", "", "kubectl-patch", "Lens", "guard"),
    f"{BY_USER_AGENT}curl",
)
_LABEL = ("metadata", "labels", SYNC_LABEL)
_WET = 0.04
_TRIES = 3


class Trial(msgspec.Struct, frozen=True):
    """What is tried, as data: the same trial on the same object does the same again."""

    seed: str
    target: Target
    just_started: bool
    client: Client
    state: State
    by_person: bool
    manager: str
    drift: tuple[Edit, ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def judged_as_person(self) -> bool:
        return self.by_person or self.manager.removeprefix(BY_USER_AGENT).startswith(("kubectl", "Lens", "curl"))

    @property
    def is_about_our_label(self) -> bool:
        """Whether it changes our label, which Guard puts back at any moment."""
        return any(_LABEL[: len(edit.path)] == edit.path for edit in (*self.drift, *self.edits))

    @property
    def asker(self) -> Asker:
        return PERSON_ASKS if self.by_person else MACHINE_ASKS


class Result(msgspec.Struct, frozen=True):
    trial: Trial
    decision: Decision
    verdict: Verdict
    request: Request | None = None
    message: str = ""
    inconsistent: str = ""

    @property
    def disagrees(self) -> bool:
        if self.inconsistent:
            return True
        wanted = {"allow": "allowed", "refuse": "refused", "either": self.decision}[self.verdict.expected]
        return self.is_judged and self.decision != wanted

    @property
    def is_judged(self) -> bool:
        return self.decision in {"allowed", "refused"}


_INVALID = Verdict("either", "the API server's own no")


class Bench:
    """One declared object, brought back to how Guard made it between two trials. Trials on it come one after another."""

    def __init__(self, world: World, target: Target) -> None:
        self.world = world
        self.target = target
        self.pristine: JsonObject = {}
        self._is_clean = False
        self._before: JsonObject | None = None

    async def draw(self, seed: str, client: Client, *, just_started: bool) -> Trial:
        """A random trial; some of it depends on what the object looks like."""
        random = Random(seed)  # noqa: S311 (nothing secret)
        live = await self._restored()
        chooser = Chooser(random, self.target, live)
        states: list[State] = [*_STATES]
        state = random.choices(states, [*_STATES.values()])[0]
        if client.absent:
            state = "absent"
        if state == "terminating" and self.target.sort.keep:
            state = "clean"
        by_person = random.random() < 0.6
        manager = random.choice(_PERSONS_MANAGERS if by_person else _MACHINES_MANAGERS)
        drift: list[Edit] = []
        if state in {"drifted", "drift undone"}:
            drift.append(chooser.one())
        elif state in {"machine added", "person added"}:
            drift.append(chooser.addition())
        edits = chooser.edits()
        if state == "drift undone":
            undone = tuple(_undone(edit, live, self.target, random) for edit in drift)
            edits = undone if random.random() < 0.7 else (*undone, *edits)
        elif state == "drifted" and random.random() < 0.3:
            edits = (msgspec.structs.replace(chooser.one(), path=drift[0].path, action="set"),)
        return Trial(seed, self.target, just_started, client, state, by_person, manager, tuple(drift), edits)

    async def run(self, trial: Trial) -> Result:
        """Guard puts a label back that an object had lost a trial before, at any moment, which may make another object of what is
        judged: then it is tried again. (Where the trial itself takes the label off, either answer is right.)
        """
        for _ in range(_TRIES):
            result = await self._tried(trial)
            if result is not None:
                return result
        raise AssertionError(f"{self.target} changes each time that somebody else is about to change it")

    async def _tried(self, trial: Trial) -> Result | None:
        """None where the object was another by the time that Guard judged the request."""
        random = Random(f"{trial.seed}/run")  # noqa: S311
        pristine = await self._restored()
        live = await self._prepared(trial, pristine)
        base = pristine if live is None else live
        request = trial.client.make(Draft(trial.target, base, trial.edits, random))
        manager = trial.manager
        if request.content_type == APPLY and (not manager or manager.startswith(BY_USER_AGENT)):
            manager = manager.removeprefix(BY_USER_AGENT) or "an-applier"
        asked = await self.world.send(request, trial.asker, manager=manager, dry_run=True)
        if live is not None and not trial.drift and await self._has_moved(live):
            self._is_clean = False
            return None
        decision = _decision(asked)
        result = Result(trial, decision, _INVALID, request, asked.message)
        if decision in {"invalid", "broken"}:
            return result
        if request.path.endswith("/eviction"):
            return msgspec.structs.replace(result, verdict=Verdict("allow", "an eviction"))
        if request.method == "DELETE":
            return await self._judge_deletion(result, manager, wet=random.random() < _WET * 5)
        self._is_clean = False
        through = decision == "allowed" and random.random() < _WET
        asker = trial.asker if through else trial.asker.past_the_webhook()
        if decision == "refused" and random.random() < _WET:
            again = await self.world.send(request, trial.asker, manager=manager)
            if _decision(again) != "refused":
                return msgspec.structs.replace(result, inconsistent=f"refused as a dry run, {_decision(again)} for real")
        done = await self.world.send(request, asker, manager=manager)
        if through and not done.is_ok:
            return msgspec.structs.replace(
                result, inconsistent=f"allowed as a dry run, {_decision(done)} for real: {done.message}"
            )
        if not done.is_ok:
            return msgspec.structs.replace(result, decision="invalid", message=done.message)
        return msgspec.structs.replace(result, verdict=await self._judge(trial, request, done, base, live))

    async def _has_moved(self, live: JsonObject) -> bool:
        now = await self.world.get(self.target)
        return now is not None and now["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]

    async def _judge(self, trial: Trial, request: Request, done: Answer, base: JsonObject, live: JsonObject | None) -> Verdict:
        after: JsonObject | None = done.body
        if not _is_as_stored(done.body, whole=request.path == self.target.path or live is None):
            after = await self.world.get(self.target)
        applied_before: JsonObject | None = base
        applied_after: JsonObject | None = None
        if trial.state not in {"clean", "absent"}:
            applied_before = self._before
        if after is not None:
            if child(after, "metadata").get("resourceVersion") == base["metadata"].get("resourceVersion"):
                self._is_clean = trial.state == "clean"
                applied_after = applied_before
            else:
                answer = await self.world.apply(self.target, after, dry_run=True)
                applied_after = answer.body if answer.is_ok else None
        manifest = self.target.manifest
        replicas = self.target.sort.replicas
        facts = Facts(
            sort=self.target.sort,
            operation="CREATE" if live is None else "UPDATE",
            by_person=trial.judged_as_person,
            before=base,
            after=after,
            applied_before=applied_before,
            applied_after=applied_after,
            replicas_declared=replicas is not None and at(manifest, replicas) is not None,
            taints_declared=at(manifest, ("spec", "taints")) is not None,
            under_our_name=trial.manager == FIELD_MANAGER,
            by_user_agent=trial.manager.startswith(BY_USER_AGENT),
            person_added=trial.state in {"person added", "drifted", "drift undone", "co-owned"},
        )
        return judge(facts)

    async def _judge_deletion(self, result: Result, manager: str, *, wet: bool) -> Result:
        """Declared objects are not deleted, but for what is going already; nothing is tried past the webhook."""
        # Without its controller a namespace that was once deleted goes on terminating.
        terminating = result.trial.state == "terminating" or "deletionTimestamp" in child(self.pristine, "metadata")
        if result.decision == "allowed" and result.trial.drift:
            live = await self.world.get(self.target)
            if SYNC_LABEL not in child(child(live or {}, "metadata"), "labels"):
                return msgspec.structs.replace(result, verdict=Verdict("either", "without our label"))
        verdict = Verdict("allow", "terminating") if terminating else Verdict("refuse", "a declared object deleted")
        result = msgspec.structs.replace(result, verdict=verdict)
        if wet and result.decision == "refused" and result.request is not None:
            again = await self.world.send(result.request, result.trial.asker, manager=manager)
            if _decision(again) != "refused":
                self._is_clean = False
                return msgspec.structs.replace(result, inconsistent=f"refused as a dry run, {_decision(again)} for real")
        return result

    async def _restored(self) -> JsonObject:
        if not self._is_clean:
            live = await self.world.get(self.target)
            self.pristine = await self.world.restore(self.target, live=live, pristine=self.pristine or live)
            self._is_clean = True
        return self.pristine

    async def _prepared(self, trial: Trial, live: JsonObject) -> JsonObject | None:
        """The object in the state that the trial begins with; None when it is absent."""
        if trial.state == "clean":
            return live
        self._is_clean = False
        if trial.state == "absent":
            await self.world.remove(self.target)
            return None
        person, machine = PERSON_ASKS.past_the_webhook(), MACHINE_ASKS.past_the_webhook()
        path = self.target.path
        if trial.state in {"drifted", "drift undone", "person added"}:
            await self.world.send(Request("PUT", path, edited(live, trial.drift)), person, manager="kubectl-edit")
        elif trial.state == "machine added":
            await self.world.send(Request("PUT", path, edited(live, trial.drift)), machine, manager="shop-operator")
        elif trial.state == "co-owned":
            request = Request("PATCH", path, self.target.manifest, APPLY, {"force": "true"})
            await self.world.send(request, person, manager="kubectl")
        elif trial.state == "wiped":
            operations: Json = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
            await self.world.send(Request("PATCH", path, operations, JSON_PATCH), person, manager="kubectl-edit")
        else:
            there: Json = at(live, ("metadata", "finalizers")) or []
            held: Json = {"metadata": {"finalizers": [*there, "example.com/state"]}}
            await self.world.send(Request("PATCH", path, held, MERGE), machine, manager="shop-operator")
            await self.world.send(Request("DELETE", path), GUARD_ASKS)
        found = await self.world.get(self.target)
        assert found is not None, f"{self.target} is gone before the trial"
        answer = await self.world.apply(self.target, found, dry_run=True)
        self._before = answer.body if answer.is_ok else None
        return found


def _is_as_stored(body: JsonObject, *, whole: bool) -> bool:
    """Whether an answer shows the object as a later GET does: not a Scale, not what is gone, nor a null, stored as empty text."""
    metadata = child(body, "metadata")
    gone = "deletionTimestamp" in metadata and not metadata.get("finalizers")
    return whole and not gone and b":null" not in codec.encode(body)


def _decision(answer: Answer) -> Decision:
    if answer.is_ok:
        return "allowed"
    if answer.is_broken:
        return "broken"
    return "refused" if answer.is_refused else "invalid"


def _undone(edit: Edit, pristine: JsonObject, target: Target, random: Random) -> Edit:
    """Back to what was there, in the API server's words or in Git's."""
    path = edit.path if edit.action == "set" else edit.path[:-1] if isinstance(edit.path[-1], int) else edit.path
    value: Json = at(target.manifest, path) if random.random() < 0.4 else None
    value = at(pristine, path) if value is None else value
    return Edit("back to Git", "remove", path) if value is None else Edit("back to Git", "set", path, value)
