from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from guard.base import codec
from guard.render.locate import MOST_CHARACTERS, MOST_EVENTS, lines_of
from guard.render.manifests import parse
from guard.state.fields import Path

CONTAINERS = ("f:spec", "f:template", "f:spec", "f:containers")

DEPLOYMENT = """\
# the shop
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, "example.com/team": blue}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: sidecar
          image: envoy:1

        - image: nginx:1.25
          name: web
          args:
            - --verbose
            - >-
              --mode
          ports:
            - containerPort: 53
              protocol: UDP
            - containerPort: 53
            - {containerPort: 80}
  on: true
"""


def path(text: str) -> Path:
    return tuple(text.split(" ")) if text else ()


def begins(text: str) -> list[int]:
    """The lines in which the renderer says that the objects of a file begin."""
    return [manifest.line for manifest in parse("a.yaml", text.encode()).manifests]


def line_of(text: str, wanted: str | Path, *, line: int = 1) -> int:
    (found,) = lines_of(text.encode(), (path(wanted) if isinstance(wanted, str) else wanted,), line=line)
    return found


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("f:metadata f:labels f:app", 6),
        ("f:metadata f:labels f:example.com/team", 6),
        ("f:spec f:replicas", 8),
        ("f:spec f:true", 26),
        ((*CONTAINERS, 'k:{"name":"web"}'), 15),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:name"), 16),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:image"), 15),
        ((*CONTAINERS, 'k:{"name":"sidecar"}', "f:image"), 13),
        ((*CONTAINERS, "i:1"), 15),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:args", 'v:"--mode"'), 19),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:args", "i:0"), 18),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:ports", 'k:{"containerPort":53,"protocol":"UDP"}'), 22),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:ports", 'k:{"containerPort":53,"protocol":"TCP"}'), 24),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:containerPort"), 25),
    ],
)
def test_a_field_is_found_in_its_line(wanted: str | Path, line: int) -> None:
    assert line_of(DEPLOYMENT, wanted, line=2) == line


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("", 2),
        ("f:data f:color", 2),
        ("f:metadata f:annotations f:team", 4),
        ("f:metadata f:labels f:tier", 6),
        ((*CONTAINERS, 'k:{"name":"other"}'), 11),
        ((*CONTAINERS, "i:9", "f:image"), 11),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:env", 'k:{"name":"A"}', "f:value"), 15),
        ((*CONTAINERS, 'k:{"name":"web"}', "f:args", 'v:"--quiet"'), 17),
        ("f:spec f:replicas f:deeper", 8),
        ("f:spec i:0", 7),
    ],
)
def test_what_is_not_in_git_is_placed_at_the_nearest_thing_that_is(wanted: str | Path, line: int) -> None:
    assert line_of(DEPLOYMENT, wanted, line=2) == line


def test_several_paths_are_found_in_one_reading() -> None:
    asked = (path("f:spec f:replicas"), path("f:metadata f:name"), path("f:nothing"))
    assert lines_of(DEPLOYMENT.encode(), asked, line=2) == (8, 5, 2)


def test_only_the_document_in_which_the_object_begins_counts() -> None:
    one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  color: red\n"
    short = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {\n  color: red}}\n"
    text = f"# head\n---\n{one}---  # the second\n# about it\n{one}...\n---\n{one}{short}"
    assert begins(text) == [3, 10, 17, 23]
    assert [line_of(text, "f:data f:color", line=line) for line in begins(text)] == [7, 14, 21, 24]


def test_json_objects_in_a_row_are_objects_of_their_own() -> None:
    one = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {\n  "a": "1"}}'
    text = f"{one}\n{one} {one}\n"
    assert begins(text) == [1, 3, 4]
    assert [line_of(text, "f:data f:a", line=line) for line in begins(text)] == [2, 4, 5]


def test_a_separator_inside_a_text_parts_nothing() -> None:
    text = "kind: ConfigMap\ndata:\n  a: |\n    x\n    ---\n    y\n  b: 1\n"
    assert line_of(text, "f:data f:b") == 7


@pytest.mark.parametrize("other", ["\r", "\u0085", "\u2028", "\u2029"])
def test_lines_are_counted_as_git_counts_them(other: str) -> None:
    one = f"apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {{name: a}}\r\ndata:\r\n  a: 'x{other}    y'\r\n  b: 1\r\n"
    text = f"{one}---\r\n{one}"
    assert begins(text) == [1, 8]
    assert [line_of(text, "f:data f:b", line=line) for line in begins(text)] == [6, 13]


def test_items_of_a_list_are_objects_of_their_own() -> None:
    first = "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  data:\n    color: red\n"
    text = f"apiVersion: v1\nkind: List\nitems:\n{first}{first}"
    assert begins(text) == [4, 9]
    assert [line_of(text, "f:data f:color", line=line) for line in begins(text)] == [8, 13]


