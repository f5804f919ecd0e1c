"""What came of the trials: tables, and disagreements complete enough to be tried by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from guard.base import codec
from guard.base.codec import Json, child, is_object
from tests.oracle.clients import CLIENTS
from tests.oracle.edits import Edit
from tests.oracle.kinds import SORTS
from tests.oracle.trial import Result

SHOWN = 1500  # characters of a request's body
# A kind or client has to have a quarter of its even share of what was judged.
LEAST_SHARE = 4

_TABLES: dict[str, Callable[[Result], str]] = {
    "kind": lambda result: result.trial.target.sort.name,
    "client": lambda result: result.trial.client.name,
    "state": lambda result: result.trial.state,
    "Guard": lambda result: "just started" if result.trial.just_started else "settled",
    "edit": lambda result: result.trial.edits[0].sort,
    "asker": lambda result: "person" if result.trial.by_person else f"machine as {result.trial.manager or 'nobody'}",
}


class Report:
    """`dropped` are generated objects that the API server would not take, `let_through` deletions that cascade, `early` how
    many changes a Guard that had just started refused at first, and allowed when it had asked for Git's values, `labels` how
    many were tried twice since Guard put a label back meanwhile.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.results: list[Result] = []
        self.disagreements: list[Result] = []
        self.dropped: list[str] = []
        self.let_through: list[str] = []
        self.early = 0
        self.labels = 0
        self.seconds = 0.0

    def judged(self) -> int:
        return sum(result.is_judged for result in self.results)

    def summary(self) -> str:
        decisions = Counter(result.decision for result in self.results)
        left_open = sum(result.is_judged and result.verdict.expected == "either" for result in self.results)
        counts = ", ".join(f"{name} {decisions[name]}" for name in ("refused", "allowed", "invalid", "broken"))
        return (
            f"{self.judged()} changes judged ({counts}; left open {left_open}, refused at first {self.early}, "
            f"label put back {self.labels}) in {self.seconds:.0f} s, seed {self.seed}: {len(self.disagreements)} disagreements"
        )

    def text(self) -> str:
        lines = [self.summary()]
        for title, name in _TABLES.items():
            every = Counter(map(name, self.results))
            refused = Counter(name(result) for result in self.results if result.decision == "refused")
            allowed = Counter(name(result) for result in self.results if result.decision == "allowed")
            wrong = Counter(map(name, self.disagreements))
            lines += ["", f"{title:32}{'tried':>8}{'refused':>9}{'allowed':>9}{'disagree':>10}"]
            lines += [f"{key:32}{every[key]:8}{refused[key]:9}{allowed[key]:9}{wrong[key]:10}" for key in sorted(every)]
        left_open = Counter(r.verdict.why for r in self.results if r.is_judged and r.verdict.expected == "either")
        lines += [
            "",
            "left open, since the rules do not say:",
            *(f"{number:8}  {why}" for why, number in left_open.most_common()),
        ]
        lines += [f"not a valid manifest: {line}" for line in self.dropped]
        return "\n".join(lines)

    def faults(self) -> list[str]:
        """Why the run is no proof: disagreements, deletions let through, and what came short; a line each or more."""
        broken = {f"Guard failed: {result.message}" for result in self.results if result.decision == "broken"}
        return [*map(described, self.disagreements), *self.let_through, *sorted(broken), *self._too_few()]

    def _too_few(self) -> list[str]:
        kinds, clients = (
            Counter(name(result) for result in self.results if result.is_judged) for name in (_TABLES["kind"], _TABLES["client"])
        )
        total, shares = self.judged(), sum(client.share for client in CLIENTS)
        least = {sort.name: max(1, total // len(SORTS) // LEAST_SHARE) for sort in SORTS}
        found = [f"{name}: {kinds[name]} of at least {number}" for name, number in least.items() if kinds[name] < number]
        for client in CLIENTS:
            number = max(1, total * client.share // shares // LEAST_SHARE)
            if clients[client.name] < number:
                found.append(f"{client.name}: {clients[client.name]} of at least {number}")
        return found


def described(result: Result) -> str:
    """A disagreement."""
    trial, request = result.trial, result.request
    asker = "a person" if trial.by_person else "a service account"
    started = ", Guard just started" if trial.just_started else ""
    lines = [
        f"{trial.target}: {trial.client.name} by {asker} as {trial.manager or 'no manager'}, {trial.state}{started}",
        f"  Guard {result.decision}; the oracle: {result.verdict.expected}, {result.verdict.why}{result.inconsistent}",
        f"  again: --seed {trial.seed.partition('/')[0]} --only '{trial.seed}{'!' if trial.just_started else ''}'",
        f"  manifest: {codec.encode(trial.target.manifest).decode()}",
        *(f"  drift before: {_told(edit)}" for edit in trial.drift),
        *(f"  edit: {_told(edit)}" for edit in trial.edits),
    ]
    if request is not None:
        lines.append(f"  {request.method} {request.path} {dict(request.query) or ''} {request.content_type}")
        lines.append(f"  {codec.encode(_without_entries(request.body)).decode()[:SHOWN]}")
    if result.message:
        lines.append(f"  answer: {result.message[:SHOWN]}")
    return "\n".join(lines)


def _told(edit: Edit) -> str:
    return f"({edit.sort}) {edit.action} {'.'.join(map(str, edit.path))} {codec.encode(edit.value).decode()}"


def _without_entries(body: Json) -> Json:
    """Bodies are read by people here: managedFields are shown only where they are all there is."""
    if is_object(body) and len(child(body, "metadata")) > 2:
        metadata = {name: value for name, value in child(body, "metadata").items() if name not in {"managedFields", "uid"}}
        return {**body, "metadata": metadata}
    return body
