"""Reads the recorded reviews in tests/admission/reviews, which `python -m tools.record_reviews` makes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from guard import api
from guard.base import codec
from guard.base.codec import JsonObject
from guard.state import Declared, DesiredState, FieldSet, Learned, ObjectKey, Policy, View

REVIEWS = Path(__file__).parent / "reviews"


class Expected(msgspec.Struct, frozen=True):
    """What is to become of the write; `changes` are the paths that a refusal names."""

    verdict: str
    reason: str
    changes: tuple[str, ...]


class World(msgspec.Struct, frozen=True):
    """What Guard knew when it was asked."""

    view: View
    policy: Policy


class Recorded(msgspec.Struct, frozen=True):
    """One review as the API server sent it, white space aside."""

    name: str
    server: str
    write: str
    expected: Expected
    data: bytes
    world: World


class _File(msgspec.Struct, frozen=True):
    server: str
    write: str
    world: str
    expected: Expected
    review: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    declared: Declared
    fields: JsonObject
    stored: JsonObject | None


class _World(msgspec.Struct, frozen=True, rename="camel"):
    sync_user: str
    enforcements: dict[str, api.Enforcement]
    strict: dict[str, str]
    unloaded: dict[str, str]
    declared: list[_Object]


@cache
def recorded() -> tuple[Recorded, ...]:
    """All of them, by name."""
    return tuple(_read(path) for path in sorted(REVIEWS.glob("*.json")) if not path.name.startswith("world-"))


def _read(path: Path) -> Recorded:
    file = codec.decode_as(path.read_bytes(), _File)
    return Recorded(
        name=path.stem,
        server=file.server,
        write=file.write,
        expected=file.expected,
        # The API server sends none, and some rules compare bytes.
        data=msgspec.json.format(bytes(file.review), indent=-1),
        world=_world(file.world),
    )


@cache
def _world(name: str) -> World:
    file = codec.decode_as((REVIEWS / name).read_bytes(), _World)
    syncs: dict[str, dict[ObjectKey, Declared]] = {}
    view = View()
    for known in file.declared:
        syncs.setdefault(known.declared.sync, {})[known.declared.key] = known.declared
    view.replace(DesiredState(syncs))
    for known in file.declared:
        lesson = Learned(body=known.declared.body, fields=FieldSet.parse(known.fields), stored=known.stored)
        view.learn(known.declared.key, lesson)
    policy = Policy(
        sync_user=file.sync_user,
        syncs={name: enforcement.compiled for name, enforcement in file.enforcements.items()},
        strict=file.strict,
        unloaded=file.unloaded,
    )
    return World(view=view, policy=policy)
