from __future__ import annotations

import pytest

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render.yaml import documents


def values(text: str | bytes, *, path: str = "a.yaml") -> list[Json]:
    return [document.value for document in documents(path, text.encode() if isinstance(text, str) else text)]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: 1\nb: 2\n  c: 3\n", "a.yaml:3:4", "mapping values are not allowed in this context"),
        ("a:\n\t- b\n", "a.yaml:2:1", "cannot start any token"),
        ("a:\n  b: 1\n c: 2\n", "a.yaml:3:2", "did not find expected key"),
        ("a: [1, 2\n", "a.yaml:2:1", "did not find expected ',' or ']'"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "a.yaml:4:3", "the key 'c' stands twice, first in line 3"),
        ("1: a\n'1': b\n", "a.yaml:2:1", "the key '1' stands twice"),
        ("a: *b\n", "a.yaml:1:4", "names no anchor"),
        ("a: \x00\n", "a.yaml:1:4", "control characters"),
    ],
)
def test_faults_name_file_line_and_column(text: str, where: str, message: str) -> None:
    with pytest.raises(RenderError) as caught:
        values(text)
    assert caught.value.where == where
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_tab_is_explained() -> None:
    with pytest.raises(RenderError, match="indent with spaces"):
        values("a:\n\t- b\n")


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

    assert values(text, path="a.json") == [{"a": "😀 / \\ud83d\\ude00", "b": [1, 1, 1000, None, True]}]
