"""What git's error output means, in one line."""

from __future__ import annotations

import re

from guard.base.errors import SourceError
from guard.source.address import without_user
from guard.source.command import GitCredentials

_ACCESS = "check the user name and password in the Secret that secretRef names"

# Texts of git and of the TLS libraries that it is built with (OpenSSL, GnuTLS); the first that matches names the fault.
_KNOWN = (
    (r"Could not resolve host: ([^\s;)]+)", r"the host \1 is unknown", "check the URL, and the name service of this machine"),
    (r"Authentication failed|could not read (?:Username|Password)|error: 401", "the server refused the credentials", _ACCESS),
    (r"error: 403", "the server does not let these credentials read the repository", _ACCESS),
    (
        r"certificate verif|certificate problem|[Pp]eer's certificate",
        "the server's certificate is not trusted",
        "give its authority as the CA certificate in the Secret, if it is one of your own",
    ),
    (r"unable to update url base from redirection|error: 30[1278]", "the server redirects to another place", "use the new URL"),
    (
        r"not appear to be a git repository|repository '[^']*' not found|does not exist|not a git repository|error: 404",
        "there is no Git repository here, or it may not be read",
        "check the URL and the credentials",
    ),
    (r"Permission denied", "the repository may not be read", "check the owner and mode of its files"),
    (r"[Ff]ailed to connect to|Couldn't connect to server|Connection refused", "the server cannot be reached", ""),
    (r"couldn't find remote ref|not our ref|no such remote ref", "the repository does not have what the ref names", ""),
    (r"mismatched algorithms", "repositories with SHA-256 objects are not supported", ""),
)


def failure(text: str, *, credentials: GitCredentials) -> SourceError:
    """The error for git's stderr; user information and the password are taken out, should a server echo them."""
    text = without_user(text)
    if credentials.password:
        text = text.replace(credentials.password, "***")
    for pattern, message, hint in _KNOWN:
        if found := re.search(pattern, text):
            return SourceError(found.expand(message), hint=hint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:", "ERR"))), lines[-1] if lines else "")
    return SourceError(f"git failed: {re.sub('^(fatal|error): ', '', told) or 'it gave no reason'}")
