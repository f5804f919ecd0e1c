from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from guard.base import codec
from guard.base.codec import JsonObject
from guard.telemetry import Form, configure, get


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
    assert "ValueError: bad" in output.lines[0]["exception"]


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
