"""What the API server says about an object, fit to be shown and recorded, and what to do about it."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from guard.base.errors import ApiStatusError, ClusterError, ImmutableField, Unreachable
from guard.state.secrecy import Secrecy

# `retry`: settles by itself within seconds, so again within the attempt. `report`: hangs on something else in the cluster, so
# again with the next attempt. `stall`: no use in trying until Git or the object changes; only the slow retry looks again.
Policy: TypeAlias = Literal["retry", "stall", "report"]

_BY_CODE: dict[int, Policy] = {
    400: "stall",  # fields and types that the kind does not have
    403: "stall",  # rights that Guard (or the Sync's service account) does not have
    404: "report",  # a namespace that is not there
    405: "retry",  # a definition that is going: it may be on its way back
    408: "retry",
    409: "retry",  # another write came between
    413: "stall",  # past what etcd takes
    415: "stall",
    422: "stall",  # invalid, or immutable
    429: "retry",  # throttled for longer than the client's own patience
}

# By the API server's words, since the code alone says less. The first that is found in the message decides.
_BY_TEXT: tuple[tuple[re.Pattern[str], Policy], ...] = (
    # Admission webhooks that are not reachable answer with 500 and are of _BY_CODE's rest; those that refuse, and quotas, look at
    # what else stands in the cluster.
    (re.compile(r"because it is being terminated"), "retry"),  # a namespace that is going, 403
    (re.compile(r"error looking up service account"), "retry"),  # 403 until the controller has made a namespace's own
    (re.compile(r'^admission webhook "|exceeded quota|is forbidden: ValidatingAdmissionPolicy '), "report"),
    (re.compile(r"is already allocated"), "report"),  # an address or port that another Service holds, 422
    (re.compile(r"^404 page not found|^the server could not find the requested resource"), "retry"),  # a kind not served yet
    (re.compile(r"failed to create typed patch object|schema not found|field not declared in schema"), "stall"),  # 500
)

_CROWDED = re.compile(r"exceeded quota|is already allocated")

# The reason of an object that has to be gone before it can be made anew.
TERMINATING = "Terminating"
_SERVER_ERRORS = 500
FORBIDDEN = 403
# How the API server says that RBAC has it so: of the request itself, and of the rights that a role or binding would give away.
# Policies, quotas and webhooks forbid in words of their own.
_DENIED = re.compile(
    r'\S+( "[^"]*")? is forbidden: (User "[^"]*" cannot |user "[^"]*" \(groups=.*\) is attempting to grant RBAC permissions )'
)


def policy(error: ClusterError) -> Policy:
    """What to do about an object that could not be applied."""
    if isinstance(error, ImmutableField):
        return "stall"
    if not isinstance(error, ApiStatusError):
        return "retry" if isinstance(error, Unreachable) else "report"
    if error.reason == TERMINATING:
        return "report"
    for words, found in _BY_TEXT:
        if words.search(error.message):
            return found
    if error.code >= _SERVER_ERRORS:
        return "retry"
    return _BY_CODE.get(error.code, "report")


def is_crowded(error: ClusterError) -> bool:
    """Whether there is no room for the object, as long as others are there: an address, a port, a quota. What is to be pruned may
    hold it.
    """
    return isinstance(error, ApiStatusError) and bool(_CROWDED.search(error.message))


def is_anothers(error: ApiStatusError) -> bool:
    """Whether it is another webhook or policy that refuses, not the API server itself."""
    return error.message.startswith('admission webhook "') or "is forbidden: ValidatingAdmissionPolicy " in error.message


def is_denied(error: ClusterError) -> bool:
    """Whether whoever asked has not the right to."""
    return isinstance(error, ApiStatusError) and error.code == FORBIDDEN and bool(_DENIED.match(error.message))


def told(error: ClusterError, secrecy: Secrecy) -> str:
    """The error's text; of what is not shown only the status, since the API server quotes the values that it does not like (but
    not where it looks at none, for want of the right to ask).
    """
    if is_denied(error):
        # The rules that a role would give away, which are its values, stand in lines of their own.
        said = error.message if secrecy.is_open else error.message.partition("\n")[0].rstrip(":")
        return f"{said} (bind this user a Role or ClusterRole that allows it)"
    if not secrecy.is_open and isinstance(error, ApiStatusError) and not isinstance(error, ImmutableField):
        return f"the API server refused it: {error.code} {error.reason} ({secrecy.excuse})"
    return f"{error.message} ({error.hint})" if error.hint else error.message
