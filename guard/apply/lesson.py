"""What the API server's answer to an apply teaches of an object."""

from __future__ import annotations

from guard.base.codec import JsonObject, child
from guard.state import drift
from guard.state.additions import field_set
from guard.state.desired import Declared, Learned
from guard.state.difference import difference
from guard.state.fields import Path
from guard.state.managed import entries, held_by, our_fields, reaches_below
from guard.state.taints import TAINTS, has_taints, taints_of, with_taints

_NOTHING_FILLED: frozenset[Path] = frozenset()  # one for all: an empty one of its own takes 216 bytes


def learned(declared: Declared, body: JsonObject) -> Learned:
    """What the API server's answer to an apply teaches."""
    ours = our_fields(body)
    if has_taints(declared.body):
        ours = ours.union(field_set([TAINTS]))
        body = with_taints(body, taints_of(declared.body))
    ours = ours.union(field_set(drift.unowned_empties(declared.body, body, ours.tree)))
    stored = drift.project(body, ours.tree, manifest=declared.body)
    theirs, filled = held_by(entry for entry in entries(body) if not entry.is_ours), set[Path]()
    for path in drift.empties(declared.body, stored, ours.tree):
        # What others have put into a map that Git declares empty is no default, and not Git's.
        if reaches_below(theirs, path):
            stored = drift.emptied(stored, declared.body, path)
        else:
            filled.add(path)
    is_as_given = _values(stored) == _values(declared.body)
    beside = None if is_as_given else difference(declared.body, stored)
    return Learned(
        body=declared.body,
        fields=ours,
        stored=None if is_as_given or beside else stored,
        beside=beside,
        filled=frozenset(filled) if filled else _NOTHING_FILLED,
    )


def _values(body: JsonObject) -> JsonObject:
    """The object without its name, which no set of fields holds."""
    metadata = {name: value for name, value in child(body, "metadata").items() if name not in {"name", "namespace"}}
    return {**{name: value for name, value in body.items() if name not in {"apiVersion", "kind"}}, "metadata": metadata}
