"""From measured seconds to figures: percentiles, and medians with their interval."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from math import ceil, comb, inf

import msgspec

CONFIDENCE = 0.95
RESAMPLES = 2000


class Estimate(msgspec.Struct, frozen=True):
    """A median with an interval that holds the true one in at least 95 % of all runs (as far as there are values enough)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed (nearest rank)."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def estimate(values: Sequence[float]) -> Estimate:
    """The interval is that of the order statistics, which assumes nothing about the distribution: the number of values below the
    true median is binomial with p = 1/2.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside, cut = 0.0, 0
    while cut < count // 2:
        outside += 2 * comb(count, cut) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        cut += 1
    first = max(0, cut - 1)
    return Estimate(median=statistics.median(ordered), low=ordered[first], high=ordered[-1 - first])


def paired(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The ratio of what was measured side by side."""
    return estimate([one / other for one, other in zip(above, below, strict=True)])


def added(case: Sequence[float], noop: Sequence[float], none: Sequence[float]) -> Estimate:
    """What a case adds to `none`, as a ratio to what the no-op adds, from medians over rounds. The interval is a bootstrap over
    rounds (percentiles): a single round's difference is too noisy to divide by.
    """
    rounds = list(zip(case, noop, none, strict=True))
    draw = random.Random(len(rounds))  # noqa: S311 (the same interval for the same numbers)
    ratios = [_added(draw.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES)]
    low, high = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    return Estimate(median=_added(rounds), low=percentile(ratios, low), high=percentile(ratios, high))


def _added(rounds: Sequence[tuple[float, float, float]]) -> float:
    case, noop, none = (statistics.median(column) for column in zip(*rounds, strict=True))
    return (case - none) / (noop - none) if noop != none else inf