def test_json_is_read_as_well() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"smile": "\U0001f600", "color": "red"}}
    text = codec.pretty(body).replace("\U0001f600", "\\ud83d\\ude00")
    (manifest,) = parse("a.json", text.encode()).manifests
    assert line_of(text, "f:data f:color", line=manifest.line) == text[: text.index("color")].count("\n") + 1


def test_the_keys_of_a_secret_are_found_where_they_are_written_in_the_clear() -> None:
    text = "kind: Secret\ndata:\n  token: aGk=\nstringData:\n  password: horse\n"
    assert line_of(text, "f:data f:password") == 5
    assert line_of(text, "f:data f:token") == 3
    assert line_of(text.replace("Secret", "Other"), "f:data f:password") == 2


def test_what_an_alias_brings_in_stands_where_it_is_used() -> None:
    text = """\
kind: Deployment
metadata:
  labels: &labels {app: web}
spec:
  selector:
    matchLabels: *labels
  containers:
    - &web
      name: web
      image: nginx
  initContainers:
    - *web
    - <<: *web
      name: other
    - *unknown
"""
    assert line_of(text, "f:spec f:selector f:matchLabels f:app") == 6
    assert line_of(text, 'f:spec f:initContainers k:{"name":"web"} f:image') == 12
    assert line_of(text, 'f:spec f:initContainers k:{"name":"other"} f:image') == 13
    assert line_of(text, 'f:spec f:containers k:{"name":"web"} f:image') == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [1, 2",
        "\x00",
        "kind: &a [*a]\n",
        "kind: {<<: 1}\n",
        "kind: !!int x\n",
        "? [a]\n: 1\n",
        "[" * 2000,
        "a: \u0085\n",
        "kind: List\nitems:\n",
        "kind: List\nitems: [1, [2], {a: 1}]\n",
        "*a : 1\n",
        "!x!y kind: 1\n",
    ],
)
def test_what_cannot_be_read_is_placed_at_the_object(text: str) -> None:
    assert line_of(text, "f:kind f:x", line=1) == 1
    assert line_of(text, 'f:spec k:{"a":1} v:1 i:x', line=7) == 7
    assert line_of(text, "f:items k:{", line=1) <= 2
    assert lines_of(text.encode("utf-16"), (("f:kind",),), line=3) == (3,)


@pytest.mark.parametrize(
    "filler",
    ["  a: " + "x" * MOST_CHARACTERS + "\n", "".join(f"  k{number}: 1\n" for number in range(MOST_EVENTS // 2))],
    ids=["bytes", "nodes"],
)
def test_the_work_is_bounded(filler: str) -> None:
    large = f"kind: ConfigMap\ndata:\n{filler}"
    assert line_of(large, "f:data f:a") == 1
    small = "---\nkind: ConfigMap\ndata:\n  a: 1\n"
    assert line_of(large + small, "f:data f:a", line=large.count("\n") + 2) == large.count("\n") + 4


# No `y` or `1`: PyYAML reads some of those in another way than kubectl does.
KEYS = some.text("abcxyz./-_: #'\"", max_size=6).map(lambda text: f"k{text}")
VALUES = some.recursive(
    some.text("ab \n:#-", max_size=12) | some.integers() | some.none() | some.booleans(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def written_lines(node: yaml.Node, above: Path = ()) -> Iterator[tuple[Path, int]]:
    """The oracle: every field of a document with the line (from 0) that PyYAML's own composer gives its key or item."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*above, f"f:{key.value}")
            yield here, key.start_mark.line
            yield from written_lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            here = (*above, f"i:{place}")
            if not isinstance(item, yaml.MappingNode):
                yield here, item.start_mark.line
            yield from written_lines(item, here)


def composed(text: str) -> yaml.Node:
    node = yaml.SafeLoader(text).get_single_node()
    assert node is not None
    return node


@given(
    objects=some.lists(some.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=3),
    flow=some.sampled_from([False, True, None]),
    width=some.sampled_from([40, 1000]),
)
def test_every_field_is_found_where_another_reader_sees_it(
    *, objects: list[codec.JsonObject], flow: bool | None, width: int
) -> None:
    # Through JSON, so that no part is shared, which would be written as an alias.
    bodies = [codec.decode(codec.encode({"kind": "ConfigMap", **body})) for body in objects]
    parts = [yaml.safe_dump(body, default_flow_style=flow, width=width, sort_keys=False) for body in bodies]
    text = "---\n".join(parts)
    before = 1
    for part in parts:
        expected = {path: line + before for path, line in written_lines(composed(part))}
        assert lines_of(text.encode(), tuple(expected), line=before) == tuple(expected.values())
        before += part.count("\n") + 1
