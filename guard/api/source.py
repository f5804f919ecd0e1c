"""Where a Sync's manifests come from."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from guard.api import duration
from guard.api.names import DNS_SUBDOMAIN

# What git itself refuses in the name of a ref, and a leading dash, which it would take for an option.
REF_PATTERN = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"

# For the API server, whose `.` and `$` know no newline.
SINGLE_LINE = "^.*$"

PushType: TypeAlias = Literal["GitHub", "GitLab", "Gitea", "Forgejo", "Bitbucket", "Generic"]

LOGIN_PATTERN = "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/@]*:[^/]*@"
HOLDS_LOGIN = "holds a password; move it to a Secret and name that in secretRef"


def _check_single_line(*texts: str | None) -> None:
    """In Python a pattern's `$` matches before a last newline as well, which YAML's `|` leaves behind."""
    if any(text.endswith("\n") for text in texts if text):
        raise ValueError("must not end in a newline")


class SecretReference(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Annotated[
        str,
        Meta(
            description="A Secret in the Sync's namespace.",
            min_length=1,
            max_length=253,
            pattern=DNS_SUBDOMAIN,
        ),
    ]


class GitRef(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """At most one of them; none means the branch that the remote's HEAD names."""

    branch: Annotated[str, Meta(min_length=1, max_length=255, pattern=REF_PATTERN)] | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=255, pattern=REF_PATTERN)] | None = None
    semver: (
        Annotated[
            str,
            Meta(
                description="The newest tag that is a version in this range: `>=1.2.0 <2.0.0`.",
                min_length=1,
                max_length=255,
                extra_json_schema={"pattern": SINGLE_LINE},
            ),
        ]
        | None
    ) = None
    commit: Annotated[str, Meta(description="A commit's full SHA-1 hash.", pattern="^[0-9a-f]{40}$")] | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.branch, self.tag, self.semver, self.commit)) > 1:
            raise ValueError("at most one of branch, tag, semver and commit may be set")
        _check_single_line(self.branch, self.tag, self.semver, self.commit)


AT_MOST_ONE = {
    "rule": "[has(self.branch), has(self.tag), has(self.semver), has(self.commit)].filter(given, given).size() <= 1",
    "message": "at most one of branch, tag, semver and commit may be set",
}


class GitSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    url: Annotated[
        str,
        Meta(
            description="What `git clone` takes: HTTPS, SSH or a path of Guard's machine. Credentials go into secretRef.",
            min_length=1,
            max_length=2048,
            pattern=r"^[^-\s]\S*$",
            extra_json_schema={
                "x-kubernetes-validations": [{"rule": f"!self.matches('{LOGIN_PATTERN}')", "message": HOLDS_LOGIN}]
            },
        ),
    ]
    ref: Annotated[GitRef, Meta(extra_json_schema={"x-kubernetes-validations": [AT_MOST_ONE]})] = GitRef()
    secret_ref: Annotated[
        SecretReference | None,
        Meta(
            description="Holds `username` and `password`, or `bearerToken`, and `ca.crt`; for SSH `identity`, `known_hosts` and "
            "the key's `password`."
        ),
    ] = None
    include: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(description="What of the repository is read, as patterns of gitignore; everything if empty.", max_length=64),
    ] = ()

    def __post_init__(self) -> None:
        if re.match(LOGIN_PATTERN, self.url):
            raise ValueError(f"url {HOLDS_LOGIN}")
        _check_single_line(self.url)


class Push(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Who may say, by a webhook, that there is something new; all that it does is to make Guard look."""

    type: Annotated[PushType, Meta(description="How the sender signs.")]
    secret_ref: Annotated[SecretReference, Meta(description="Holds `token`, the secret that the sender was given.")]


class Source(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    git: GitSource
    push: Annotated[Push | None, Meta(description="The webhook of the repository's host.")] = None
    interval: Annotated[
        str,
        Meta(
            description="How often to look for a new revision; at least 1s.",
            max_length=64,
            pattern=duration.PATTERN,
            extra_json_schema={
                "x-kubernetes-validations": [{"rule": "duration(self) >= duration('1s')", "message": "must be at least 1s"}]
            },
        ),
    ] = "1m"

    def __post_init__(self) -> None:
        if self.interval_seconds < 1:
            raise ValueError(f"interval must be at least 1s, not {self.interval}")

    @property
    def interval_seconds(self) -> float:
        return duration.seconds(self.interval)
