"""Logs: one line of JSON an event (or text for a terminal), in bytes straight to a stream."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Literal, TypeAlias, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from guard.base import codec
from guard.telemetry.failures import reported

Form: TypeAlias = Literal["json", "console"]

# Compared in lower case and without `-` and `_`, so that STRING_DATA and stringData are one.
SECRET_KEYS = frozenset({"password", "token", "authorization", "data", "stringdata"})
SECRET_ENDINGS = ("password", "token")
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def configure(*, form: Form, stream: BinaryIO) -> None:
    """Send every log of this process to `stream`: Guard's own from info on, those of libraries from warning on.

    Values under the names of secrets are dropped, credentials in URLs cut out, and errors told without their texts where nobody
    foresaw those. A stream that cannot be written to loses
    lines; it never fails the caller. Calling again replaces what was configured before.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time" if form == "json" else "timestamp"),
            structlog.processors.ExceptionRenderer(reported),
            _without_secrets,
            _json if form == "json" else _console(colors=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _Forgiving(stream))),
        # Not cached, since loggers are made at import and a test may configure anew.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge(level=logging.WARNING))


def unawaited(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """For an event loop: what it says of an error that nobody awaited or caught. Its own words would hold the error's text, and
    the arguments of what failed.
    """
    task = context.get("future") or context.get("task")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    get("loop").error("an error that nobody caught", task=name, exc_info=cast("BaseException | None", context.get("exception")))


def get(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `name` as their `component`."""
    return cast("FilteringBoundLogger", structlog.get_logger(component=name))


class _Forgiving:
    """A stream whose reader may go away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except (OSError, ValueError):  # a full disk, a closed pipe, a closed stream
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


class _Bridge(logging.Handler):
    """Hands the records of the standard library's logging on."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            get(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 (what a library logs must not fail the library)
            self.handleError(record)


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return cast("EventDict", _safe(event))


def _safe(value: object) -> object:
    match value:
        case str():
            return CREDENTIALS.sub("", value) if "://" in value else value
        case Mapping():
            entries = cast("Mapping[object, object]", value)
            return {key: _safe(item) for key, item in entries.items() if not _is_secret(key)}
        case list() | tuple():
            return [_safe(item) for item in cast("Sequence[object]", value)]
        case _:
            return value


def _is_secret(key: object) -> bool:
    name = str(key).lower().replace("_", "").replace("-", "")
    return name in SECRET_KEYS or name.endswith(SECRET_ENDINGS)


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    line = {"time": event.pop("time", ""), "level": event.pop("level", ""), "event": event.pop("event", ""), **event}
    try:
        return codec.encode(line)
    except (TypeError, ValueError, RecursionError):  # a value that JSON has no form for, or text that UTF-8 has none for
        return codec.encode({key: _text(value) for key, value in line.items()})


def _text(value: object) -> str:
    return CREDENTIALS.sub("", str(value)).encode("utf-8", "backslashreplace").decode()


def _console(*, colors: bool) -> Processor:
    render = structlog.dev.ConsoleRenderer(colors=colors)

    def encoded(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return render(logger, method, event).encode("utf-8", "backslashreplace")

    return encoded
