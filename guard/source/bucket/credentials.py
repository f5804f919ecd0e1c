"""What a Secret, or a folder of files, says about how to get into a bucket; and what Guard's surroundings give it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

from msgspec import Struct

from guard.base.errors import SourceError
from guard.source.places import shown

# Keys of a Secret: as users of Flux know them, and as AWS names them in an environment.
KEYS = {
    "accesskey": "access_key",
    "AWS_ACCESS_KEY_ID": "access_key",
    "secretkey": "secret_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "sessiontoken": "session_token",
    "AWS_SESSION_TOKEN": "session_token",
    "ca.crt": "ca_certificate",
}
# Between them and what is asked they wait on nobody for longer; botocore's own defaults are a minute each, five times.
_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 5, 10, 2


class BucketCredentials(Struct, frozen=True):
    """Without `access_key` what Guard's surroundings give is used. `ca_certificate` stands in for the machine's authorities."""

    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    ca_certificate: str = ""

    def __repr__(self) -> str:
        told = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"BucketCredentials({', '.join(f'{name}=***' for name in told)})"


def bucket_credentials_of(values: Mapping[str, bytes]) -> BucketCredentials:
    """The credentials that the (decoded) data of a Secret hold, or the files of a folder, by name; others are left alone.

    Raises SourceError that names the key which is not what it has to be, and never its value. A Secret that holds none of the
    keys is a fault: it never stands for what Guard's surroundings give.
    """
    texts: dict[str, str] = {}
    for key, field in KEYS.items():
        if key not in values:
            continue
        if field in texts:
            raise SourceError(f"the credentials hold {key} under another name as well", hint="leave one of them out")
        texts[field] = _text(key, values[key])
    found = BucketCredentials(**texts)
    if not found.access_key and (found.secret_key or found.session_token or not found.ca_certificate):
        raise SourceError("the credentials lack accesskey", hint="a Secret for a bucket holds accesskey and secretkey, or ca.crt")
    if found.access_key and not found.secret_key:
        raise SourceError("the credentials lack secretkey, which belongs to accesskey")
    return found


def _text(key: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{key} of the credentials is not text") from error
    if key == "ca.crt":
        return text
    # Editors and `kubectl create secret --from-file` leave a newline behind it.
    text = text.rstrip("\r\n")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SourceError(f"{key} of the credentials holds more than one line, or characters that no key has")
    return text


class Frozen(Protocol):
    """botocore's credentials at one moment."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class _Credentials(Protocol):
    def get_frozen_credentials(self) -> Frozen: ...


class _Session(Protocol):
    def get_credentials(self) -> _Credentials | None: ...
    def get_config_variable(self, logical_name: str) -> object: ...
    def set_config_variable(self, logical_name: str, value: str) -> None: ...
    def set_default_client_config(self, client_config: object) -> None: ...


class _Sessions(Protocol):
    def Session(self) -> _Session: ...  # noqa: N802 (botocore's)


class _Configs(Protocol):
    def Config(self, **options: object) -> object: ...  # noqa: N802 (botocore's)


class Login:
    """Who asks: those of `given` that hold a key, otherwise botocore's chain of environment, web identity, shared files,
    containers and machines; the first that gives some counts. `region` is where a web identity is shown, unless the
    environment names one.
    """

    def __init__(self, given: BucketCredentials, *, region: str) -> None:
        self._given = given
        self._region = region
        self._ambient: _Credentials | None = None

    def frozen(self) -> Frozen:
        """As they are now, renewed where they would soon expire. Blocks. Raises SourceError."""
        given = self._given
        if given.access_key:
            return _Static(access_key=given.access_key, secret_key=given.secret_key, token=given.session_token or None)
        errors = _errors()
        try:
            if self._ambient is None:
                self._ambient = _session(self._region).get_credentials()
            if self._ambient is not None:
                return self._ambient.get_frozen_credentials()
        except errors as error:
            self._ambient = None
            raise SourceError(
                f"Guard's surroundings give it no credentials: {shown(str(error), most=300)}",
                hint="check the web identity or role that Guard runs with, or name a Secret in secretRef",
            ) from None
        raise SourceError(
            "there are no credentials for the bucket",
            hint="name a Secret in secretRef, or give Guard's service account a web identity",
        )


class _Static(Struct, frozen=True, kw_only=True):
    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Static(***)"


def _session(region: str) -> _Session:
    session = cast("_Sessions", importlib.import_module("botocore.session")).Session()
    configs = cast("_Configs", importlib.import_module("botocore.config"))
    session.set_default_client_config(
        configs.Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries={"total_max_attempts": _TRIES})
    )
    if session.get_config_variable("region") is None:
        session.set_config_variable("region", region)
    return session


class _Exceptions(Protocol):
    BotoCoreError: type[Exception]
    ClientError: type[Exception]


def _errors() -> tuple[type[Exception], ...]:
    exceptions = cast("_Exceptions", importlib.import_module("botocore.exceptions"))
    return (exceptions.BotoCoreError, exceptions.ClientError, OSError)
