"""One tree of errors.

    GuardError
      ConfigError            the user's configuration is wrong; Guard cannot start (exit code 2)
      SourceError            the desired state could not be fetched; tried again
        VerificationError    who made the revision cannot be told, or may not; stays out, looked at again
      RenderError            the desired state is wrong; stays out until the source changes
        NothingDeclared      the desired state is empty; stays out until somebody confirms that
      DependencyError        a Sync that has to be ready first is not; tried again when it is
        DependencyCycle      Syncs wait for one another; stays so until one of them changes
      ClusterError           the API server could not be asked, or answered with an error
        Unreachable          no answer at all
        ApiStatusError       an HTTP status >= 400 with a Kubernetes Status body
          ImmutableField     an object that stands there may not become what Git says
      CertificateError       a key or certificate cannot be read or used
      JournalError           a record could not be written
      ControlError           the running Guard could not be asked

An error carries what the user should do (`hint`) and where the fault lies (`where`). What Guard does about it follows from
its class alone, so that no caller has to read texts.
"""

from __future__ import annotations


class GuardError(Exception):
    """What is wrong, where, and what to do next; `str()` is one line for a terminal."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(GuardError):
    """The configuration cannot be used; the process ends with exit code 2."""


class SourceError(GuardError):
    """The source could not be fetched or read; the last good revision stays in force and the fetch is tried again."""


class VerificationError(SourceError):
    """A revision is not signed as the Sync asks for. It stays out, the last good one stays in force; `revision` is the one that
    was refused, `signer` who signed it as far as that is known: a name and the key's fingerprint.
    """

    def __init__(self, message: str, *, revision: str = "", signer: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.revision = revision
        self.signer = signer


class RenderError(GuardError):
    """The revision is wrong; it stays out as a whole until the source changes."""


class NothingDeclared(RenderError):
    """The revision declares nothing at all, or its folder is not there; it stays out unless somebody confirms that."""


class DependencyError(GuardError):
    """A Sync on which this one depends is not ready; the revision waits, what is in force stays."""


class DependencyCycle(DependencyError):
    """Syncs that depend on one another wait until one of them is changed."""


class ClusterError(GuardError):
    """The API server could not do what was asked."""


class Unreachable(ClusterError):
    """No answer from the API server: connection refused, reset, TLS failure or time-out. Always worth another try."""


class ApiStatusError(ClusterError):
    """The API server answered with an error. `code` is the HTTP status, `reason` the Status' reason (`NotFound`, ...), `fields`
    are those that its causes name, as it writes paths.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int,
        reason: str,
        retry_after: float | None = None,
        fields: tuple[str, ...] = (),
        where: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after
        self.fields = fields


class ImmutableField(ApiStatusError):
    """The API server would take the manifest, but not in the place of the object that is there. The message shows no value that
    is shown to nobody.
    """


class CertificateError(GuardError):
    """A key or certificate cannot be read, written or used."""


class JournalError(GuardError):
    """A record could not be written to the journal."""


class ControlError(GuardError):
    """The running Guard could not be asked, or refused to answer."""
