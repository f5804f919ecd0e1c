"""Keys that are made when a test runs, and what signs with them: real gpg and ssh-keygen."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_UNQUOTED = ":---"


class OpenPgp:
    """A person's keyring. Times are seconds since 1970."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def key(self, name: str, *, at: float | None = None, expires: str = "0", algorithm: str = "ed25519") -> str:
        """Make a key that signs, and return its fingerprint."""
        self.gpg("--quick-gen-key", f"{name} <{name.lower()}@example.com>", algorithm, "sign", expires, at=at)
        return self.fingerprint(f"{name.lower()}@example.com")

    def fingerprint(self, whom: str) -> str:
        listed = self.gpg("--with-colons", "--list-keys", whom).decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def public(self, *whom: str) -> bytes:
        return self.gpg("--armor", "--export", *whom)

    def revocation(self, fingerprint: str) -> bytes:
        """The certificate that gpg makes for each key, against the day when it is needed."""
        text = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        return text[text.index(_UNQUOTED) + 1 :].encode()

    def sign(self, payload: bytes, fingerprint: str, *options: str, at: float | None = None) -> bytes:
        return self.gpg("--armor", "--local-user", fingerprint, *options, "--detach-sign", stdin=payload, at=at)

    def signs(self, fingerprint: str, *options: str, at: float | None = None) -> list[str]:
        """Options of git that sign as this key."""
        program = self.home / f"gpg-{fingerprint[-8:]}-{at or 'now'}-{len(options)}"
        program.write_text("#!/bin/sh\nexec gpg " + " ".join((*self._options(at), *options, '"$@"')) + "\n")
        program.chmod(0o700)
        return ["-c", f"gpg.program={program}", "-c", f"user.signingKey={fingerprint}!"]

    def gpg(self, *arguments: str, stdin: bytes = b"", at: float | None = None) -> bytes:
        command = ["gpg", *self._options(at), "--passphrase=", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=True)

    def _options(self, at: float | None) -> list[str]:
        faked = [f"--faked-system-time={at:.0f}"] if at is not None else []
        return ["--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode=loopback", *faked]


class SshKey:
    """A key of SSH, made in `folder`."""

    def __init__(self, folder: Path, name: str, *, kind: str = "ed25519") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        self._name = name
        keygen("-q", "-t", kind, "-N", "", "-C", name, "-f", str(self.path))

    @property
    def public(self) -> str:
        return self.path.with_suffix(".pub").read_text()

    @property
    def fingerprint(self) -> str:
        return keygen("-l", "-f", str(self.path)).decode().split()[1]

    def allowed(self, *options: str) -> bytes:
        """A line of allowed_signers."""
        given = f"{','.join(options)} " if options else ""
        return f"{self._name}@example.com {given}{self.public}".encode()

    @property
    def signs(self) -> Sequence[str]:
        """Options of git that sign with this key."""
        return ["-c", "gpg.format=ssh", "-c", f"user.signingKey={self.path}"]

    def sign(self, payload: bytes, *, namespace: str, certificate: bool = False) -> bytes:
        path = self.path.with_name(f"{self.path.name}-cert.pub") if certificate else self.path
        return keygen("-Y", "sign", "-q", "-f", str(path), "-n", namespace, stdin=payload)

    def certify(self, authority: SshKey, *, principal: str) -> None:
        """Have an authority sign the key itself."""
        keygen("-q", "-s", str(authority.path), "-I", principal, "-n", principal, str(self.path.with_suffix(".pub")))


def keygen(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["ssh-keygen", *arguments], input=stdin, capture_output=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def running_in(folder: Path) -> list[str]:
    """The commands that run and name the folder."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if str(folder) in command]


def day(text: str) -> float:
    """Seconds since 1970 at the beginning of a day."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
