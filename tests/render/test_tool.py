from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.render import tool
from guard.render.manifests import parse
from guard.render.yaml import documents as parsed
from guard.state.ids import Manifest, Origin

MANIFEST = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_documents_keep_their_separator_and_their_comments() -> None:
    output = b"# first\na: 1\n---\n# Source: x\nb: 2\n--- # third\nc: 3\n"
    assert list(tool.documents(output)) == [b"# first\na: 1\n", b"---\n# Source: x\nb: 2\n", b"--- # third\nc: 3\n"]


@pytest.mark.parametrize("output", [b"", b"---\n", b"---\n# nothing\n---\n\n", b"\n\n# nothing\n"])
def test_what_holds_nothing_is_no_document(output: bytes) -> None:
    assert list(tool.documents(output)) == []


@pytest.mark.parametrize(
    "output",
    [
        b"a: |\n  ---\n  b\n",
        b"a: |\n  x\n ---\n",
        b"a: '\n  --- x'\n",
        b"---a: 1\n",
        b"a: 1\n----\n",
    ],
)
def test_dashes_within_a_document_part_nothing(output: bytes) -> None:
    assert list(tool.documents(output)) == [output]


@pytest.mark.parametrize("output", [b"a: 1\n...\n---\nb: 2\n", b"%YAML 1.1\n---\na: 1\n", b"a: 1\n...\n%YAML 1.1\n---\nb: 2\n"])
def test_a_stream_with_directives_comes_whole(output: bytes) -> None:
    """Whoever parses it says what is wrong with it."""
    assert list(tool.documents(output)) == [output]


LINES = st.sampled_from(
    ["a: 1", "b: |", "  text", "  --- text", "---", "--- ", "---\t# c", "--- {c: 1}", "# comment", "", "x: 'y'", "list:", "- 1"]
)


@given(st.lists(LINES, max_size=12))
def test_the_pieces_hold_what_the_stream_holds(lines: list[str]) -> None:
    """Where a YAML parser takes the whole stream, it finds the same in its pieces."""
    output = "\n".join(lines).encode()
    try:
        whole = [document.value for document in parsed("x.yaml", output)]
    except Exception:  # noqa: BLE001 (any stream that is no YAML is none of this test's)
        return
    pieces = [document.value for piece in tool.documents(output) for document in parsed("x.yaml", piece)]
    assert pieces == whole


@pytest.mark.parametrize(
    "document", [MANIFEST, b"---\n" + MANIFEST, b"---\n# Source: other\n" + MANIFEST, b"--- # c\n" + MANIFEST]
)
def test_a_sourced_document_is_placed_in_its_file(document: bytes) -> None:
    (text,) = tool.documents(tool.sourced(document, path="apps/ä b.yaml"))
    (found,) = parse("x.yaml", text).manifests
    manifest = Manifest(body=found.body, origin=Origin(file="", line=found.line), confidential=True)
    placed = tool.placed(text, manifest, via="Kustomize apps")
    origin = Origin(file="apps/ä b.yaml", line=0, via="Kustomize apps")
    assert placed == Manifest(body=manifest.body, origin=origin, confidential=True)
    assert str(placed.origin) == "apps/ä b.yaml (Kustomize apps)"


def test_sourced_documents_are_a_stream() -> None:
    stream = tool.sourced(MANIFEST, path="a") + tool.sourced(b"---\n" + MANIFEST, path="b")
    assert [found[0] for text in tool.documents(stream) if (found := tool.source_of(text))] == ["a", "b"]
