"""What the API server says about an object, fit to be shown and recorded."""

from __future__ import annotations

import re

from guard.base.errors import ApiStatusError, ClusterError
from guard.state.ids import ObjectKey

FORBIDDEN = 403
# How the API server says that RBAC has it so: of the request itself, and of the rights that a role or binding would give away.
# Policies, quotas and webhooks forbid in words of their own.
_DENIED = re.compile(
    r'\S+( "[^"]*")? is forbidden: (User "[^"]*" cannot |user "[^"]*" \(groups=.*\) is attempting to grant RBAC permissions )'
)


def is_denied(error: ClusterError) -> bool:
    """Whether whoever asked has not the right to."""
    return isinstance(error, ApiStatusError) and error.code == FORBIDDEN and bool(_DENIED.match(error.message))


def told(error: ClusterError, key: ObjectKey) -> str:
    """The error's text; of a Secret only the status, since the API server quotes the values that it does not like (but not where
    it looks at none, for want of the right to ask).
    """
    if is_denied(error):
        return f"{error.message} (bind this user a Role or ClusterRole that allows it)"
    if key.kind == "Secret" and not key.group and isinstance(error, ApiStatusError):
        return f"the API server refused it: {error.code} {error.reason} (details of Secrets are not shown)"
    return error.message
