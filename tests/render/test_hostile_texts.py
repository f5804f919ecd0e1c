"""What a file holds may be made to take for ever, or all memory: each is read in a process with limits, as Guard does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from subprocess import PIPE

import pytest
from msgspec import Struct

from guard.base import codec
from guard.render.worker import MEMORY

MIB = 1024 * 1024
FULL = 16 * MIB  # of a file, at most
SECONDS = 15  # of a processor; what grows with the square of the text would need hours

# Lengths are eight bytes.
PROGRAM = f"""
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from guard.base import codec
from guard.render.manifests import parse
while header := sys.stdin.buffer.read(8):
    text = sys.stdin.buffer.read(int.from_bytes(header, "big"))
    most = int(time.process_time()) + {SECONDS}
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    parsed = parse("a.yaml", text)
    faults = [fault.where + ": " + fault.message for fault in parsed.faults]
    answer = codec.encode({{"manifests": len(parsed.manifests), "faults": faults}})
    sys.stdout.buffer.write(len(answer).to_bytes(8, "big") + answer)
    sys.stdout.flush()
"""


class Answer(Struct, frozen=True):
    manifests: int
    faults: list[str]


class Reader:
    """A process that reads one text after another, and is started anew when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, text: str) -> Answer:
        """What comes of a text. Fails when that takes more than it may."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=PIPE, stdout=PIPE)
        given, told = self._process.stdin, self._process.stdout
        assert given is not None
        assert told is not None
        data = text.encode()
        given.write(len(data).to_bytes(8, "big") + data)
        given.flush()
        answer = told.read(int.from_bytes(told.read(8), "big"))
        assert answer, f"the reader ended with {self._process.wait()}"
        return codec.decode_as(answer, Answer)

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


@pytest.fixture(scope="module")
def read() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def numbered(line: str, count: int) -> str:
    """A line over and over; `<n>` is its number, `<m>` that of the one before."""
    return "".join(line.replace("<n>", str(number)).replace("<m>", str(number - 1)) for number in range(1, count))


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "brackets": (lambda: "a: " + "[" * FULL, "a.yaml:1:204: is nested more than 200 levels deep"),
    "brackets of JSON": (lambda: '{"a":' + "[" * FULL, "a.yaml:1:206: is nested more than 200 levels deep"),
    "braces of JSON": (lambda: '{"a":' * (FULL // 5), "a.yaml:1:1006: is nested more than 200 levels deep"),
    "dashes": (lambda: "- " * (FULL // 2), "a.yaml:1:403: is nested more than 200 levels deep"),
    "blocks": (lambda: "\n".join(" " * depth + "a:" for depth in range(5000)), "is nested more than 200 levels deep"),
    "keys that are objects": (lambda: "a: " + "{" * FULL, "a.yaml:1:5: a key has to be a text"),
    "directives": (lambda: numbered("%TAG !<n>! x\n", FULL // 18), "a.yaml:1:1: kubectl takes no directives"),
    "directives behind": (lambda: "a: 1\n" + numbered("%TAG !<n>! x\n", FULL // 18), "a.yaml:2:1: kubectl would leave out"),
    "exponential aliases": (
        lambda: "a0: &a0 [x]\n" + numbered("a<n>: &a<n> [*a<m>, *a<m>]\n", 1000),
        "stand for more than 3 MiB",
    ),
    "exponential merges": (
        lambda: "a0: &a0 {k: [x]}\n" + numbered("a<n>: &a<n> {<<: *a<m>, b<n>: *a<m>}\n", 1000),
        "stand for more",
    ),
    "exponential keys": (lambda: f"a: &a {'x' * 100_000}\nb: [{'{*a : 1},' * 100_000}]\n", "stand for more than 3 MiB"),
    "quadratic aliases": (lambda: f"a: &a {'x' * 100_000}\nb: [{'*a,' * 100_000}]\n", "stand for more than 3 MiB"),
    "quadratic merges": (
        lambda: "a: &a\n" + numbered("  k<n>: 1\n", 50_000) + "b:\n" + "- <<: *a\n" * 50_000,
        "stand for more than 3 MiB",
    ),
    "aliases of many documents": (lambda: ("---\na: &a [x, x, x]\nb: [" + "*a," * 1000 + "]\n") * 1000, "stand for more"),
    "an alias of itself": (lambda: "a: &a {b: [*a]}", "a.yaml:1:12: the anchor 'a' contains itself"),
    "a merge of itself": (lambda: "a: &a {<<: *a}", "a.yaml:1:12: the anchor 'a' contains itself"),
    "a quote without end": (lambda: "a: '" + "x\n" * (FULL // 2), "unexpected end of stream"),
    "a quote of JSON without end": (lambda: '{"a": "' + "\\\\" * (FULL // 2), "unexpected end of stream"),
    "many keys, and one of them twice": (
        lambda: numbered("k<n>: 1\n", 100_000) + "k5: 1\n",
        "the key 'k5' stands twice, first in line 5",
    ),
    "a key": (lambda: "x" * FULL + ": 1", "mapping values are not allowed"),
    "colons": (lambda: ":" * FULL, "mapping values are not allowed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_grow_without_bounds_is_refused(read: Reader, name: str) -> None:
    text, message = REFUSED[name]
    answer = read(text())
    assert message in answer.faults[-1]
    assert answer.manifests == 0
    assert max(map(len, answer.faults)) < 400


# Each a value of one object.
LARGE: dict[str, Callable[[], str]] = {
    "a text": lambda: "x" * FULL,
    "words": lambda: "x " * (FULL // 2),
    "lines": lambda: "x\n  " * (FULL // 4),
    "a block": lambda: "|\n" + "  x\n" * (FULL // 4),
    "blank lines": lambda: "|+\n" + "\n" * FULL,
    "growing spaces": lambda: "|\n" + "".join(" " * number + "\n" for number in range(5000)),
    "escapes": lambda: '"' + "\\n" * (FULL // 2) + '"',
    "a comment": lambda: "1 #" + "#" * FULL,
    "an integer": lambda: "1" * FULL,
    "a hexadecimal": lambda: "0x" + "f" * FULL,
    "an octal": lambda: "0" + "7" * FULL,
    "an exponent": lambda: "1e" + "1" * FULL,
    "a fraction": lambda: ".1" + "_1" * (FULL // 2),
    "a binary": lambda: "!!binary " + "A" * MIB,
    "a timestamp": lambda: "!!timestamp 2020-01-01 1:1:1." + "1" * FULL,
    "lists": lambda: "[" + "[]," * 100_000 + "]",
    "anchors": lambda: "[" + numbered("&a<n> 1,", 50_000) + "]",
    "anchors given anew": lambda: "[" + "&a 1," * 50_000 + "]",
    "keys": lambda: "\n  " + numbered("k<n>: 1\n  ", 50_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_values_are_read_in_time(read: Reader, name: str) -> None:
    text = f"apiVersion: v1\nkind: X\nmetadata: {{name: a}}\nv: {LARGE[name]()}\n"
    assert read(text) == Answer(manifests=1, faults=[])


OBJECT = '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}}'


@pytest.mark.parametrize("text", ["---\n", "---\n~\n", "# c\n---\n", "\n", "\r\n", " \n"])
def test_very_many_empty_documents_are_none(read: Reader, text: str) -> None:
    assert read(text * 100_000) == Answer(manifests=0, faults=[])


@pytest.mark.parametrize("text", [f"---\n{OBJECT}\n", f"{OBJECT}\n", OBJECT])
def test_very_many_objects_are_found(read: Reader, text: str) -> None:
    assert read(text * 10_000) == Answer(manifests=10_000, faults=[])


@pytest.mark.parametrize("text", ["---\na: 1\n", "{}", "---\n[]\n", '{"a": "\\ud800"}'])
def test_of_very_many_faults_enough_are_told(read: Reader, text: str) -> None:
    assert len(read(text * 1_000_000).faults) == 1000
