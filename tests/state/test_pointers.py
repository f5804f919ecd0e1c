from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import JsonObject
from guard.state.fields import Path, parse_written
from guard.state.pointers import matches, parse_pointer, pointer_of, reaches_below, without

IMAGE = parse_written("spec.template.spec.containers[name=web].image")
PORT = parse_written("spec.ports[containerPort=80,protocol=TCP]")


@pytest.mark.parametrize(
    ("pointer", "path"),
    [
        ("/spec/template/spec/containers[name=web]/image", IMAGE),
        ("/spec/template/spec/containers[*]/image", IMAGE),
        ("/spec/template/spec/containers[name=web]", IMAGE),
        ("/spec/template/spec/containers", IMAGE),
        ("/spec", IMAGE),
        ("/spec/ports[containerPort=80]", PORT),
        ("/spec/ports[protocol=TCP,containerPort=80]", PORT),
        ("/metadata/annotations/example.com~1team", parse_written("metadata.annotations[example.com/team]")),
        ("/data/a~0b", ("f:data", "f:a~b")),
        ("/metadata/finalizers[=example.com~1hook]", parse_written("metadata.finalizers[=example.com/hook]")),
        ("/metadata/finalizers[*]", parse_written("metadata.finalizers[one]")),
        ("/spec/args[*]", ("f:spec", "f:args", "i:0")),
        ("/spec/rows[on=true]", ("f:spec", "f:rows", 'k:{"on":true}')),
    ],
)
def test_a_pointer_names_a_field_and_all_below_it(pointer: str, path: Path) -> None:
    assert matches(parse_pointer(pointer), path)
    assert not reaches_below(parse_pointer(pointer), path)


@pytest.mark.parametrize(
    ("pointer", "path"),
    [
        ("/spec/template/spec/containers[name=db]/image", IMAGE),
        ("/spec/template/spec/containers[name=web]/command", IMAGE),
        ("/spec/template/spec/containers[=web]", IMAGE),
        ("/spec/template/spec/containers/name", IMAGE),
        ("/spec/ports[containerPort=8]", PORT),
        ("/spec/ports[containerPort=80,name=web]", PORT),
        ("/metadata/finalizers[name=one]", parse_written("metadata.finalizers[one]")),
        ("/metadata/labels[*]", parse_written("metadata.labels.app")),
        ("/specs", IMAGE),
    ],
)
def test_a_pointer_names_nothing_else(pointer: str, path: Path) -> None:
    assert not matches(parse_pointer(pointer), path)
    assert not reaches_below(parse_pointer(pointer), path)


def test_a_pointer_reaches_below_what_holds_its_field() -> None:
    image = parse_pointer("/spec/template/spec/containers[*]/image")
    for length in range(len(IMAGE)):
        assert reaches_below(image, IMAGE[:length])
        assert not matches(image, IMAGE[:length])
    assert not reaches_below(image, IMAGE)
    assert not reaches_below(image, ("f:status",))


@pytest.mark.parametrize("path", [IMAGE, PORT, ("f:metadata", "f:finalizers", 'v:"a"'), ("f:a", "f:b/c")])
def test_every_field_has_its_pointer(path: Path) -> None:
    assert matches(pointer_of(path), path)
    assert not matches(pointer_of(path), path[:-1])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has to begin with a slash"),
        ("spec/replicas", "has to begin with a slash"),
        ("/", "'' in '/' is no field name"),
        ("/spec//replicas", "'' in '/spec//replicas' is no field name"),
        ("/spec/", "is no field name"),
        ("/metadata/labels/a~2b", "'a~2b' in .* is no field name; ~ is written ~0"),
        ("/spec/containers[name=web", r"'containers\[name=web' in .* has a bracket that does not fit"),
        ("/spec/containers]", "has a bracket that does not fit"),
        ("/spec/containers[name=web]image", "has a bracket that does not fit"),
        ("/spec/containers[web]", r"\[web\] in .* names no item; write \[name=web\]"),
        ("/spec/containers[]", "names no item"),
        ("/spec/containers[name=web,]", "names no item"),
        ("/[name=web]", "is no field name"),
    ],
)
def test_a_pointer_that_does_not_read_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_pointer(text)


@given(st.text(max_size=12) | st.text(alphabet="/ab~01[]*=,", max_size=12))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = parse_pointer(text)
    except ValueError:
        return
    assert found


def test_what_names_an_object_stays_whatever_is_left_to_others() -> None:
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "b", "annotations": {"c": "d"}},
        "spec": {"ports": [{"port": 80}, {"port": 81, "protocol": "UDP"}], "type": "ClusterIP"},
    }
    left = without(body, [parse_pointer("/metadata"), parse_pointer("/kind"), parse_pointer("/spec/ports[port=80,protocol=TCP]")])
    assert left == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"ports": [{"port": 81, "protocol": "UDP"}], "type": "ClusterIP"},
    }
