"""What a YAML scalar stands for, as kubectl reads it: go.yaml.in/yaml/v2 (resolve.go), then Go's JSON.

YAML 1.1 in the main: `yes`, `y` and `on` are true and `012` is ten; but `1:30` and dates are texts, and `1e3` is a number.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"
MERGE = f"{_TAG}merge"

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
# A plain scalar that begins in another way is a text.
FIRST = {word[:1] for word in _WORDS} | set("+-.0123456789")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO]?(?P<o>[0-7]+)|(?P<d>0|[1-9][0-9]*))", re.ASCII
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
# Here Go looks closer at underscores than elsewhere.
_DOTTED = re.compile(r"\.[0-9]++(?:_[0-9]++)*+(?:[eE][-+]?[0-9]++(?:_[0-9]++)*+)?", re.ASCII)
_DATE = r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
_TIME = r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?"
_TIMESTAMP = re.compile(rf"{_DATE}(?:[Tt]{_TIME}(?:Z|[-+][0-9]{{2}}:[0-9]{{2}})| {_TIME})?", re.ASCII)
_BASES = {"x": 16, "b": 2, "o": 8, "d": 10}
_MOST_DIGITS = 20  # of a 64-bit integer; what is longer is a float, and Python would not even read it


class ScalarError(ValueError):
    """The text cannot be what its tag says, or what it stands for has no place in JSON. It is not shown: it may be a secret."""


def scalar(text: str, *, tag: str | None, plain: bool) -> Scalar:
    """The value of a scalar; `plain` says that it stands there without quotes. Raises ScalarError."""
    if tag is None:
        return resolved(text) if plain else text
    match tag.removeprefix(_TAG):
        case "binary":
            return _binary(text)
        case "timestamp":
            if not _is_timestamp(text):
                raise ScalarError("is tagged !!timestamp but is none")
            return text
        case "int" | "float" | "bool" | "null" as name:
            value = resolved(text)
            if name not in _names(value):
                raise ScalarError(f"is tagged !!{name} but is none")
            return float(value) if name == "float" and value is not None else value
        case _:
            # Unknown tags stand for nothing: Go reads a text.
            return text


def json_number(value: Scalar) -> Scalar:
    """The value after its way through JSON, where 1e3 is written 1000 and comes back as an integer, and what is no
    64-bit integer comes back as a float. Raises ScalarError for infinities and NaN.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ScalarError("infinity and NaN cannot be written in JSON")
        if not value.is_integer() or abs(value) > 2**63:
            return value
        # Go writes the fewest digits that tell a float from its neighbours, and fills up with zeros.
        whole = int(Decimal(repr(value)))
        return whole if _fits(whole) else value
    if isinstance(value, int) and not _fits(value):
        return float(value)
    return value


def key(value: Scalar) -> str:
    """The text of a mapping's key: Go writes `true`, `8080` and `1.5` for keys that are no texts. Raises ScalarError."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if _fits(value):
            return str(value)
        case float():
            return _float32_text(value)
        case None:
            raise ScalarError("null cannot be a key")
        case _:
            raise ScalarError("the number is too large for a key")


def resolved(text: str) -> Scalar:
    """The value of a scalar without quotes or a tag."""
    # Go looks at the first character first, so `_1` is a text.
    if text[:1] not in FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if text[0] == ".":
        return _float(text) if _DOTTED.fullmatch(text) else text
    digits = text.replace("_", "")
    if digits.startswith(("0b-", "0b+")):  # which Go reads, too
        digits = f"{digits[2]}0b{digits[3:]}"
    if found := _INTEGER.fullmatch(digits):
        base = found.lastgroup or "d"
        if base != "d" or len(digits) <= _MOST_DIGITS:
            number = int(found[base], _BASES[base])
            number = -number if found["sign"] == "-" else number
            if _fits(number) or (number < 2**64 and not found["sign"]):
                return number
    number = _float(digits) if _FLOAT.fullmatch(digits) else text
    return number if isinstance(number, float) else text


def _float(text: str) -> Scalar:
    """A text where the number is too large."""
    number = float(text)
    return number if math.isfinite(number) else text


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _names(value: Scalar) -> tuple[str, ...]:
    """The tags that fit a value."""
    match value:
        case None:
            return ("null",)
        case bool():
            return ("bool",)
        case int():
            return ("int", "float") if _fits(value) else ("int",)
        case float():
            return ("float",)
        case str():
            return ("str",)


def _is_timestamp(text: str) -> bool:
    if (found := _TIMESTAMP.fullmatch(text)) is None:
        return False
    year, month, day, *clock = (int(number) for number in found.groups() if number)
    hour, minute, second = clock or (0, 0, 0)
    try:
        datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 (only whether there is such a day is asked)
    except ValueError:
        return False
    return True


def _binary(text: str) -> str:
    try:
        data = base64.b64decode(re.sub("[\\r\\n]", "", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ScalarError("is tagged !!binary but is not base64") from error
    # Go writes U+FFFD for each byte that is no text.
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode(errors="surrogateescape"))


def _float32_text(value: float) -> str:
    """Go's FormatFloat(value, 'g', -1, 32), by which keys are written: 1000, 1.5, 1e+06, 3.1415927."""
    try:
        near = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        near = math.copysign(math.inf, value)
    if not math.isfinite(near):
        return ".nan" if math.isnan(near) else ".inf" if near > 0 else "-.inf"
    # Nine digits tell any two 32-bit floats apart; the fewest that do are wanted.
    written = next(t for t in (f"{near:.{n}e}" for n in range(9)) if struct.pack("f", float(t)) == struct.pack("f", near))
    mantissa, _, exponent = written.partition("e")
    if -4 <= int(exponent) < 6:  # noqa: PLR2004 (the exponents that 'g' writes out)
        return f"{float(written):.{max(0, len(mantissa.replace('-', '').replace('.', '')) - 1 - int(exponent))}f}"
    return f"{mantissa}e{exponent}"
