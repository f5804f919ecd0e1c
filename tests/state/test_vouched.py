from __future__ import annotations

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.ids import ObjectKey
from guard.state.managed import Stamp, raw_entries, stamps
from guard.state.metadata import Metadata
from guard.state.vouched import KEPT_SECONDS, MOST_BYTES, MOST_OF_AN_OBJECT, Vouched

KEY = ObjectKey(group="", kind="ConfigMap", namespace="shop", name="settings")


def managed(time: str) -> bytes:
    entry: JsonObject = {"manager": "foo", "time": time, "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}
    return codec.encode([entry])


def stamped(text: bytes) -> tuple[Stamp, ...]:
    return stamps(raw_entries(msgspec.Raw(text)))


def metadata(time: str = "t", *, generation: int = 0) -> Metadata:
    return Metadata(generation=generation, managed_fields=msgspec.Raw(managed(time)))


def noted(*times: str, at: float = 0.0, generation: int = 0) -> Vouched:
    vouched = Vouched()
    for time in times:
        # The API server may show the same object with its keys in another order.
        written = managed(time).replace(b'"f:a":{},"f:b":{}', b'"f:b":{},"f:a":{}')
        vouched.note(KEY, managed=stamped(written), generation=generation, before="1", at=at)
    return vouched


def test_a_review_vouches_for_one_event_of_the_very_object_that_it_saw() -> None:
    vouched = noted("t")
    assert vouched.vouches(KEY, metadata(), after="1", at=1.0)
    assert not vouched.vouches(KEY, metadata(), after="1", at=1.0)
    assert len(vouched) == 0


def test_two_writes_that_look_alike_take_two_reviews() -> None:
    vouched = noted("t", "t")
    found = [vouched.vouches(KEY, metadata(), after="1", at=1.0) for _ in range(3)]
    assert found == [True, True, False]


def test_another_manager_time_or_generation_is_another_write() -> None:
    assert not noted("t").vouches(KEY, metadata("later"), after="1", at=1.0)
    assert not noted("t", generation=3).vouches(KEY, metadata(generation=4), after="1", at=1.0)
    assert not noted("t").vouches(KEY, Metadata(), after="1", at=1.0)
    # Something was stored in between that nobody may have judged.
    assert not noted("t").vouches(KEY, metadata(), after="2", at=1.0)
    other = ObjectKey(group="", kind="Secret", namespace="shop", name="settings")
    assert not noted("t").vouches(other, metadata(), after="1", at=1.0)


def test_a_write_that_failed_is_passed_over_when_the_next_one_comes() -> None:
    vouched = noted("failed", "stored")
    assert vouched.vouches(KEY, metadata("stored"), after="1", at=1.0)


def test_a_review_is_forgotten_after_a_few_seconds() -> None:
    assert not noted("t").vouches(KEY, metadata(), after="1", at=KEPT_SECONDS + 1)


def test_memory_is_bounded() -> None:
    vouched = noted(*(str(number) for number in range(MOST_OF_AN_OBJECT + 5)))
    assert not vouched.vouches(KEY, metadata("0"), after="1", at=1.0)
    vouched = Vouched()
    fields: JsonObject = {f"f:{number:090}": {} for number in range(1000)}
    large = stamped(codec.encode([{"manager": "foo", "fieldsV1": fields}]))
    count = 2 * MOST_BYTES // 100_000
    keys = [ObjectKey(group="", kind="ConfigMap", namespace="shop", name=str(number)) for number in range(count)]
    for number, key in enumerate(keys):
        vouched.note(key, managed=large, generation=0, before="1", at=float(number))
        assert len(vouched) * 90_000 <= MOST_BYTES
    # The newest is known, and what has been asked for takes no room any more.
    vouched.note(KEY, managed=stamped(managed("t")), generation=0, before="1", at=float(count))
    assert vouched.vouches(KEY, metadata("t"), after="1", at=float(count))
