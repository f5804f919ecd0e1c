"""One JSON for everything that is compared, stored or sent.

msgspec keeps integers past 2^53 as integers (orjson makes 2^64 a float), so two values that print alike are alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from typing import Any, TypeAlias, TypeGuard, TypeVar

import msgspec

# Raw Kubernetes objects have no static type of their own: what may stand in them is decided by schemas that only the API
# server knows. `Any` stops at functions that narrow it.
Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]

T = TypeVar("T")

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


def is_object(value: Json) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def is_array(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)


def leaves(value: Json) -> Iterator[Json]:
    """All that is neither an object nor an array, in no order."""
    pending = [value]
    while pending:
        part = pending.pop()
        if is_object(part):
            pending.extend(part.values())
        elif is_array(part):
            pending.extend(part)
        else:
            yield part


def child(value: JsonObject, name: str) -> JsonObject:
    """The object below `name`; empty where there is none."""
    found = value.get(name)
    return found if is_object(found) else {}


def children(value: JsonObject, name: str) -> list[JsonObject]:
    """The objects listed below `name`; none where there is no list."""
    found = value.get(name)
    return [item for item in found if is_object(item)] if is_array(found) else []


class DecodeError(ValueError):
    """The bytes are not JSON, or not JSON of the expected shape."""


class TooDeepError(DecodeError):
    """The bytes are nested too deeply to be decoded."""


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(data)
    except RecursionError as error:
        raise TooDeepError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(str(error)) from error


def decode(data: bytes | msgspec.Raw) -> Json:
    """Decode JSON into plain values. Raises DecodeError, also for input nested too deeply to be decoded."""
    return _decoded(_decoder, data)


def decode_as(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode JSON into a value of type `kind`. Raises DecodeError, naming the field that does not fit."""
    return _decoded(_decoder_of(kind), data)


# All of a set of fields that counts (fields.DEEPEST) lies above it, wherever in an answer the set stands.
_DEEPEST = 200
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def at_any_depth(decoder: Callable[[bytes], T], data: bytes) -> T:
    """What a decoder makes of JSON that anybody may have nested as deeply as the API server stores (10,000). Where that is too
    deep, the objects and arrays below a depth of 200 count as empty. Raises DecodeError.
    """
    try:
        return decoder(data)
    except TooDeepError:
        return decoder(b"".join(_shallow(data)))


def _shallow(data: bytes) -> Iterator[bytes]:
    depth = start = 0
    for token in _TOKEN.finditer(data):
        if token[0] in {b"{", b"["}:
            depth += 1
            if depth == _DEEPEST + 1:
                yield data[start : token.end()]
        elif token[0] in {b"}", b"]"}:
            if depth == _DEEPEST + 1:
                start = token.start()
            depth -= 1
    yield data[start:]


def decode_optional(data: bytes | msgspec.Raw, kind: type[T]) -> T | None:
    """The same, and None for null."""
    return _decoded(_optional_of(kind), data)


# Decoders are kept, since making one takes longer than most of what is decoded (1 us for a dict, 2 for a tuple of structs).


@cache
def _decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


@cache
def _optional_of(kind: type[T]) -> msgspec.json.Decoder[T | None]:
    return msgspec.json.Decoder(kind | None)


def convert(value: Json, kind: type[T]) -> T:
    """Turn plain values into a value of type `kind`. Raises DecodeError, naming the field that does not fit."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DecodeError(str(error)) from error


def plain(value: object) -> Json:
    """The plain values (dict, list, str, ...) of a Struct."""
    return msgspec.to_builtins(value)


def encode(value: object) -> bytes:
    """Encode in the order given."""
    return _encoder.encode(value)


def canonical(value: object) -> bytes:
    """Encode with sorted keys: equal values give equal bytes."""
    return _canonical.encode(value)


def digest(value: object) -> bytes:
    """128 bits, so that a collision among all objects of a cluster, over years, is out of reach. Equal values have equal ones."""
    return blake2b(canonical(value), digest_size=16).digest()


def pretty(value: object) -> str:
    """Indented JSON for people."""
    return msgspec.json.format(_encoder.encode(value), indent=2).decode()
