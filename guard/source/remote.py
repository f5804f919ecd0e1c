"""What git needs to reach one repository: its address, how to log in, and whom to believe. Secrets go through the environment of
git, and a private key through a file that is there while git runs; never through an argument, a URL or the configuration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guard.base.errors import ConfigError
from guard.source import files
from guard.source.address import check_url, origin
from guard.source.command import Output
from guard.source.credentials import GitCredentials, check_credentials
from guard.source.failures import GitFailed, failure

# The name that git knows the repository by. Its address is in the environment, too, so that none can pass for an option.
REMOTE = "source"

# git asks with `Username for '...': ` and `Password for '...': `, ssh with `Enter passphrase for key '...': `. That it
# did is all that ever shows when the passphrase is wrong.
_ASKPASS = """\
#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$GUARD_GIT_USERNAME" ;;
"Enter passphrase"*)
	printf '%s\\n' "$GUARD_GIT_PASSWORD"
	if [ "$GUARD_GIT_PASSWORD" ]; then echo 'guard: passphrase given'; else echo 'guard: no passphrase'; fi >&2
	;;
*) printf '%s\\n' "$GUARD_GIT_PASSWORD" ;;
esac
"""

# All that ssh goes by: with -F it reads no other file. The key and the host keys are said beside it.
_SSH_CONFIG = """\
AddKeysToAgent no
CheckHostIP no
GlobalKnownHostsFile /dev/null
IdentitiesOnly yes
IdentityAgent none
KbdInteractiveAuthentication no
LogLevel ERROR
NumberOfPasswordPrompts 1
PasswordAuthentication no
PreferredAuthentications publickey
StrictHostKeyChecking yes
UpdateHostKeys no
VerifyHostKeyDNS no
"""


class Remote:
    """`directory` is where git is run. Raises ConfigError and SourceError for an address or credentials that cannot work."""

    def __init__(self, *, url: str, credentials: GitCredentials, directory: Path, repository: Path) -> None:
        self._url = url
        self._scheme = check_url(url)
        if self._scheme == "file" and Path(url.removeprefix("file://")).resolve().is_relative_to(directory.resolve()):
            # The copies of others, whose credentials this one may not have.
            raise ConfigError(f"{url} is in Guard's own folder", hint="name the repository that the copy was made of")
        check_credentials(credentials, scheme=self._scheme)
        self._credentials = credentials
        self._directory = directory
        # In the repository's folder, which one process at a time fetches into.
        self._identity = repository / "guard-identity"
        self._known_hosts = repository / "guard-known-hosts"

    def prepare(self) -> None:
        """Write the files that hold no secret where they are missing. Raises OSError."""
        files.put(self._directory / "askpass", _ASKPASS, mode=0o700)
        if self._scheme == "ssh":
            files.put(self._directory / "ssh_config", _SSH_CONFIG, mode=0o600)
        if self._credentials.ca_certificate:
            files.put(self._ca, self._credentials.ca_certificate, mode=0o600)

    @contextmanager
    def identified(self) -> Generator[None]:
        """Have the private key and the host keys in files; for SSH only. What a killed process left there is taken away, too."""
        if self._scheme != "ssh":
            yield
            return
        try:
            # ssh takes no key without a newline at its end, nor one with those of Windows.
            key = self._credentials.identity.replace("\r\n", "\n").rstrip("\n") + "\n"
            files.put(self._identity, key, mode=0o600)
            files.put(self._known_hosts, self._credentials.known_hosts, mode=0o600)
            yield
        finally:
            self._identity.unlink(missing_ok=True)
            self._known_hosts.unlink(missing_ok=True)

    def environment(self, *, leave_out: str = "") -> dict[str, str]:
        """The variables with which git reaches REMOTE. `leave_out` is a filter (git-rev-list(1)) by which the server, if it knows
        how, is to leave objects out, and git to take their absence for granted (a partial clone).
        """
        environment = {
            "GIT_ALLOW_PROTOCOL": self._scheme,
            "GIT_ASKPASS": str(self._directory / "askpass"),
            # Hosts that take a token alone do not care for the name, but git sends none without one.
            "GUARD_GIT_USERNAME": self._credentials.username or "git",
            "GUARD_GIT_PASSWORD": self._credentials.password,
        }
        if self._credentials.ca_certificate:
            environment["GIT_SSL_CAINFO"] = str(self._ca)
        if self._scheme == "ssh":
            environment |= self._ssh()
        return environment | _settings(self._configuration(leave_out))

    def failure(self, output: Output) -> GitFailed:
        """What it means that git failed."""
        return failure(output, credentials=self._credentials)

    def _configuration(self, leave_out: str) -> list[tuple[str, str]]:
        settings = [(f"remote.{REMOTE}.url", self._url)]
        if leave_out:
            settings.append((f"remote.{REMOTE}.promisor", "true"))
            settings.append((f"remote.{REMOTE}.partialCloneFilter", leave_out))
        if self._scheme in {"http", "https"}:
            if self._credentials.log_in:
                # A redirect would make git log in again, at another host.
                settings.append(("http.followRedirects", "false"))
            if token := self._credentials.bearer_token:
                settings.append((f"http.{origin(self._url)}.extraHeader", f"Authorization: Bearer {token}"))
        return settings

    def _ssh(self) -> dict[str, str]:
        # A shell splits the command, and ssh the names of files; relative to where git is run they are plain words.
        key, hosts = (path.relative_to(self._directory) for path in (self._identity, self._known_hosts))
        return {
            "GIT_SSH_COMMAND": f"ssh -F ssh_config -i {key} -o UserKnownHostsFile={hosts}",
            "GIT_SSH_VARIANT": "ssh",
            "SSH_ASKPASS": str(self._directory / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
        }

    @property
    def _ca(self) -> Path:
        return self._directory / f"ca-{hashlib.sha256(self._credentials.ca_certificate.encode()).hexdigest()[:16]}.pem"


def _settings(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Git's configuration as variables; git tells its helpers of them, but not `upload-pack`."""
    environment = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment
