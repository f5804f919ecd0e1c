from __future__ import annotations

import pytest

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render.yaml import documents


def values(text: str | bytes, *, path: str = "a.yaml") -> list[Json]:
    return [document.value for document in documents(path, text.encode() if isinstance(text, str) else text)]


FAULTS = [
    ("a: 1\nb: 2\n  c: 3\n", "3:4", "mapping values are not allowed in this context"),
    ("a:\n\t- b\n", "2:1", "cannot start any token"),
    ("a:\n  b: 1\n c: 2\n", "3:2", "did not find expected key"),
    ("a: [1, 2\n", "2:1", "did not find expected ',' or ']'"),
    ("a: {b: 1, c\n", "2:1", "did not find expected ',' or '}'"),
    ("a: 'b\n", "2:1", "unexpected end of stream"),
    ("a: |x\n", "1:5", "did not find expected comment or line break"),
    ('a: "\\q"\n', "1:5", "unknown escape character"),
    ("a: b: c\n", "1:5", "mapping values are not allowed"),
    ("a: @b\n", "1:4", "cannot start any token"),
    ("é: '😀' x\n", "1:8", "did not find expected key"),
    ("a: \x00\n", "1:4", "control characters"),
    ("é😀: \x07\n", "1:5", "control characters"),
    # Keys and values
    ("a: 1\nb:\n  c: 1\n  c: 2\n", "4:3", "the key 'c' stands twice, first in line 3"),
    ("1: a\n'1': b\n", "2:1", "the key '1' stands twice"),
    ("é: {b: 1, b: 2}\n", "1:11", "the key 'b' stands twice, first in line 1"),
    ("a: {<<: {b: 1}, b: 2, b: 3}\n", "1:23", "the key 'b' stands twice"),
    ("? a\n: 1\n? a\n", "3:3", "the key 'a' stands twice, first in line 1"),
    ("a: *b\n", "1:4", "the alias names no anchor"),
    ("a: &b [*b]\n", "1:8", "the anchor 'b' contains itself"),
    ("a:\n  <<: [1]\n", "2:7", "`<<` takes an object"),
    ("a: !!int x\n", "1:4", "is tagged !!int but is none"),
    ("a: [1, .nan]\n", "1:8", "infinity and NaN"),
    ("a:\n  ~: 1\n", "2:3", "null cannot be a key"),
    ("a:\n  ? [b]\n  : 1\n", "2:5", "a key has to be a text"),
    ("a: [!, b]\n", "1:5", "a tag has to end with a space"),
    # Documents
    ("a: 1\n---\nb: 1\nb: 2\n", "4:1", "the key 'b' stands twice, first in line 3"),
    ("a: 1\n---\n# c\n---\n\n- [b\n", "7:1", "did not find expected ',' or ']'"),
    ("a: 1\n--- b\n", "2:5", "kubectl takes nothing but a comment after `---`"),
    ("a: 1\n----\n", "2:4", "kubectl takes nothing but a comment after `---`"),
    ("a: 1\n...\n# c\nb: 1\n", "4:1", "kubectl would leave out what stands here"),
    ("# c\n\n%YAML 1.1\n---\na: 1\n", "3:1", "kubectl takes no directives"),
    (" a: 1\nb: 1\n", "2:1", "kubectl would leave out what stands here"),
    ("a: 1\n\ufeffb: 1\n", "2:1", "a byte order mark in the middle of a document"),
    # CRLF, byte order marks and other ends of lines
    ("a: 1\r\n---\r\nb: 1\r\nb: 2\r\n", "4:1", "the key 'b' stands twice, first in line 3"),
    ("a: |\r\n  x\r\n  y\r\nb: *c\r\n", "4:4", "names no anchor"),
    ("\ufeffa: 1\na: 2\n", "2:1", "the key 'a' stands twice, first in line 1"),
    ("\ufeffa: *b\n", "1:4", "names no anchor"),
    ("a: 1\n---\n\ufeffb: *c\n", "3:4", "names no anchor"),
    ("a: 'x\u2028y\rz'\nb: *c\n", "2:4", "names no anchor"),
    # JSON
    ('{"a": 1,\n "a": 2}', "2:2", "the key 'a' stands twice, first in line 1"),
    ('{"a": 1}\n{"b": [\n1,\n{"c": 1, "c": 2}]}', "4:10", "the key 'c' stands twice, first in line 4"),
    ('{"a": 1} {"b": 1, "b": 2}', "1:19", "the key 'b' stands twice, first in line 1"),
    ('{"a": 1}\n{"b": 2}\nc: 1\n', "3:1", "is not JSON, as all before it is"),
    ('{"a": 1}\nb: 1\nb: 2\n', "3:1", "the key 'b' stands twice, first in line 2"),
    ('{"a": 1} b: *c', "1:13", "names no anchor"),
    ('{"a": 1e400}', "1:7", "the number is too large"),
    ('{\r\n"a": 1,\r\n"a": 2}', "3:1", "the key 'a' stands twice, first in line 2"),
    ('{"a": "\u2028",\n"a": 2}', "2:1", "the key 'a' stands twice, first in line 1"),
    ('{"a": 1 "b": 2}', "1:12", "did not find expected ',' or '}'"),
    ('{"a": {"b": 1}', "2:1", "did not find expected ',' or '}'"),
    ('\ufeff{"a": 1, "a": 2}', "1:10", "the key 'a' stands twice"),
]


