from __future__ import annotations

from guard.render.texts import MOST_BYTES, Texts
from guard.state.fields import Path
from guard.state.ids import Origin
from guard.state.snapshot import Entry

COLOR: Path = ("f:data", "f:color")
ONE = b"kind: ConfigMap\ndata:\n  color: red\n"
OTHER = b"kind: ConfigMap\nmetadata: {}\ndata:\n  color: red\n"


def held(texts: Texts, revision: str, **files: bytes) -> None:
    texts.add({data.hex(): data for data in files.values()})
    entries = (Entry(path=f"{name}.yaml", blob=data.hex(), size=len(data)) for name, data in files.items())
    texts.hold(revision, {entry.path: entry for entry in entries})


def lines(texts: Texts, revision: str, *, file: str = "a", paths: tuple[Path, ...] = (COLOR,)) -> tuple[int, ...]:
    return texts.lines(Origin(file=f"{file}.yaml", line=1), paths, revision=revision)


def test_each_revision_has_its_own_lines() -> None:
    texts = Texts()
    held(texts, "1", a=ONE, b=ONE)
    held(texts, "2", a=OTHER, b=ONE)
    assert [lines(texts, revision) for revision in ("1", "2", "1")] == [(3,), (4,), (3,)]
    assert lines(texts, "2", file="b", paths=(COLOR, ())) == (3, 1)
    assert lines(texts, "2", paths=()) == ()


def test_what_is_not_held_is_placed_at_the_object() -> None:
    texts = Texts()
    held(texts, "1", a=ONE, large=ONE + b"#" * MOST_BYTES)
    assert lines(texts, "2") == (1,)
    assert lines(texts, "1", file="other") == (1,)
    assert lines(texts, "1", file="large") == (1,)


def test_a_revision_that_was_replaced_is_let_go() -> None:
    texts = Texts()
    held(texts, "1", a=ONE)
    held(texts, "2", a=OTHER)
    assert lines(texts, "1") == (3,)
    texts.keep({"2"})
    assert lines(texts, "1") == (1,)
    assert lines(texts, "2") == (4,)


def test_many_questions_are_answered_as_one_is() -> None:
    texts = Texts()
    held(texts, "1", a=ONE)
    for number in (*range(600), "x" * 10_000, "x" * 10_000):
        assert lines(texts, "1", paths=(COLOR, (f"f:{number}",))) == (3, 1)
    assert lines(texts, "1") == (3,)


def test_contents_that_no_revision_has_any_more_go() -> None:
    texts = Texts()
    contents = {str(number): b"%d" % number for number in range(1000)}
    texts.add(contents)
    texts.hold("1", {f"{name}.yaml": Entry(path=f"{name}.yaml", blob=name, size=1) for name in contents})
    held(texts, "2", a=ONE)
    texts.keep({"2"})

    assert lines(texts, "2") == (3,)
    assert texts.held == 1


def test_what_a_tool_made_has_no_line() -> None:
    texts = Texts()
    held(texts, "1", a=ONE)

    assert texts.lines(Origin(file="a.yaml", line=0, via="Kustomize ."), (COLOR,), revision="1") == (0,)
