from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.source.bucket import history as buckethistory
from guard.source.bucket.answers import Version
from guard.source.bucket.history import TooFarBack, find
from guard.source.bucket.revision import Held, digest, weakness

# What happens to which key, and how many seconds after the thing before.
STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(1, 3)), max_size=20)


def opaque(number: int) -> str:
    """As AWS makes ids: nothing can be told from them."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def played(steps: list[tuple[str, bool, int]]) -> tuple[list[Version], list[dict[str, Version]]]:
    """The history of a bucket as S3 lists it, and what was in it after each step."""
    second = 0
    history: list[Version] = []
    now: dict[str, Version] = {}
    states: list[dict[str, Version]] = [{}]
    for number, (key, is_deletion, after) in enumerate(steps):
        second += after
        version = Version(
            key=key,
            version=opaque(number),
            etag="" if is_deletion else f'"{number}"',
            size=0 if is_deletion else 1,
            modified=f"2026-01-02T03:{second // 60:02}:{second % 60:02}.000Z",
            is_deletion=is_deletion,
            is_latest=key not in {later for later, _, _ in steps[number + 1 :]},
        )
        history.append(version)
        now = {name: each for name, each in now.items() if name != key} | ({} if is_deletion else {key: version})
        states.append(now)
    history.reverse()
    return sorted(history, key=lambda each: each.key), states


def held(version: Version) -> Held:
    return Held(
        key=version.key, etag=version.etag, size=version.size, modified=version.modified, version=version.version, blob=""
    )


@given(STEPS)
def test_every_state_of_a_bucket_is_found_by_its_digest(steps: list[tuple[str, bool, int]]) -> None:
    history, states = played(steps)
    for state in states:
        wanted = digest(map(held, state.values()))

        found = find(history, wanted, wanted=lambda _: True)

        assert found is not None
        assert {each.key: each for each in found} == state


@given(STEPS)
def test_of_keys_that_are_not_wanted_nothing_is_seen(steps: list[tuple[str, bool, int]]) -> None:
    history, states = played(steps)
    for state in states:
        wanted = digest(held(each) for each in state.values() if each.key != "a")

        found = find(history, wanted, wanted=lambda key: key != "a")

        assert {each.key: each for each in found or ()} == {key: each for key, each in state.items() if key != "a"}


def test_a_history_that_is_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckethistory, "MOST_HASHED", 1000)
    history, _ = played([("a", False, 1)] * 100)
    with pytest.raises(TooFarBack):
        find(history, "0" * 64, wanted=lambda _: True)


def test_keys_and_versions_cannot_be_mistaken_for_one_another() -> None:
    def one(key: str, version: str, etag: str = '"1"') -> Held:
        return Held(key=key, etag=etag, size=1, modified="", version=version, blob="")

    digests = [
        digest([one("a", "b"), one("c", "d")]),
        digest([one('a","b"]\n["c', "d")]),
        digest([one("a", ""), one("c", "d")]),
        digest([one("a", "", '"2"'), one("c", "d")]),
        digest([one("a", '"1"'), one("c", "d")]),
        digest([one("a", "b"), one("c", "e")]),
        digest([]),
    ]

    assert len(set(digests)) == len(digests)
    assert digest([one("c", "d"), one("a", "b")]) == digests[0]


def test_how_far_a_revision_can_be_relied_on() -> None:
    with_version = Held(key="a", etag="", size=1, modified="", version="1", blob="")
    without = Held(key="b", etag="", size=1, modified="", version="", blob="")

    assert weakness([with_version]) == weakness([]) == ""
    assert weakness([without]).startswith("1 of 1 objects have no version in the bucket, so an earlier revision cannot")
    assert weakness([with_version, without]).startswith("1 of 2 objects have no version in the bucket")
