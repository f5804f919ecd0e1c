"""Sets of fields made of any JSON whatever: read and combined, or refused with a DecodeError, but nothing else."""

from __future__ import annotations

import copy
import time
from collections import Counter
from itertools import islice
from random import Random

from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject, child, children
from guard.state import FieldSet, written
from tests.admission.recorded import recorded
from tests.fuzz.mutations import ELEMENTS, ODD, encode, spoil
from tests.fuzz.reviews import SLOW_SECONDS, Finding, place_of

DEEPEST = 5
MOST_CHILDREN = 4
MOST_PATHS = 50
DEEP = 0.02  # how often a tree may be deep: these take their time


def any_tree(draw: Random, depth: int = 0) -> Json:
    """FieldsV1 as it might be, with odd elements and now and then no tree at all."""
    if depth > DEEPEST or draw.random() < 0.1:
        return copy.deepcopy(draw.choice(ODD))
    return {draw.choice(ELEMENTS): any_tree(draw, depth + 1) for _ in range(draw.randint(0, MOST_CHILDREN))}


def deep_tree(draw: Random) -> JsonObject:
    """A tree about as deep as a decoder reads (Python's limit of 1000 calls)."""
    tree: JsonObject = {}
    for _ in range(draw.choice([50, 250, 500, 900])):
        tree = {draw.choice(["f:a", 'k:{"name":"a"}', "v:1"]): tree}
    return tree


def spoiled_tree(draw: Random) -> Json:
    """A real object's fields, spoiled."""
    request = codec.decode(draw.choice(recorded()).data)["request"]
    entries = children(child(child(request, "object"), "metadata"), "managedFields")
    if not entries:
        return {}
    tree: Json = draw.choice(entries)["fieldsV1"]
    spoil(draw, tree)
    try:
        return codec.decode(encode(tree))
    except DecodeError:
        return {}


def combine(one: Json, other: Json) -> str:
    """Everything that sets of fields are for. `read` or `refused`; raises whatever else goes wrong."""
    try:
        left, right = FieldSet.parse(one), FieldSet.parse(other)
        assert FieldSet.parse_raw(encode(one)) == left
        both, rest = left.intersection(right), left.minus(right)
        for found in (left.union(right), both, rest, right.minus(left), left.union(left), left.minus(left)):
            for path in islice(found.paths(), MOST_PATHS):
                written(path)
                assert path in found
        assert not list(left.minus(left).paths())
        # What is in both and what is only in one are the parts of that one.
        assert set(both.paths()) | set(rest.paths()) == set(left.paths())
        assert not set(both.paths()) & set(rest.paths())
        list(islice(left.walk(other), MOST_PATHS))
        assert hash(left) == hash(FieldSet.parse(one))
    except DecodeError:
        return "refused"
    return "read"


class Fuzzer:
    """Runs on and counts; `findings` are one pair of trees for each place in the code that they broke."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)  # noqa: S311 (the same run for the same seed)
        self.counts: Counter[str] = Counter()
        self.findings: dict[str, Finding] = {}

    def step(self) -> None:
        makers = [any_tree, spoiled_tree, *([deep_tree] if self._draw.random() < DEEP else [])]
        one, other = (self._draw.choice(makers)(self._draw) for _ in range(2))
        self.counts["fields: executed"] += 1
        started = time.process_time()
        try:
            self.counts[f"fields: {combine(one, other)}"] += 1
        except Exception as error:  # noqa: BLE001 (this is what is looked for)
            self._find(f"{type(error).__name__} in fields", one, other, trace=place_of(error))
        if time.process_time() - started > SLOW_SECONDS:
            self._find(f"fields took more than {SLOW_SECONDS:.0f} s", one, other)

    def _find(self, what: str, one: Json, other: Json, *, trace: str = "") -> None:
        self.counts["findings"] += 1
        data = encode([one, other])
        known = self.findings.get(what + trace)
        if known is None or len(data) < len(known.data):
            self.findings[what + trace] = Finding(what=what, review="", data=data, trace=trace)
