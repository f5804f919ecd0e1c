"""Decrypts files through the sops binary, with the given keys and nothing else: no network, no home, no agent, no key service.

What it decrypts comes by a pipe and stays in memory. The keys lie in no file either: sops gets them as open files of memory, a
keyring behind a link, since it looks for one below a folder. Its own words are never told: they may quote a value.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from guard.base.concurrency import for_each
from guard.render import process
from guard.render.encrypted import Format, recipients_of
from guard.render.keys import Keys
from guard.render.manifests import Fault, FaultsError
from guard.render.opened import Opened
from guard.render.process import Finished, Limits
from guard.render.scratch import scratch
from guard.state.snapshot import File

_NAME = "sops"
# A file of 15 MiB took sops 4 s on a machine with five times the work that it could do. It has no more than the file to give out.
LIMITS = Limits(seconds=30, memory=512 * 1024 * 1024, output=32 * 1024 * 1024)

# Exit codes of sops (its cmd/sops/codes).
_ALTERED, _MAC_MISMATCH, _NO_KEY = 25, 51, 128
# Its words, which it breaks into lines.
_DAMAGED = re.compile(rb"failed\s+to\s+read\s+header|armor\s+decoding\s+failed|invalid\s+armor")
_UNDER_PASSPHRASE = re.compile(rb"gpg-agent|passphrase")
_BAD_IDENTITY = re.compile(rb"Errors\s+while\s+loading")
_BAD_VERSION = re.compile(rb"Version\s+string\s+empty|No\s+Major\.Minor\.Patch")

# None of them is guessable by anybody who reads what it helped to name.
_SALT = secrets.token_bytes(32)

NO_KEYS = "name the Secret that holds its private key in spec.decryption.secretRef of the Sync"
_EDITED = "it was edited without sops, or put together of others"
_EDIT = "change it by `sops edit`, or encrypt it again, and commit what that writes"


class Encrypted(Struct, frozen=True):
    """A file that sops has encrypted, and how it reads it."""

    file: File
    format: Format


class Decryption:
    """One set of keys. `directory` is where scratch folders may be made, which hold neither keys nor values; `turns` bounds what
    runs at once.
    """

    def __init__(self, keys: Keys, *, directory: Path, turns: asyncio.Semaphore, limits: Limits = LIMITS) -> None:
        self.keys = keys
        self.digest = keys.digest(_SALT)
        self._directory = directory
        self._turns = turns
        self._limits = limits
        self._held: dict[tuple[str, str], Opened] = {}

    async def open(self, files: Sequence[Encrypted]) -> list[Opened]:
        """The same files decrypted, in their order. Raises FaultsError; another RenderError where sops fails itself."""
        if not files:
            return []
        binary = process.find(_NAME)
        with _in_memory(self.keys.age) as age, _in_memory(self.keys.pgp) as pgp:
            async with scratch(self._directory) as made:
                # Where sops looks for a keyring (its pgp/keysource.go): then it needs no gpg and no agent.
                (made.home / "secring.gpg").symlink_to(_path(pgp))
                environment = {"SOPS_AGE_KEY_FILE": _path(age), "GNUPGHOME": str(made.home), "AWS_EC2_METADATA_DISABLED": "true"}

                async def run(encrypted: Encrypted) -> Opened | Fault:
                    async with self._turns:
                        done = await process.run(
                            binary,
                            ["decrypt", f"--input-type={encrypted.format}", f"--output-type={encrypted.format}"],
                            folder=made.files,
                            scratch=made,
                            limits=self._limits,
                            where=encrypted.file.path,
                            given=encrypted.file.data,
                            descriptors=(age, pgp),
                            environment=environment,
                        )
                    return self._opened(encrypted, done)

                # A file that takes too long or too much ends it for all: its like would take the turns of all Syncs.
                found = await for_each(files, run, at_once=len(files))
        if faults := [each for each in found if isinstance(each, Fault)]:
            raise FaultsError(faults)
        return [each for each in found if isinstance(each, Opened)]

    async def open_again(self, files: Sequence[Encrypted]) -> list[Opened]:
        """The same, without another run for what was among the files that were last asked for so: a build takes all of them again
        when one changes.
        """
        held = {key: opened for each in files if (opened := self._held.get(key := (each.file.path, each.file.blob)))}
        fresh = await self.open([each for each in files if (each.file.path, each.file.blob) not in held])
        held |= {(each.file.path, each.file.blob): each for each in fresh}
        self._held = held
        return [held[each.file.path, each.file.blob] for each in files]

    def _opened(self, encrypted: Encrypted, done: Finished) -> Opened | Fault:
        if done.status:
            message, hint = self._failure(encrypted.file.data, done)
            return Fault(where=encrypted.file.path, message=message, hint=hint)
        return Opened(file=encrypted.file, format=encrypted.format, data=done.output)

    def _failure(self, data: bytes, done: Finished) -> tuple[str, str]:
        """What sops's exit code means, and what to do."""
        if done.status == _NO_KEY:
            return self._unopened(data, done.told + done.output)
        if done.status == _MAC_MISMATCH:
            return f"the checksum that sops keeps of the file does not fit: {_EDITED}", _EDIT
        if done.status == _ALTERED:
            return f"a value of the file is not what sops made of it: {_EDITED}", _EDIT
        if _BAD_VERSION.search(done.told):
            return "the file does not say which version of sops made it", _EDIT
        return "is encrypted with SOPS, and sops cannot read it", "`sops decrypt` of the file says more"

    def _unopened(self, data: bytes, told: bytes) -> tuple[str, str]:
        place, recipients = self.keys.place, recipients_of(data)
        if _BAD_IDENTITY.search(told):
            return f"an age identity of {place} is damaged", "give it as age-keygen wrote it"
        if _DAMAGED.search(told):
            return "what sops keeps of its keys in the file is damaged", _EDIT
        if self.keys.pgp and _UNDER_PASSPHRASE.search(told):
            return (
                f"the OpenPGP key of {place} that opens it is under a passphrase",
                "there is nobody to ask for it: put an exported key without one into the Secret",
            )
        if recipients.services and not recipients.keys:
            return (
                f"is encrypted for {recipients} alone, which Guard does not ask",
                "encrypt it for an age or OpenPGP key as well",
            )
        return (
            f"no key of {place} opens it, which is encrypted for {recipients}",
            "put the private key of one of them into the Secret, or encrypt it for the Secret's key by `sops updatekeys`",
        )


def needed(decryption: Decryption | None, files: Sequence[Encrypted]) -> Decryption:
    """What opens files that are there. Raises FaultsError, naming all of them, where there is nothing."""
    if decryption is None:
        raise FaultsError([Fault(where=each.file.path, message="is encrypted with SOPS", hint=NO_KEYS) for each in files])
    return decryption


@contextmanager
def _in_memory(data: bytes) -> Generator[int]:
    """An open file without a name, that nobody writes to any more."""
    file = os.memfd_create("keys", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(file, data)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        yield file
    finally:
        os.close(file)


def _path(file: int) -> str:
    """Each time it is opened there it is read from its beginning."""
    return f"/proc/self/fd/{file}"
