"""Whatever hypothesis writes is read as the real kubectl reads it.

GUARD_GOLDEN_EXAMPLES=2000 tries some hundred thousand texts; the few of a normal run take seconds.
"""

from __future__ import annotations

import os
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from hypothesis.strategies import DrawFn, SearchStrategy

from guard.base import codec
from tests.render import kubectl
from tests.render.golden import KIND
from tests.render.kubectl import Reading, typed
from tests.render.test_golden import read

EXAMPLES = int(os.environ.get("GUARD_GOLDEN_EXAMPLES", "8"))
# kubectl starts once for a list of texts.
in_batches = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# What Guard refuses though kubectl takes it; test_golden.py says why.
MEANT = re.compile(
    "stands twice|would leave out|byte order mark|has to end with a space"
    "|found unexpected ':'|while scanning a tag, did not find expected whitespace|levels deep"
)


def check(texts: list[str]) -> None:
    files = [text.encode() for text in texts]
    wrong = [
        (text, expected, found)
        for text, expected, found in zip(texts, kubectl.read(files), map(read, files), strict=True)
        if not agree(text, expected, found)
    ]
    assert not wrong, wrong[0]


def agree(text: str, expected: Reading, found: Reading) -> bool:
    if expected.complaint or found.complaint:
        # A merge may take the place of what cannot be written in JSON.
        meant = MEANT.search(found.complaint) or ("infinity and NaN" in found.complaint and "<<:" in text)
        return bool(found.complaint) and bool(expected.complaint or meant)
    return typed(expected.objects) == typed(found.objects)


def joined(first: str, second: str) -> str:
    return first + second


# ---- scalars

words = some.sampled_from(
    [
        "y",
        "no",
        "on",
        "OFF",
        "~",
        "null",
        "yEs",
        ".inf",
        "-.INF",
        ".nan",
        "<<",
        "=",
        "2024-01-02",
        "2024-1-2T1:2:3Z",
        "1:30",
        "0b-1",
        "a",
    ]
)
odd = some.text("0123456789+-._eExXoObBaAfFinNyYsStTzZ:~=", max_size=12)
longer = some.from_regex(r"[-+]?(0[xXoObB]?)?[0-9_]{1,25}(\.[0-9_]{0,20})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)
numbers = (
    some.integers().map(str)
    | some.integers(-(2**66), 2**66).map(str)
    | some.floats(allow_nan=False, allow_infinity=False).map(repr)
)
plain = words | odd | longer | numbers
letters = some.text(some.sampled_from("ab \t\n\r:#-'\"\\{}[],&*!|>%@`?\u00e9\u0085\u2028\ufeff\U0001f600\x7f\x01"), max_size=10)
single = letters.map(lambda text: "'" + text.replace("'", "''") + "'")
double = letters.map(lambda text: '"' + text.replace("\\", "\\n").replace('"', "\\x41") + '"')
escaped = some.text(max_size=8).map(lambda text: codec.encode(text).decode())
tags = some.sampled_from(["!!int ", "!!float ", "!!bool ", "!!null ", "!!str ", "!!binary ", "!!timestamp ", "! ", "!a "])
scalar = plain | single | double | escaped | some.builds(joined, tags, plain | single)


@in_batches
@given(some.lists(scalar, min_size=50, max_size=100))
def test_scalars_are_read_as_kubectl_reads_them(texts: list[str]) -> None:
    check([f"{KIND}v: {text}\n" for text in texts])


@in_batches
@given(some.lists(plain | single | escaped | some.builds(joined, tags, plain), min_size=50, max_size=100))
def test_keys_are_read_as_kubectl_reads_them(texts: list[str]) -> None:
    check([f"{KIND}{text}: v\n" for text in texts])


# ---- whole documents

# Each document begins with these, so that any part of it can be an alias.
BASE = "base:\n- &a {x: 1, y: [2]}\n- &b [1, two]\n- &c 1.0\n- &d text\n"
aliases = some.sampled_from(["*a", "*b", "*c", "*d", "&a {z: 1}", "&c no"])
simple = plain | some.sampled_from(["a b", "http://a:8/b", "a#b", "'it''s'", '"a\\tb"', "''"])


def flow(depth: int) -> SearchStrategy[str]:
    if depth == 0:
        return simple | aliases
    inner = flow(depth - 1)
    entries = some.lists(inner, max_size=3)
    lists = some.builds(listed, entries, some.sampled_from([", ", " , ", ",\n      "]))
    objects = entries.map(lambda parts: "{" + ", ".join(f"k{number}: {part}" for number, part in enumerate(parts)) + "}")
    return simple | aliases | lists | objects


def listed(parts: list[str], comma: str) -> str:
    return "[" + comma.join(parts) + "]"


@some.composite
def block_scalar(draw: DrawFn, indent: int) -> str:
    head = draw(some.sampled_from("|>")) + draw(some.sampled_from(["", "-", "+"])) + draw(some.sampled_from(["", "", "1", "2"]))
    lines = draw(some.lists(some.sampled_from(["a", "b c", "", " d", "# e", "- f", "g: h", "\ti", " ", "---"]), max_size=5))
    return head + "".join(f"\n{' ' * indent}{line}" for line in lines)


@some.composite
def block(draw: DrawFn, indent: int, depth: int) -> str:
    """A list or an object that begins in a new line."""
    is_list = draw(some.booleans())
    pad = "\n" + " " * indent
    text = ""
    for number in range(draw(some.integers(1, 3))):
        shape = draw(some.sampled_from(["{}", "{}", "'{}'", '"{}"', "? {}" + pad, "&d {}", "{} "]))
        key = "-" if is_list else draw(some.sampled_from(["", "", "", "<<:"])) or shape.format(f"k{number}") + ":"
        text += f"{pad}{key} {draw(value(indent + draw(some.integers(1, 3)), depth - 1))}"
    return text


def value(indent: int, depth: int) -> SearchStrategy[str]:
    leaf = flow(2) | block_scalar(indent) | some.just("") | some.just(f"a\n{' ' * indent}b")
    return leaf if depth <= 0 else leaf | block(indent, depth)


documents = block(0, 3).map(lambda text: KIND + BASE + "v:" + text.replace("\n", "\n  ") + "\n")


@in_batches
@given(some.lists(documents, min_size=8, max_size=20))
def test_documents_are_read_as_kubectl_reads_them(texts: list[str]) -> None:
    check(texts)


lines = some.sampled_from(
    [
        "kind: X",
        "kind: Z",
        "v: 1",
        "v: |",
        "  a",
        "- b",
        "---",
        "--- # c",
        "--- d",
        "---e",
        "...",
        "# f",
        "",
        " ",
        "\t",
        "%YAML 1.1",
    ]
)
ends = some.sampled_from(["\n", "\n", "\r\n", ""])
files = some.lists(some.builds(joined, lines, ends), max_size=8).map("".join)


@in_batches
@given(some.lists(files, min_size=50, max_size=100))
def test_files_are_cut_as_kubectl_cuts_them(texts: list[str]) -> None:
    check(texts)


# ---- JSON

json = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@in_batches
@given(some.lists(json, min_size=20, max_size=40), some.sampled_from(["", "\n", '{"kind":"Z"}', "\n---\nkind: Z\n"]))
def test_json_is_read_as_kubectl_reads_it(values: list[codec.Json], behind: str) -> None:
    check([codec.encode({"kind": "X", "v": value}).decode() + behind for value in values])
