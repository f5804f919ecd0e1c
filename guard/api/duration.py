"""Durations the way Go writes them: `1m`, `1m30s`, `500ms`, `1.5h`."""

from __future__ import annotations

import re

# What Flux and most Kubernetes APIs take. Go's units below a millisecond make no sense for anything that Guard waits for.
PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
PATTERN_OR_NOTHING = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$"

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Raises ValueError, saying what is allowed."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 1m or 1h30m")
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", text))


def written(duration: float) -> str:
    """Seconds as such a text: `4h`, `1h30m`, `2.5s`."""
    minutes, rest = divmod(duration, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours}h" * bool(hours), f"{minutes}m" * bool(minutes), f"{rest:g}s" * bool(rest)]
    return "".join(parts) or "0s"
