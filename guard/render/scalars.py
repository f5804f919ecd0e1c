"""What a YAML scalar stands for, as kubectl reads it: go.yaml.in/yaml/v2 (resolve.go), then Go's JSON.

YAML 1.1 in the main: `yes`, `y` and `on` are true and `012` is ten; but `1:30` and dates are texts, and `1e3` is a number.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO]?(?P<o>[0-7]+)|(?P<d>0|[1-9][0-9]*))", re.ASCII
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_BASES = {"x": 16, "b": 2, "o": 8, "d": 10}


class ScalarError(ValueError):
    """The text cannot be what its tag says, or what it stands for has no place in JSON."""


def scalar(text: str, *, tag: str | None, plain: bool) -> Scalar:
    """The value of a scalar; `plain` says that it stands there without quotes. Raises ScalarError."""
    if tag is None:
        return _resolved(text) if plain else text
    match tag.removeprefix(_TAG):
        case "binary":
            return _binary(text)
        case "int" | "float" | "bool" | "null" as name:
            value = _resolved(text)
            if name not in _names(value):
                raise ScalarError(f"{text!r} is tagged !!{name} but is none")
            return value
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
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def key(value: Scalar) -> str:
    """The text of a mapping's key: Go writes `true`, `8080` and `1.5` for keys that are no texts. Raises ScalarError."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if -(2**63) <= value < 2**63:
            return str(value)
        case float():
            return _float32_text(value)
        case None:
            raise ScalarError("null cannot be a key")
        case _:
            raise ScalarError(f"the number {value} is too large for a key")


def _resolved(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    # Go looks at the first character before it looks for a number, so `_1` is a text.
    if text[0] not in "+-.0123456789":
        return text
    digits = text if text[0] == "." else text.replace("_", "")
    if found := _INTEGER.fullmatch(digits):
        base = found.lastgroup or "d"
        number = int(found[base], _BASES[base])
        number = -number if found["sign"] == "-" else number
        if -(2**63) <= number < (2**63 if found["sign"] else 2**64):
            return number
    if _FLOAT.fullmatch(digits) and math.isfinite(number := float(digits)):
        return number
    return text


def _names(value: Scalar) -> tuple[str, ...]:
    """The tags that fit a value."""
    match value:
        case None:
            return ("null",)
        case bool():
            return ("bool",)
        case int():
            return ("int", "float")
        case float():
            return ("float",)
        case str():
            return ("str",)


def _binary(text: str) -> str:
    try:
        return base64.b64decode(re.sub("[\\r\\n]", "", text), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise ScalarError("is tagged !!binary but is not base64") from error


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
