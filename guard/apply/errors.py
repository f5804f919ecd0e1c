"""What the API server says about an object, fit to be shown and recorded."""

from __future__ import annotations

from guard.base.errors import ApiStatusError, ClusterError
from guard.state.ids import ObjectKey


def told(error: ClusterError, key: ObjectKey) -> str:
    """The error's text; of a Secret only the status, since the API server quotes the values that it does not like."""
    if key.kind == "Secret" and not key.group and isinstance(error, ApiStatusError):
        return f"the API server refused it: {error.code} {error.reason} (details of Secrets are not shown)"
    return error.message
