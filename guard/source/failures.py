"""What git's error output means, in one line."""

from __future__ import annotations

import re

from guard.base.errors import SourceError
from guard.source.address import without_user
from guard.source.command import Output
from guard.source.credentials import GitCredentials
from guard.source.listing import MOST_IN_FILE

FILTER_REFUSED = "the server refuses to leave large files out"

_HELD = "check what the Secret that secretRef names holds"
_NETWORK = "check the URL, and the way there"
# The longest reason that is given; a server may have put its own words into it.
_LONGEST = 300

# Texts of git, of ssh, and of the TLS libraries that git is built with (OpenSSL, GnuTLS); the first that matches names the fault.
_KNOWN = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the server shows another host key than the one in known_hosts: someone may be pretending to be it",
        "if the server really has a new key, put that into known_hosts of the Secret",
    ),
    (
        r"REVOKED HOST KEY DETECTED|host key .* revoked",
        "the server shows a host key that known_hosts calls revoked: someone may be pretending to be it",
        "",
    ),
    (
        r"No (\S+) host key is known for (\S+) and you have requested strict checking",
        r"known_hosts has no \1 key of the host \2",
        "compare the server's key with what its operator publishes, and put the line for it into known_hosts of the Secret",
    ),
    (r"Host key verification failed", "the server's host key cannot be verified", "check known_hosts of the Secret"),
    (r"guard: no passphrase", "the SSH key has a passphrase, which is missing", "put it into the Secret as password"),
    (
        r"(?s)guard: passphrase given.*Permission denied \([^)]*publickey",
        "the SSH key's passphrase is wrong, or the server does not take the key",
        _HELD,
    ),
    (
        r"Load key .*: (?:error in libcrypto|invalid format|Is a directory)",
        "the SSH key cannot be read",
        "identity of the Secret has to be a private key",
    ),
    (r"Permission denied \([^)]*publickey[^)]*\)", "the server does not take the SSH key", _HELD),
    (
        r"No user exists for uid (\d+)",
        r"ssh does not run for the user id \1, which has no name",
        "give it a line in /etc/passwd of the container",
    ),
    (
        r"ssh: (?:command )?not found|cannot run ssh",
        "ssh is not installed",
        "Guard needs the ssh command on its PATH for such URLs",
    ),
    (r"[Uu]nable to negotiate with", "the server and ssh have no algorithm in common", ""),
    (
        r"Could not resolve host(?:name)?:? ([^\s;):]+)",
        r"the host \1 is unknown",
        "check the URL, and the name service of this machine",
    ),
    (r"Authentication failed|could not read (?:Username|Password)|error: 401", "the server refused the credentials", _HELD),
    (r"error: 403", "the server does not let these credentials read the repository", _HELD),
    (
        r"certificate verif|certificate problem|[Pp]eer's certificate",
        "the server's certificate is not trusted",
        "give its authority as ca.crt in the Secret, if it is one of your own",
    ),
    (
        r"unable to update url base from redirection|error: 30[1278]|Protocol .* disabled",
        "the server redirects to another place",
        "use the new URL",
    ),
    (
        r"not appear to be a git repository|repository '[^']*' not found|does not exist|not a git repository|error: 404",
        "there is no Git repository here, or it may not be read",
        "check the URL and the credentials",
    ),
    (r"Permission denied", "the repository may not be read", "check the owner and mode of its files"),
    (
        r"[Ff]ailed to connect to|Couldn't connect|Connection (?:refused|timed out)|No route to host|Network is unreachable",
        "the server cannot be reached",
        _NETWORK,
    ),
    (r"kex_exchange_identification|Connection (?:closed|reset) by", "the server closed the connection", _NETWORK),
    (
        r"not allow request for unadvertised object",
        "the server hands out only what a branch or tag names, and none names this commit",
        "name a branch or tag, or have the server allow it (uploadpack.allowReachableSHA1InWant)",
    ),
    (r"couldn't find remote ref|not our ref|no such remote ref", "the repository does not have what the ref names", ""),
    (r"expected commit type|Needed a single revision", "what the ref names is not a commit", ""),
    (r"mismatched algorithms", "repositories with SHA-256 objects are not supported", ""),
    (r"filter '[^']*' not supported", FILTER_REFUSED, ""),
    (
        r"File too large",
        "the repository brings more than Guard takes at once",
        f"let the server leave out files of more than {MOST_IN_FILE // 2**20} MiB (uploadpack.allowFilter), or move them",
    ),
    (r"[Oo]ut of memory|cannot allocate memory", "git needs more memory than Guard gives it for this repository", ""),
    (
        r"No space left on device|Disk quota exceeded",
        "there is no room left for the local copy",
        "make room in Guard's data folder",
    ),
)


class GitFailed(SourceError):
    """git ran and did not do what was asked."""


def failure(output: Output, *, credentials: GitCredentials) -> GitFailed:
    """The error for a git that failed. User information and secrets are taken out, should a server echo them, and so is what
    would move a terminal's cursor.
    """
    text = credentials.without_secrets(without_user(output.err))
    lines = ["".join(filter(str.isprintable, line)).strip() for line in text.splitlines()]
    text = "\n".join(filter(None, lines))
    for pattern, message, hint in _KNOWN:
        if found := re.search(pattern, text):
            return GitFailed(found.expand(message)[:_LONGEST], hint=hint)
    told = next((line for line in lines if line.startswith(("fatal:", "error:", "ERR"))), next(filter(None, reversed(lines)), ""))
    reason = re.sub("^(fatal|error): ", "", told)[:_LONGEST]
    if output.status < 0:
        reason = f"{reason}, ended by signal {-output.status}" if reason else f"ended by signal {-output.status}"
    return GitFailed(f"git failed: {reason or 'it gave no reason'}")
