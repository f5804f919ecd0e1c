"""Which repositories Guard fetches from, and which names it asks for. Refused here, they never reach a git command line."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from guard.base.errors import ConfigError
from guard.source.revision import COMMIT
from guard.source.semver import check_range

SUPPORTED = "supported are https://, ssh://, user@host:path, file:// and absolute paths, and http:// on loopback"

Scheme: TypeAlias = Literal["file", "http", "https", "ssh"]

# What git-check-ref-format(1) refuses, a leading dash and a trailing slash among it.
_BAD_NAME = re.compile(r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^@$")
# What a Sync takes for a branch or a tag, and what hosts do.
LONGEST_NAME = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# No leading dash, which ssh would take for an option.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# git's short form for SSH.
_SCP = re.compile(rf"{_USER.pattern}@({_HOST.pattern}|\[[0-9a-fA-F:.]+\]):(?!-|//)\S+")


class GitRef(Struct, frozen=True):
    """At most one is set; none stands for the remote's default branch. `semver` is a range, of which the newest tag is taken;
    `commit` is a full id.
    """

    branch: str = ""
    tag: str = ""
    semver: str = ""
    commit: str = ""


def check_ref(ref: GitRef) -> None:
    """Raise ConfigError unless `ref` names at most one thing, in a form that Git could hold."""
    if sum(map(bool, (ref.branch, ref.tag, ref.semver, ref.commit))) > 1:
        raise ConfigError("a Git ref is one of branch, tag, semver or commit")
    for what, name in (("branch", ref.branch), ("tag", ref.tag)):
        if name and not is_name(name):
            raise ConfigError(f"{name!r} cannot be the name of a {what}")
    if ref.semver:
        check_range(ref.semver)
    if ref.commit and not COMMIT.fullmatch(ref.commit):
        raise ConfigError(f"{ref.commit!r} is not a full commit id", hint="40 hexadecimal digits, in lower case")


def is_name(text: str) -> bool:
    """Whether a ref, or the last part of one, can be called so, and shown: to a terminal, and in a Sync's status."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and not _BAD_NAME.search(text)


def check_url(url: str) -> Scheme:
    """Raise ConfigError for any form of address but SUPPORTED. The text never repeats a password."""
    if _CONTROL.search(url):
        raise ConfigError("the URL of the Git repository holds control characters")
    if url.startswith("/"):
        return "file"
    if "://" not in url and _SCP.fullmatch(url):
        return "ssh"
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("the URL of the Git repository cannot be read", hint=SUPPORTED) from error
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return "file"
    if parts.scheme not in {"http", "https", "ssh"} or not parts.hostname or "://" not in url:
        raise ConfigError(f"Guard cannot fetch from {without_user(url)!r}", hint=SUPPORTED)
    if parts.query or parts.fragment:
        shown = without_user(f"{parts.scheme}://{parts.netloc}{parts.path}")
        raise ConfigError(f"the URL {shown} carries a query or a fragment, which Git never has")
    return _check_ssh(url, parts) if parts.scheme == "ssh" else _check_http(url, parts)


def origin(url: str) -> str:
    """Scheme, host and port of an address of HTTP, with the slash behind it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def without_user(text: str) -> str:
    """The text with user information taken out of every URL in it."""
    return re.sub(r"(^|(?<=://))[^/\s'\"]*@", "", text)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_http(url: str, parts: SplitResult) -> Literal["http", "https"]:
    if "@" in parts.netloc:
        raise ConfigError(
            f"the URL {without_user(url)} carries a user name or password", hint="put both into the Secret that secretRef names"
        )
    if parts.scheme == "https":
        return "https"
    if not is_loopback(parts.hostname or ""):
        raise ConfigError(f"{url} would send everything in the clear", hint="use https://; http:// is for loopback only")
    return "http"


def _check_ssh(url: str, parts: SplitResult) -> Literal["ssh"]:
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise ConfigError(f"the URL {without_user(url)} carries a password", hint="SSH is used with a key, in the Secret")
    if not user:
        raise ConfigError(f"{url} names no user", hint=f"such as ssh://git@{host}{parts.path}")
    if not _USER.fullmatch(user) or not (host.startswith("[") or _HOST.fullmatch(parts.hostname or "")):
        raise ConfigError(f"Guard cannot fetch from {without_user(url)!r}", hint="user and host have to be plain names")
    if not parts.path.strip("/"):
        raise ConfigError(f"{url} names no repository", hint=f"such as {url.rstrip('/')}/platform/deploy.git")
    return "ssh"
