"""Guard reads files as the real kubectl does, and where it does not, it is meant so."""

from __future__ import annotations

import re

import pytest

from guard.base.codec import Json, is_object
from guard.base.errors import RenderError
from guard.render.yaml import documents
from tests.render import kubectl
from tests.render.golden import FILES, KIND, SCALARS
from tests.render.kubectl import Reading, typed

# Files that the two do not read alike: what Guard complains of, or nothing where only kubectl complains.
MEANT: dict[bytes, str] = {
    # kubectl takes the last of two keys, and says nothing.
    b"kind: X\na: 1\na: 2\n": "the key 'a' stands twice",
    b"kind: X\na: {b: 1, b: 2}\n": "the key 'b' stands twice",
    b"kind: X\ntrue: a\nyes: b\n": "the key 'true' stands twice",
    b"kind: X\n1: a\n'1': b\n": "the key '1' stands twice",
    b"kind: X\nv: {1e39: a, 3.5e38: b}\n": "the key '.inf' stands twice",
    b'{"kind":"X","a":1,"a":2}': "the key 'a' stands twice",
    rb'{"kind":"X","\u0061":1,"a":2}': "the key 'a' stands twice",
    # It loses these documents.
    b"kind: X\n...\nkind: Z\n": "kubectl would leave out what stands here",
    b"kind: X\n... kind: Z\n": "kubectl would leave out what stands here",
    b"kind: X\n...\n[\n": "kubectl would leave out what stands here",
    b"kind: X\n...\n%YAML 1.1\n---\nkind: Z\n": "kubectl would leave out what stands here",
    b" kind: X\nv: 1\n": "kubectl would leave out what stands here",
    b"{kind: X\n}\nv: 1\n": "kubectl would leave out what stands here",
    b'---\n{"kind":"X"}\n{"kind":"Z"}': "kubectl would leave out what stands here",
    b'{kind: X}\n{"kind":"Z"}\n': "kubectl would leave out what stands here",
    "kind: X\u2028---\u2028kind: Z\n".encode(): "kubectl would leave out what stands here",
    # It makes U+FFFD of what is no text.
    b"kind: X\nv: \xff\n": "is not UTF-8",
    b"kind: X\nv: \xed\xa0\x80\n": "is not UTF-8",
    b'{"kind":"X","v":"\xff"}': "is not UTF-8",
    # It makes the mark a part of the name.
    "kind: X\n\ufeffv: 1\n".encode(): "a byte order mark in the middle of a document",
    # A merge takes its place.
    b"kind: X\nv: {a: .inf, <<: {a: 1}}\n": "infinity and NaN",
    # Bounds.
    b"kind: X\nv: " + b"[" * 250 + b"]" * 250: "is nested more than 200 levels deep",
    b'{"kind":"X","v":' + b"[" * 250 + b"]" * 250 + b"}": "is nested more than 200 levels deep",
    # libyaml is newer than what Go made of it, and takes less here
    rb"""kind: X
v: "\'"
""": "found unknown escape character",
    b"kind: X\nv: [a:]\n": "found unexpected ':'",
    b"kind: X\nv: {a:}\n": "found unexpected ':'",
    b"kind: X\nv: !a] b\n": "did not find expected whitespace or line break",
    b"kind: X\nv: [!, a]\n": "a tag has to end with a space",
    # and more there, where a text can mean but one thing.
    rb"""kind: X
v: "\/"
""": "",
    b"kind: X\nv: [a ?b]\n": "",
    b"kind: X\nv: {a: b?}\n": "",
    # kubectl wants four bytes more behind JSON before it looks for YAML, and takes other spaces than JSON's before it.
    b'{"kind":"X"} # c': "",
    b'\x0b{"kind":"X"}': "control characters are not allowed",
    '\u00a0{"kind":"X"}'.encode(): "is no object",
}


def read(data: bytes) -> Reading:
    """What Guard makes of a file, where kubectl would also look whether the objects are some."""
    objects: list[Json] = []
    try:
        for document in documents("a.yaml", data):
            if not is_object(document.value) or not document.value.get("kind") or not isinstance(document.value["kind"], str):
                return Reading(objects=objects, complaint=f"a.yaml:{document.line}:1: is no object")
            objects.append(document.value)
    except RenderError as error:
        return Reading(objects=objects, complaint=str(error))
    return Reading(objects=objects)


def scalar_file(text: str) -> bytes:
    return f"{KIND}v: {text}\n".encode()


@pytest.fixture(scope="module")
def readings() -> dict[bytes, Reading]:
    """What kubectl makes of all files."""
    files = [*(scalar_file(text) for text, _ in SCALARS), *FILES, *MEANT]
    return dict(zip(files, kubectl.read(files), strict=True))


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=lambda part: repr(part)[:40])
def test_scalars_are_to_kubectl_what_the_table_says(readings: dict[bytes, Reading], text: str, value: Json) -> None:
    reading = readings[scalar_file(text)]
    assert typed(reading.objects) == typed([{"kind": "X", "v": value}])
    assert not reading.complaint


@pytest.mark.parametrize("file", FILES, ids=lambda file: repr(file)[:60])
def test_files_are_read_as_kubectl_reads_them(readings: dict[bytes, Reading], file: bytes) -> None:
    expected, found = readings[file], read(file)
    assert bool(found.complaint) == bool(expected.complaint), (expected.complaint, found.complaint)
    if found.complaint:
        assert re.match(r"a\.yaml:[1-9][0-9]*:[1-9][0-9]*: ", found.complaint)
    else:
        assert typed(found.objects) == typed(expected.objects)


@pytest.mark.parametrize("file", MEANT, ids=lambda file: repr(file)[:60])
def test_what_is_read_in_another_way_is_refused_or_harmless(readings: dict[bytes, Reading], file: bytes) -> None:
    expected, found = readings[file], read(file)
    assert bool(expected.complaint) != bool(found.complaint), (expected.complaint, found.complaint)
    assert MEANT[file] in found.complaint
