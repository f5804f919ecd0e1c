from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.base import codec
from guard.state.elements import spelled
from guard.state.fields import Path, parse_written, written

# Some characters that brackets, quotes and JSON give a meaning to, and some that a terminal obeys or hides, often.
NAMES = (
    st.text(max_size=6)
    | st.text(alphabet="a1.-_/ []{}=,\"'\\:~", max_size=6)
    | st.text(alphabet='a1]"\x1b\x7f\x9b\xa0\u200b\u202e\u2028\U000e0041', max_size=4)
)
SCALARS = NAMES | st.integers(-(2**53), 2**53) | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=2) | st.dictionaries(NAMES, below, max_size=2), max_leaves=4
)


def element_of(kind: str, value: object) -> str:
    found = spelled(kind + (value if isinstance(value, str) and kind == "f:" else codec.encode(value).decode()))
    assert found is not None
    return found


ELEMENTS = st.one_of(
    st.builds(element_of, st.just("f:"), NAMES),
    st.builds(element_of, st.just("k:"), st.dictionaries(NAMES, VALUES, max_size=3)),
    st.builds(element_of, st.just("v:"), VALUES),
    st.builds(element_of, st.just("i:"), st.integers(-(10**17), 10**17)),
)

CONTAINER = ("f:spec", "f:containers", 'k:{"name":"web"}')


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((*CONTAINER, "f:image"), "spec.containers[name=web].image"),
        ((*CONTAINER, "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}'), None),
        (("f:metadata", "f:labels", "f:example.com/team"), "metadata.labels[example.com/team]"),
        (("f:metadata", "f:labels", "f:app"), "metadata.labels.app"),
        (("f:data", "f:80"), "data.80"),
        (("f:data", "f:app.properties"), "data[app.properties]"),
        (("f:data", "f:a=b,c"), 'data["a=b,c"]'),
        (("f:data", "f:"), 'data[""]'),
        (("f:spec", "f:members", 'v:"one"'), "spec.members[one]"),
        (("f:metadata", "f:finalizers", 'v:"a/b"'), "metadata.finalizers[=a/b]"),
        (("f:spec", "f:ids", "v:80"), "spec.ids[=80]"),
        (("f:spec", "f:ids", 'v:"80"'), 'spec.ids[="80"]'),
        (("f:spec", "f:ids", 'v:"true"'), 'spec.ids[="true"]'),
        (("f:spec", "f:rules", 'v:{"a":[1,"x]"]}'), 'spec.rules[={"a":[1,"x]"]}]'),
        (("f:args", "i:0"), "args[0]"),
        (("f:ports", 'k:{"port":"80"}'), 'ports[port="80"]'),
        (("f:ports", 'k:{"on":true,"port":80}'), "ports[on=true,port=80]"),
        (("f:example.com/x",), "[example.com/x]"),
        (("f:data", "f:größe"), "data[größe]"),
        (("f:data", "f:a\nb"), 'data["a\\nb"]'),
        (("f:data", "f:\x9b2J"), 'data["\\u009b2J"]'),
        (("f:spec", "f:members", 'v:"\u202eexe"'), 'spec.members[="\\u202eexe"]'),
        (("f:ports", 'k:{"name":"a\u200b","port":80}'), 'ports[name="a\\u200b",port=80]'),
        (("f:spec", "f:rules", 'v:{"\x7f":["\U000e0041"]}'), 'spec.rules[={"\\u007f":["\\udb40\\udc41"]}]'),
    ],
)
def test_paths_are_written_as_people_write_them(path: Path, text: str | None) -> None:
    text = text or "spec.containers[name=web].ports[containerPort=80,protocol=TCP]"
    assert written(path) == text
    assert parse_written(text) == path


@given(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple))
@example(('k:{"":""}', "f:]", 'v:"="', "i:0", "k:{}"))
def test_what_is_written_reads_as_the_same_path_and_shows_nothing_but_itself(path: Path) -> None:
    text = written(path)
    assert parse_written(text) == path
    assert text.isprintable()


def test_people_may_order_keys_and_quote_as_they_like() -> None:
    assert parse_written('ports[protocol="TCP",port=80]') == ("f:ports", 'k:{"port":80,"protocol":"TCP"}')
    assert parse_written('labels["example.com/team"]') == ("f:labels", "f:example.com/team")
    assert parse_written('labels["app"]') == ("f:labels", "f:app")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the path is empty"),
        (".spec", "at '.spec': a name belongs here"),
        ("spec.", "at its end: a name belongs here"),
        ("spec..replicas", "at '.replicas': a name belongs here"),
        ("spec replicas", "at ' replicas': a dot or a bracket"),
        ("a[name=web", "at its end: a closing bracket"),
        ("a[name=]", "at ']': a value"),
        ("a[name=web,]", "at ']': a value"),
        ("a[name=web,image]", "at 'image]': a key and its value"),
        ("a[name=web,name=db]", "name stands twice"),
        ('a["open]', "does not read as JSON"),
        ("a[={]", "does not read as JSON"),
        ("a[true]", r"write \[=true\]"),
        ("a[007]", "no place"),
        ("a[x]b", "at 'b': a dot or a bracket"),
    ],
)
def test_a_path_that_does_not_read_says_where(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_written(text)


@given(st.text(max_size=12) | st.text(alphabet='a1.[]{}=,"\\', max_size=12))
@example("a[={" + "[" * 5000 + "]" * 5000 + "}]")
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse_written(text)
    except ValueError:
        return
