"""Quantities and times in the notation in which the API server stores them.

The rules are those of k8s.io/apimachinery 0.37: `pkg/api/resource/quantity.go` and `pkg/apis/meta/v1/{time,micro_time}.go`, the
notations that the former takes for canonical though they are not (`+1`, `1.500`) included.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

_QUANTITY = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {exponent: suffix for suffix, exponent in _BINARY.items()}
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{1,9}")
LONGEST = 64  # nobody writes more digits than this; what is longer stays as it is written

_NANO, _MILLI = -9, -3
_INT64 = 2**63
_INT64_DIGITS = 18

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})")
_MICRO_DIGITS = 6


@lru_cache(maxsize=4096)
def quantity(text: str, *, whole_milli: bool = False) -> str | None:
    """A quantity in canonical form; None for what is no quantity. `whole_milli` rounds up to thousandths, as the API server does
    in resource lists.
    """
    text = text.strip()
    found = _QUANTITY.fullmatch(text) if 0 < len(text) <= LONGEST else None
    if found is None:
        return None
    sign, whole, fraction, suffix = found[1], found[2].lstrip("0") or "0", found[3] or "", found[4]
    form, exponent = _suffix(suffix)
    if form is None:
        return None
    negative = sign == "-"
    digits = whole + fraction
    amount, scale, kept = _small(digits, form=form, exponent=exponent, fraction=len(fraction))
    if amount is None:
        amount, scale, form = _large(digits, form=form, exponent=exponent, fraction=len(fraction))
    if whole_milli and scale < _MILLI:
        amount, scale, kept = _rounded_up(amount, scale, _MILLI), _MILLI, False
    if amount == 0:
        return "0"
    return text if kept else ("-" if negative else "") + _canonical(amount, scale, form)


def _suffix(suffix: str) -> tuple[str | None, int]:
    if suffix in _DECIMAL:
        return "decimal", _DECIMAL[suffix]
    if suffix in _BINARY:
        return "binary", _BINARY[suffix]
    if _EXPONENT.fullmatch(suffix):
        return "exponent", int(suffix[1:])
    return None, 0


def _small(digits: str, *, form: str, exponent: int, fraction: int) -> tuple[int | None, int, bool]:
    """Of what fits in 64 bits: magnitude, power of ten, and whether the API server keeps the notation. None for the rest."""
    if form == "binary":
        factor, scale = 1 << exponent, 0
        precision = 15 - len(digits) - exponent * 3 // 10 - 1 if not fraction else -1
    else:
        factor, scale = 1, exponent - fraction
        precision = _INT64_DIGITS - len(digits)
    value = int(digits)
    amount = value * factor
    if precision < 0 or scale < _NANO or amount >= _INT64:
        return None, 0, False
    kept = value & 7 != 0 if form == "binary" else scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
    return amount, scale, kept


def _large(digits: str, *, form: str, exponent: int, fraction: int) -> tuple[int, int, str]:
    amount, scale = int(digits), -fraction
    if form == "binary":
        amount <<= exponent
    else:
        scale += exponent
    if amount and scale < _NANO:
        amount, scale = _rounded_up(amount, scale, _NANO), _NANO
    if form == "binary":
        unit = 10**-scale
        if amount > (_INT64 - 1) * unit:
            amount, scale = _INT64 - 1, 0
        elif 0 < amount < unit:
            form = "decimal"
    return amount, scale, form


def _rounded_up(amount: int, scale: int, to: int) -> int:
    """`amount` in units of 10^scale in units of 10^to; away from zero."""
    if amount == 0 or to - scale > LONGEST * 2:
        return min(amount, 1)
    return -(-amount // 10 ** (to - scale))


def _canonical(amount: int, scale: int, form: str) -> str:
    if form == "binary":
        unit = 10 ** max(-scale, 0)
        if amount % unit == 0 and amount // unit >= 1024:  # noqa: PLR2004 (smaller ones, and fractions, are written as decimals)
            amount, power = amount // unit, 0
            while amount % 1024 == 0:
                amount, power = amount // 1024, power + 10
            return f"{amount}{_BINARY_SUFFIX.get(power, '')}"
        form = "decimal"
    while amount % 10 == 0:
        amount, scale = amount // 10, scale + 1
    amount, scale = amount * 10 ** (scale % 3), scale - scale % 3
    if form == "exponent":
        return f"{amount}e{scale}" if scale else str(amount)
    return f"{amount}{_DECIMAL_SUFFIX.get(scale, '')}"


def number_text(value: float) -> str:
    """A JSON number as Go writes it: what a quantity that YAML took for a number is read from."""
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    if isinstance(value, int) and abs(value) < _INT64:
        return str(value)
    if Decimal("1e-6") <= abs(exact) < Decimal("1e21") or exact == 0:
        return str(int(exact)) if exact == exact.to_integral_value() else format(exact, "f")
    mantissa, _, exponent = format(exact.normalize(), "e").partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def time(text: str) -> str | None:
    """A metav1.Time, in UTC and whole seconds; None for what is none."""
    moment = _moment(text)
    return _in_utc(moment, "seconds") if moment else None


def micro_time(text: str) -> str | None:
    """A metav1.MicroTime, in UTC; it has six digits of a second. None for what is none."""
    found = _RFC3339.fullmatch(text)
    moment = _moment(text) if found and found[3] and len(found[3]) == _MICRO_DIGITS else None
    return _in_utc(moment, "microseconds") if moment else None


def _in_utc(moment: datetime, precision: Literal["seconds", "microseconds"]) -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _moment(text: str) -> datetime | None:
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date, clock, fraction, zone = found.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock}").replace(
            tzinfo=UTC, microsecond=int((fraction or "0")[:6].ljust(6, "0"))
        )
        ahead = timedelta() if zone == "Z" else timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        return local + ahead if zone[0] == "-" else local - ahead
    except (ValueError, OverflowError):
        return None
