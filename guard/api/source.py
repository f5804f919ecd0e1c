"""Where a Sync's manifests come from."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias, cast

from msgspec import Meta, Struct, structs

from guard.api import duration
from guard.api.names import DNS_SUBDOMAIN

# What git itself refuses in the name of a ref, and a leading dash, which it would take for an option.
REF_PATTERN = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"

# For the API server, whose `.` and `$` know no newline.
SINGLE_LINE = "^.*$"

PushType: TypeAlias = Literal["GitHub", "GitLab", "Gitea", "Forgejo", "Bitbucket", "Generic", "S3"]
VerifyMode: TypeAlias = Literal["Head", "Tag", "TagAndHead"]

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


Signers: TypeAlias = Annotated[
    SecretReference,
    Meta(
        description="Who may sign: files `*.asc` and `*.gpg` hold OpenPGP keys, `allowed_signers` SSH keys as ssh-keygen(1) "
        "has them, `revoked_keys` those that count no more."
    ),
]


class GitVerify(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Whose signature a revision has to carry to be taken."""

    secret_ref: Signers
    mode: Annotated[
        VerifyMode, Meta(description="What has to be signed: the commit, the annotated tag that the ref names, or both.")
    ] = "Head"


TAG_FOR_TAG = {
    "rule": "!has(self.verify) || self.verify.mode == 'Head' || has(self.ref.tag) || has(self.ref.semver)",
    "message": "verify.mode needs a ref that is a tag or a semver range",
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

    verify: Annotated[GitVerify | None, Meta(description="Take only what is signed.")] = None

    def __post_init__(self) -> None:
        if self.verify is not None and self.verify.mode != "Head" and not (self.ref.tag or self.ref.semver):
            raise ValueError(TAG_FOR_TAG["message"])
        if re.match(LOGIN_PATTERN, self.url):
            raise ValueError(f"url {HOLDS_LOGIN}")
        _check_single_line(self.url)

    @property
    def address(self) -> str:
        """Where it is, as people write it."""
        return self.url

    @property
    def identity(self) -> tuple[str, ...]:
        """The same for all Syncs to which a revision of the same name is the same, whatever they take of the repository."""
        return (self.url,)


class BucketRef(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """None means what the bucket holds now."""

    revision: (
        Annotated[
            str,
            Meta(
                description="An earlier revision, as the status names it: `<bucket>@sha256:<digest>`, or the digest alone.",
                max_length=255,
                pattern=r"^([a-z0-9][a-z0-9.-]*@)?(sha256:)?[0-9a-f]{64}$",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        _check_single_line(self.revision)

    @property
    def digest(self) -> str:
        """Of the revision, in hex; empty where none is named."""
        return (self.revision or "")[-64:]


class BucketVerify(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Whose signature over what a bucket holds a revision has to carry to be taken."""

    secret_ref: Signers


FOLDER_OF_BUCKET = "prefix must be a folder of the bucket, without .."
# No user, query or fragment: credentials are not the place's.
ENDPOINT = r"https?://[^/@?#\s]+(/[^@?#\s]*)?"


class BucketSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """A bucket of S3, or of a store that speaks as S3 does."""

    name: Annotated[str, Meta(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
    endpoint: Annotated[
        str,
        Meta(
            description="The URL of the store; that of AWS in the region if empty. Credentials go into secretRef.",
            max_length=2048,
            extra_json_schema={"pattern": f"^({ENDPOINT})?$"},
        ),
    ] = ""
    region: Annotated[
        str, Meta(description="us-east-1 if empty.", max_length=63, extra_json_schema={"pattern": "^[a-z0-9-]*$"})
    ] = ""
    prefix: Annotated[
        str,
        Meta(
            description="The folder of the bucket that is the source's root; all of it if empty.",
            max_length=900,
            extra_json_schema={
                "pattern": SINGLE_LINE,
                "x-kubernetes-validations": [
                    {"rule": "!self.split('/').exists(part, part == '..')", "message": FOLDER_OF_BUCKET}
                ],
            },
        ),
    ] = ""
    path_style: Annotated[
        bool | None,
        Meta(description="Whether the bucket is named in the path rather than in the host; unless told, with an endpoint it is."),
    ] = None
    ref: BucketRef = BucketRef()
    secret_ref: Annotated[
        SecretReference | None,
        Meta(
            description="Holds `accesskey` and `secretkey`, also `sessiontoken` and `ca.crt`. None: what Guard's surroundings "
            "give it, such as a web identity."
        ),
    ] = None
    include: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(description="What of the bucket is read, as patterns of gitignore; everything if empty.", max_length=64),
    ] = ()
    verify: Annotated[BucketVerify | None, Meta(description="Take only what is signed.")] = None

    def __post_init__(self) -> None:
        if self.endpoint and not re.fullmatch(ENDPOINT, self.endpoint):
            raise ValueError("endpoint must be a URL of HTTP, without user, query and fragment")
        if not re.fullmatch("[a-z0-9-]*", self.region):
            raise ValueError("region must be a name such as eu-central-1")
        if ".." in self.prefix.split("/") or not self.prefix.isprintable():
            raise ValueError(FOLDER_OF_BUCKET)
        _check_single_line(self.name)
        # The one way msgspec offers to normalise a field of a frozen Struct, meant for this place.
        structs.force_setattr(self, "prefix", "/".join(part for part in self.prefix.split("/") if part))

    @property
    def address(self) -> str:
        """Where it is, as people write it: `s3://<bucket>/<prefix>`."""
        return f"s3://{'/'.join(filter(None, (self.name, self.prefix)))}"

    @property
    def identity(self) -> tuple[str, ...]:
        """As a repository's; but a revision is made of what is taken."""
        return (self.endpoint, self.name, self.prefix, *self.include)


class Push(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Who may say, by a webhook, that there is something new; all that it does is to make Guard look. S3 is for buckets, the
    others are for Git.
    """

    type: Annotated[PushType, Meta(description="How the sender signs.")]
    secret_ref: Annotated[SecretReference, Meta(description="Holds `token`, the secret that the sender was given.")]


ONE_OF = {"rule": "has(self.git) != has(self.bucket)", "message": "exactly one of git and bucket has to be set"}
PUSH_FITS = {
    "rule": "!has(self.push) || has(self.bucket) == (self.push.type == 'S3')",
    "message": "push.type is S3 for a bucket, and another one for git",
}


class Source(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    git: Annotated[GitSource | None, Meta(extra_json_schema={"x-kubernetes-validations": [TAG_FOR_TAG]})] = None
    bucket: BucketSource | None = None
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
        if (self.git is None) == (self.bucket is None):
            raise ValueError(ONE_OF["message"])
        if self.push is not None and (self.push.type == "S3") != (self.bucket is not None):
            raise ValueError(PUSH_FITS["message"])
        if self.interval_seconds < 1:
            raise ValueError(f"interval must be at least 1s, not {self.interval}")

    @property
    def interval_seconds(self) -> float:
        return duration.seconds(self.interval)

    @property
    def named(self) -> GitSource | BucketSource:
        """Which of the two it is; __post_init__ has seen to it that one is."""
        return cast("GitSource | BucketSource", self.git or self.bucket)
