"""What an answer of S3 that is an error means, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from guard.base.errors import SourceError
from guard.source.bucket import answers
from guard.source.bucket.answers import Refusal
from guard.source.places import shown

# Statuses after which the same question may get another answer; 503 says SlowDown.
TRANSIENT = frozenset({429, 500, 502, 503, 504})

_HELD = "check what the Secret that secretRef names holds"
_PRECONDITION_FAILED = 412
# The longest part of an answer that is repeated.
_LONGEST = 200

# By code; codes of versitygw and MinIO beside those of AWS.
_KNOWN = {
    "NoSuchBucket": ("there is no bucket of this name at the endpoint", "check name, endpoint and region"),
    "AccessDenied": (
        "these credentials may not do that",
        "they need s3:ListBucket on the bucket and s3:GetObject, s3:GetObjectVersion on what is in it",
    ),
    "AllAccessDisabled": ("the bucket is closed to everyone", ""),
    "InvalidAccessKeyId": ("the store does not know the access key", _HELD),
    "XAdminUserNotFound": ("the store does not know the access key", _HELD),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", _HELD),
    "ExpiredToken": ("the session token has expired", "put a new one into the Secret"),
    "InvalidToken": ("the store does not take the session token", _HELD),
    "NotImplemented": ("the store does not know this question", "Guard asks for ListObjectsV2 and GetObject"),
    "InvalidObjectState": ("an object is archived", "restore it, or leave it out with include"),
}
_LOCATED = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


class Changed(SourceError):
    """An object is not any more what was listed."""


class Refused(SourceError):
    """The store answered with an error. `code` is its own word."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


def not_s3() -> SourceError:
    return SourceError("what answers is not an S3 store", hint="check the endpoint, and what stands before the store")


def refused(status: int, headers: Mapping[str, str], body: bytes, *, signed_at: str) -> SourceError:
    """The error for an answer that is one. `signed_at` is the time in the request, `20260102T030405Z`."""
    found = answers.refusal(body)
    code = shown(found.code)
    region = shown(found.region or headers.get("x-amz-bucket-region", ""))
    if code in {"PreconditionFailed", "NoSuchKey", "NoSuchVersion"} or status == _PRECONDITION_FAILED:
        return Changed("the object is not what was listed")
    if code == "RequestTimeTooSkewed":
        return Refused(_skew(found, headers, signed_at), code=code, hint="set the clock of Guard's machine, or of the store")
    if (code in _LOCATED or 300 <= status < 400) and region:  # noqa: PLR2004 (redirects)
        return Refused(f"the bucket is in the region {region}", code=code, hint=f"set region: {region}")
    if 300 <= status < 400:  # noqa: PLR2004 (redirects)
        return Refused("the store redirects to another place, which Guard does not follow", code=code, hint="use that endpoint")
    if status in TRANSIENT:
        return Refused(f"the store is overloaded or out of order ({code or status})", code=code, hint="Guard asks again later")
    if code in _KNOWN:
        message, hint = _KNOWN[code]
        return Refused(message, code=code, hint=hint)
    if not code:
        return not_s3()
    return Refused(f"the store refuses: {code}: {shown(found.message)}"[:_LONGEST], code=code)


def _skew(found: Refusal, headers: Mapping[str, str], signed_at: str) -> str:
    try:
        there = datetime.fromisoformat(found.server_time).astimezone(UTC)
        here = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return f"the clocks of Guard and of the store differ too much; the store's says {shown(headers.get('date', ''))}"
    seconds = int((there - here).total_seconds())
    return f"the store's clock is {_span(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} Guard's"


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return " ".join(f"{number} {unit}" for number, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if number) or "0 s"
