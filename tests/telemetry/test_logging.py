from __future__ import annotations

import asyncio
import gc
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from guard.base import codec
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError, RenderError
from guard.telemetry import Form, configure, get, unawaited
from guard.telemetry.failures import MOST_CHAINED


class Output(io.BytesIO):
    @property
    def lines(self) -> list[JsonObject]:
        return [codec.decode(line) for line in self.getvalue().splitlines()]

    @property
    def text(self) -> str:
        return self.getvalue().decode()


@pytest.fixture
def output() -> Iterator[Output]:
    stream = Output()
    root = logging.getLogger()
    handlers = list(root.handlers)
    configure(form="json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_event_first(output: Output) -> None:
    get("sync").info("revision applied", sync="guard-system/apps", objects=3)
    (line,) = output.lines
    assert list(line)[:3] == ["time", "level", "event"]
    assert set(line) == {"time", "level", "event", "component", "sync", "objects"}
    assert (line["level"], line["event"], line["component"], line["objects"]) == ("info", "revision applied", "sync", 3)
    assert line["time"].endswith("Z")


def test_debug_is_left_out(output: Output) -> None:
    get("sync").debug("detail")
    assert output.lines == []


@pytest.mark.parametrize(
    "key",
    ["password", "token", "authorization", "Authorization", "data", "stringData", "string_data", "access_token", "gitPassword"],
)
def test_values_under_names_of_secrets_are_dropped(output: Output, key: str) -> None:
    get("sync").info("event", **{key: "hunter2", "request": {key: "hunter2", "items": [{key: "hunter2", "kept": 1}]}})
    assert "hunter2" not in output.text
    assert output.lines[0]["request"] == {"items": [{"kept": 1}]}


def test_credentials_in_urls_are_cut_out(output: Output) -> None:
    get("source").warning("cannot fetch https://bot:hunter2@git.example.com/a.git", url="ssh://git:hunter2@git.example.com/a")
    assert "hunter2" not in output.text
    assert output.lines[0]["event"] == "cannot fetch https://git.example.com/a.git"


def test_an_exception_is_shown_without_its_credentials(output: Output) -> None:
    try:
        raise ValueError("https://bot:hunter2@git.example.com is down")  # noqa: TRY301 (needs a traceback)
    except ValueError:
        get("source").exception("fetch failed")
    assert "ValueError" in output.lines[0]["exception"]
    assert "hunter2" not in output.text


def test_a_value_without_a_json_form_is_written_as_text(output: Output) -> None:
    get("sync").info("event", path=Path("/a/b"), problem=KeyError("k"), name="a\udcff", count=1)
    (line,) = output.lines
    assert line["path"] == "/a/b"
    assert line["name"] == "a\\udcff"
    assert line["event"] == "event"


def test_warnings_of_libraries_come_through_and_their_chatter_does_not(output: Output) -> None:
    library = logging.getLogger("aiohttp.server")
    library.info("chatter")
    library.warning("slow client %s", "10.0.0.1")
    (line,) = output.lines
    assert (line["level"], line["event"], line["component"]) == ("warning", "slow client 10.0.0.1", "aiohttp.server")


def test_an_exception_of_a_library_comes_with_its_traceback(output: Output) -> None:
    try:
        raise ValueError("bad")  # noqa: TRY301 (needs a traceback)
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    shown = output.lines[0]["exception"]
    assert "test_logging.py" in shown
    assert shown.endswith("ValueError")


def raised(*errors: Exception) -> Exception:
    """The last of them, which came from the one before, and so on."""
    cause: Exception | None = None
    for error in errors:
        try:
            raise error from cause  # noqa: TRY301 (needs a traceback)
        except Exception as caught:  # noqa: BLE001 (any)
            cause = caught
    assert cause is not None
    return cause


INVALID = ApiStatusError('data: Invalid value: "hunter2"', code=422, reason="Invalid")


@pytest.mark.case(39)
def test_the_text_of_an_error_that_nobody_foresaw_is_not_written_nor_are_the_values_of_its_frames(output: Output) -> None:
    error = ExceptionGroup("hunter2", [KeyError("hunter2"), raised(INVALID, ValueError("hunter2"))])
    get("sync").error("an attempt failed", exc_info=raised(error, RuntimeError("hunter2")))
    shown = output.lines[0]["exception"]
    for line in (
        "RuntimeError",
        "which came from:",
        "ExceptionGroup",
        "one of these errors:",
        "KeyError",
        "ApiStatusError: 422 Invalid",
    ):
        assert line in shown.splitlines()
    assert "raise error from cause" in shown
    assert "hunter2" not in output.text


def test_what_guard_or_the_system_says_itself_is_written(output: Output) -> None:
    cause = FileNotFoundError(2, "No such file or directory", "/data/x")
    get("sync").error("failed", exc_info=raised(cause, RenderError("is no YAML", where="a.yaml:3")))
    shown = output.lines[0]["exception"].splitlines()
    assert "RenderError: a.yaml:3: is no YAML" in shown
    assert "FileNotFoundError: [Errno 2] No such file or directory: '/data/x'" in shown


def test_errors_that_come_from_one_another_for_ever_come_to_an_end(output: Output) -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    get("sync").error("failed", exc_info=first)
    assert output.lines[0]["exception"].splitlines().count("KeyError") == MOST_CHAINED // 2


@pytest.mark.case(39)
def test_what_fails_in_an_event_loop_with_nobody_to_catch_it_is_told_without_what_it_held(output: Output) -> None:
    def fails(value: str) -> None:
        raise ValueError(value)

    async def fails_later(value: str) -> None:
        fails(value)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(unawaited)
        asyncio.get_running_loop().call_soon(fails, "hunter2")
        forgotten = asyncio.create_task(fails_later("hunter2"), name="forgotten")
        await asyncio.wait([forgotten])
        del forgotten
        gc.collect()

    # The loop of all tests may just tell of something that another one has left, now or when that is collected.
    gc.collect()
    output.truncate(0)
    output.seek(0)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())
    assert {line["event"] for line in output.lines} == {"an error that nobody caught"}
    assert [line["task"] for line in output.lines] == ["", "forgotten"]
    assert "in fails" in output.lines[0]["exception"]
    assert "hunter2" not in output.text


def test_configuring_again_replaces_the_stream(output: Output) -> None:
    log = get("sync")
    second = Output()
    configure(form="json", stream=second)
    log.info("event")
    logging.getLogger("git").warning("once")
    assert output.lines == []
    assert len(second.lines) == 2


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_stream_that_is_gone_does_not_fail_the_caller(output: Output, form: Form) -> None:
    stream = io.BytesIO()
    configure(form=form, stream=stream)
    stream.close()
    get("sync").info("event")
    assert output.lines == []


def test_the_console_form_is_text_without_colours_when_piped(output: Output) -> None:
    stream = Output()
    configure(form="console", stream=stream)
    get("sync").warning("revision applied", objects=3, token="hunter2")
    assert "revision applied" in stream.text
    assert "objects=3" in stream.text
    assert "\x1b" not in stream.text
    assert "hunter2" not in stream.text
    assert output.lines == []
