"""How an error is written down. The text of one that nobody foresaw may hold any value, a Secret's among them: it is told by its
class and by the lines of code that it went through. Of those Python shows the source, never the values.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import cast

from structlog.typing import ExcInfo

from guard.base.errors import ApiStatusError, GuardError, ImmutableField

MOST_CHAINED = 10  # causes and members of groups: more nobody reads


def told(error: BaseException) -> str:
    """The text of an error that Guard words itself, or the system (what failed, on which file); of others the class."""
    # The API server quotes the values that it does not like.
    if isinstance(error, ApiStatusError) and not isinstance(error, ImmutableField):
        return f"{type(error).__name__}: {error.code} {error.reason}"
    return f"{type(error).__name__}: {error}" if isinstance(error, GuardError | OSError) else type(error).__name__


def reported(exc_info: ExcInfo) -> str:
    """An error as the log has it: itself, and then what it came from."""
    return "\n".join(line.rstrip("\n") for line in _lines(exc_info[1]))


def _lines(error: BaseException) -> Iterator[str]:
    due: list[tuple[str, BaseException]] = [("", error)]
    for _ in range(MOST_CHAINED):
        if not due:
            return
        why, one = due.pop(0)
        if why:
            yield why
        yield from traceback.format_tb(one.__traceback__)
        yield told(one)
        if isinstance(one, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", one)
            due += [("one of these errors:", member) for member in group.exceptions]
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is not None:
            due.append(("which came from:" if one.__cause__ else "while this was dealt with:", cause))