@pytest.mark.parametrize(("text", "where", "message"), FAULTS)
def test_faults_name_file_line_and_column(text: str, where: str, message: str) -> None:
    with pytest.raises(RenderError) as caught:
        values(text)
    assert (caught.value.where, message in caught.value.message) == (f"a.yaml:{where}", True), caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_faults_are_placed_by_characters(encoding: str) -> None:
    with pytest.raises(RenderError, match=r"^a\.yaml:2:4: "):
        values("\ufeffé😀: 1\nb: *c\n".encode(encoding).removeprefix(b"\xff\xfe" if encoding == "utf-16" else b""))


def test_what_stands_before_a_fault_is_read() -> None:
    read: list[Json] = []
    with pytest.raises(RenderError, match=r"^a\.yaml:5:1: the key 'b' stands twice"):
        read.extend(document.value for document in documents("a.yaml", b"a: 1\n---\nb: 1\n# c\nb: 1\n---\nc: [\n"))
    assert read == [{"a": 1}]


def test_a_long_name_is_cut_and_a_value_never_shown() -> None:
    with pytest.raises(RenderError) as caught:
        values(f"{'k' * 1000}: 1\n{'k' * 1000}: 2\n")
    assert len(str(caught.value)) < 200
    with pytest.raises(RenderError) as caught:
        values("password: !!int secret\n")
    assert "secret" not in str(caught.value)


def test_a_tab_is_explained() -> None:
    with pytest.raises(RenderError, match="indent with spaces"):
        values("a:\n\t- b\n")


def test_an_address_that_ends_with_colons_is_explained() -> None:
    with pytest.raises(RenderError, match=r"^a\.yaml:1:25: .*put a text that ends with a colon in quotes"):
        values("a: [192.0.2.0, 2001:db8::]\n")
    assert values("a: ['2001:db8::', 2001:db8::1]\n") == [{"a": ["2001:db8::", "2001:db8::1"]}]


def test_other_encodings_are_refused_and_a_byte_order_mark_is_not() -> None:
    assert values(b"\xef\xbb\xbfa: 1") == [{"a": 1}]
    with pytest.raises(RenderError, match=r"^a\.yaml:2:4: is not UTF-8"):
        values(b"a: 1\nb: \xff\n")


def test_empty_documents_are_left_out() -> None:
    assert values("---\n---\n# nothing\n---\na: 1\n---\nnull\n---\n") == [{"a": 1}]
    assert values("") == []


def test_every_object_knows_the_line_of_its_first_key() -> None:
    text = "# head\na:\n  # why\n  b: 1\n---\n\n{\n  c: {d: 1}}\n"
    first, second = documents("a.yaml", text.encode())

    assert (first.line, first.line_of(first.value["a"])) == (2, 4)
    assert (second.line, second.line_of(second.value["c"])) == (8, 8)


def test_anchors_may_be_given_anew_and_end_with_their_document() -> None:
    assert values("a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n") == [{"a": {"k": 1}, "b": {"k": 1}, "c": 2, "d": 2}]
    with pytest.raises(RenderError, match="names no anchor"):
        values("a: &x 1\n---\nb: *x\n")


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    with pytest.raises(RenderError, match="aliases stand for more than 3 MiB"):
        values("\n".join(lines))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RenderError, match="200 levels deep"):
        values("a: " + "[" * 5000)


def test_json_is_read_with_its_own_escapes() -> None:
    text = '{\n\t"a": "\\ud83d\\ude00 \\/ \\\\ud83d\\\\ude00",\n\t"b": [1, 1.0, 1e3, null, true]\n}'

    assert values(text) == [{"a": "😀 / \\ud83d\\ude00", "b": [1, 1, 1000, None, True]}]
