"""Which repositories Guard fetches from, and which names it asks for. Refused here, they never reach a git command line."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from msgspec import Struct

from guard.base.errors import ConfigError
from guard.source.revision import COMMIT

SUPPORTED = "supported are https://, file:// and absolute paths, and http:// on loopback"

# What git-check-ref-format(1) refuses, a leading dash and a trailing slash among it.
_BAD_NAME = re.compile(r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^@$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class GitRef(Struct, frozen=True):
    """At most one is set; none stands for the remote's default branch. `commit` is a full id."""

    branch: str = ""
    tag: str = ""
    commit: str = ""


def check_ref(ref: GitRef) -> None:
    """Raise ConfigError unless `ref` names at most one thing, in a form that Git could hold."""
    if sum(map(bool, (ref.branch, ref.tag, ref.commit))) > 1:
        raise ConfigError("a Git ref is one of branch, tag or commit")
    for what, name in (("branch", ref.branch), ("tag", ref.tag)):
        if _BAD_NAME.search(name):
            raise ConfigError(f"{name!r} cannot be the name of a {what}")
    if ref.commit and not COMMIT.fullmatch(ref.commit):
        raise ConfigError(f"{ref.commit!r} is not a full commit id", hint="40 hexadecimal digits, in lower case")


def check_url(url: str) -> None:
    """Raise ConfigError for any form of address but SUPPORTED. The text never repeats user information."""
    if _CONTROL.search(url):
        raise ConfigError("the URL of the Git repository holds control characters")
    if url.startswith("/"):
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError("the URL of the Git repository cannot be read", hint=SUPPORTED) from error
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return
    if parts.scheme not in {"http", "https"} or not host or "://" not in url:
        raise ConfigError(f"Guard cannot fetch from {without_user(url)!r}", hint=SUPPORTED)
    if "@" in parts.netloc:
        raise ConfigError(
            f"the URL {without_user(url)} carries a user name or password", hint="put both into the Secret that secretRef names"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"the URL {parts.scheme}://{parts.netloc}{parts.path} carries a query or a fragment, which Git never has"
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(f"{url} would send everything in the clear", hint="use https://; http:// is for loopback only")


def without_user(text: str) -> str:
    """The text with user information taken out of every URL in it."""
    return re.sub(r"(^|(?<=://))[^/\s'\"]*@", "", text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
