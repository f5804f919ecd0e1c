"""What to do when the API server asks to come back later: wait as long as it says and a little more, within bounds."""

from __future__ import annotations

import random

from guard.base.errors import ApiStatusError

TOO_MANY, SERVER_ERROR = 429, 500
# Priority and fairness says 1 s, and more when it goes on for longer; client-go comes back ten times.
FIRST_SECONDS, LONGEST_SECONDS, TRIES = 1.0, 8.0, 6
# Past that whoever asked had better know: an attempt to sync says so, a watch backs off further.
MOST_SECONDS = 30.0


class Patience:
    """Of one request. All verbs may be repeated: applies say the same again, patches and deletes name the version that they are
    for, and what was refused with Retry-After was not begun.
    """

    def __init__(self) -> None:
        self._tries = 0
        self._waited = 0.0

    def pause(self, error: ApiStatusError) -> float | None:
        """How many seconds to wait before this request is sent again; None where it is not to be. At least what the server says,
        doubled when it says so again, and up to half as much on top, at random: those who were told the same come one by one.
        """
        if error.code != TOO_MANY and not (error.code >= SERVER_ERROR and error.retry_after is not None):
            return None
        asked = FIRST_SECONDS if error.retry_after is None else error.retry_after
        least = max(asked, min(LONGEST_SECONDS, FIRST_SECONDS * (2**self._tries) / 2))
        seconds = least * (1 + random.random() / 2)  # noqa: S311 (spreading load, not a secret)
        self._tries += 1
        self._waited += seconds
        return seconds if self._tries <= TRIES and self._waited <= MOST_SECONDS else None
