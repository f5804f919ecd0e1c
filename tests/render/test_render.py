from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render.cache import Cache
from guard.render.parse import Parser
from guard.render.render import SAID_AGAIN, Groups, Renderer
from guard.render.texts import Texts
from guard.state.ids import Manifest, Origin
from tests.render.trees import MemoryTree

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    made = Parser()
    yield made
    await made.close()


@pytest.fixture
def renderer(parser: Parser) -> Renderer:
    return Renderer(parser)


def origins(groups: Groups) -> list[str]:
    return [str(manifest.origin) for path in sorted(groups) for manifest in groups[path]]


async def test_files_become_manifests_with_their_lines(renderer: Renderer) -> None:
    json = '{"apiVersion":"v1","kind":"X","metadata":{"name":"x"}}'
    groups = await renderer.render(MemoryTree({"a.yaml": MAP + "---\n" + MAP, "b.json": json, "c.yml": "# empty\n"}), "")

    assert origins(groups) == ["a.yaml:1", "a.yaml:5", "b.json:1"]
    assert groups["b.json"][0].body == {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}


async def test_only_what_is_below_the_folder_counts(renderer: Renderer) -> None:
    tree = MemoryTree(
        {"apps/a.yaml": MAP, "apps/in/b.yaml": MAP, "apps2/c.yaml": MAP, "apps/.d/e.yaml": MAP, "apps/.f.yaml": MAP}
    )

    assert origins(await renderer.render(tree, "apps")) == ["apps/a.yaml:1", "apps/in/b.yaml:1"]


async def test_all_faults_of_all_files_are_in_one_line(renderer: Renderer) -> None:
    with pytest.raises(RenderError) as caught:
        await renderer.render(
            MemoryTree({"a.yaml": "kind: A\n", "b.yaml": MAP, "c.yaml": "a: [\n", "d.yaml": "a: 1\na: 2\n"}), ""
        )

    assert str(caught.value) == (
        "a.yaml:1: the object has no apiVersion and no metadata.name (every object needs apiVersion, kind and metadata.name; "
        "2 other errors: c.yaml:2:1: while parsing a flow node, did not find expected node content; "
        "d.yaml:2:1: the key 'a' stands twice, first in line 1)"
    )


async def test_two_files_of_one_faulty_content_are_both_named(renderer: Renderer) -> None:
    with pytest.raises(RenderError, match=r"^a\.yaml:2:1: .*1 other error: b\.yaml:2:1: "):
        await renderer.render(MemoryTree({"a.yaml": "a: [\n", "b.yaml": "a: [\n"}), "")


async def test_very_many_faults_are_counted(renderer: Renderer) -> None:
    with pytest.raises(RenderError, match=r"9 other errors: .*; and 5 more"):
        await renderer.render(MemoryTree({f"{number}.yaml": "a: [\n" for number in range(10)}), "")


async def test_a_change_of_one_file_reads_that_file_alone(renderer: Renderer) -> None:
    files = {f"{number}.yaml": MAP.replace("name: a", f"name: n{number}") for number in range(50)}
    first = MemoryTree(files)
    before = await renderer.render(first, "")
    second = MemoryTree({**files, "7.yaml": MAP, "new.yaml": MAP}, before=[first])
    del second.contents["9.yaml"]

    after = await renderer.render(second, "")

    assert (second.listings, second.comparisons, second.reads) == (0, 1, ["7.yaml", "new.yaml"])
    assert before.keys() - after.keys() == {"9.yaml"}
    assert [path for path in after if after[path] is not before.get(path)] == ["7.yaml", "new.yaml"]


async def test_the_same_files_in_another_revision_cost_nothing(renderer: Renderer) -> None:
    before = await renderer.render(MemoryTree({"a.yaml": MAP}), "")
    again = MemoryTree({"a.yaml": MAP}, revision="main@sha1:2")

    assert await renderer.render(again, "") is before
    assert (again.listings, again.reads) == (0, [])


async def test_a_revision_that_was_refused_costs_nothing_to_mend(renderer: Renderer) -> None:
    files = {"a.yaml": MAP, "b.yaml": MAP.replace("name: a", "name: b")}
    first = MemoryTree(files)
    before = await renderer.render(first, "")
    bad = MemoryTree({**files, "b.yaml": "a: [\n"}, before=[first])
    with pytest.raises(RenderError, match=r"^b\.yaml:2:1"):
        await renderer.render(bad, "")
    mended = MemoryTree({**files, "c.yaml": MAP}, before=[first, bad])

    after = await renderer.render(mended, "")

    assert (mended.listings, mended.reads) == (0, ["a.yaml", "c.yaml"])  # of one content
    assert after["a.yaml"] is before["a.yaml"]


async def test_without_a_difference_at_hand_what_did_not_change_is_the_same(renderer: Renderer) -> None:
    before = await renderer.render(MemoryTree({"a.yaml": MAP, "b.yaml": MAP + "# b\n"}), "")
    unrelated = MemoryTree({"a.yaml": MAP, "b.yaml": MAP + "# other\n"})

    after = await renderer.render(unrelated, "")

    assert (unrelated.listings, unrelated.reads) == (1, ["b.yaml"])
    assert after["a.yaml"] is before["a.yaml"]


async def test_another_folder_is_rendered_anew(renderer: Renderer) -> None:
    tree = MemoryTree({"one/a.yaml": MAP, "two/a.yaml": MAP})
    await renderer.render(tree, "one")

    assert origins(await renderer.render(tree, "two")) == ["two/a.yaml:1"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("kustomization.yaml", "is Kustomize's, and no manifest"),
        ("kustomization.yml", "is Kustomize's, and no manifest"),
        ("Kustomization", "is Kustomize's, and no manifest"),
        ("Chart.yaml", "is Helm's, and no manifest"),
    ],
)
async def test_files_of_tools_below_plain_ones_are_named(renderer: Renderer, name: str, told: str) -> None:
    with pytest.raises(RenderError) as caught:
        await renderer.render(MemoryTree({"a.yaml": MAP, f"in/{name}": "a: 1"}), "")

    assert str(caught.value).startswith(
        f"in/{name}: {told} (make its folder the path of a Sync of its own, or name it in .guardignore)"
    )


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        (MemoryTree({}, links=["a.yaml"]), "a.yaml: is a symbolic link, which Guard does not follow"),
        (MemoryTree({}, links=["folder"]), "folder: is a symbolic link, which Guard does not follow"),
        (MemoryTree({}, submodules=["vendor"]), "vendor: is a submodule, which Guard does not fetch"),
        (
            MemoryTree({"a.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"}),
            "a.yaml: is kept in Git LFS, from which Guard does not fetch",
        ),
        (MemoryTree({"a.yaml": b"#" * (16 * 1024 * 1024 + 1)}), "a.yaml: is larger than 16 MiB"),
        (
            MemoryTree({f"{number}.yaml": b"#" * (16 * 1024 * 1024) for number in range(9)}),
            "apps in main@sha1:1: the manifests are larger than 128 MiB",
        ),
    ],
    ids=["link", "linked-folder", "submodule", "lfs", "large", "many"],
)
async def test_what_leads_elsewhere_or_is_too_large_is_refused(renderer: Renderer, tree: MemoryTree, told: str) -> None:
    with pytest.raises(RenderError) as caught:
        await renderer.render(tree, "")

    assert str(caught.value) == told.replace("apps in", ". in")


async def test_an_ignore_file_leaves_files_out(renderer: Renderer) -> None:
    files = {
        ".guardignore": "# of tests\n*-test.yaml\n/charts/\n!keep-test.yaml\n",
        "a.yaml": MAP,
        "a-test.yaml": "not: [yaml",
        "keep-test.yaml": MAP,
        "charts/Chart.yaml": "a: 1",
        "in/.guardignore": "!b-test.yaml\n",
        "in/a-test.yaml": "not: [yaml",
        "in/b-test.yaml": MAP,
        "in/charts/c.yaml": MAP,
    }
    tree = MemoryTree(files, links=["charts/link.yaml"])

    groups = await renderer.render(tree, "")

    assert sorted(groups) == ["a.yaml", "in/b-test.yaml", "in/charts/c.yaml", "keep-test.yaml"]


async def test_a_change_of_the_ignore_file_counts_for_what_did_not_change(renderer: Renderer) -> None:
    files = {".guardignore": "b.yaml\n", "a.yaml": MAP, "b.yaml": MAP}
    first = MemoryTree(files)
    before = await renderer.render(first, "")
    second = MemoryTree({**files, ".guardignore": "a.yaml\n"}, before=[first])
    middle = await renderer.render(second, "")
    third = MemoryTree({"a.yaml": MAP, "b.yaml": MAP}, before=[second])

    after = await renderer.render(third, "")

    assert [list(groups) for groups in (before, middle)] == [["a.yaml"], ["b.yaml"]]
    assert sorted(after) == ["a.yaml", "b.yaml"]
    changed = MemoryTree({**third.contents, ".guardignore": "", "new.yaml": MAP}, before=[third])
    assert sorted(await renderer.render(changed, "")) == ["a.yaml", "b.yaml", "new.yaml"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"ok\n!\n", ".guardignore:2: '!' is no pattern of gitignore"),
        (b"\xff", ".guardignore: is not UTF-8"),
        (b"#" * (64 * 1024 + 1), ".guardignore: is larger than 64 KiB"),
    ],
)
async def test_a_bad_ignore_file_is_named(renderer: Renderer, text: bytes, told: str) -> None:
    with pytest.raises(RenderError) as caught:
        await renderer.render(MemoryTree({".guardignore": text, "a.yaml": MAP}), "")

    assert str(caught.value) == told


async def test_what_failed_is_not_tried_again_each_time(renderer: Renderer) -> None:
    bad = MemoryTree({"a.yaml": "a: [\n"})
    told: set[str] = set()
    for _ in range(SAID_AGAIN + 2):
        with pytest.raises(RenderError) as caught:
            await renderer.render(bad, "")
        told.add(str(caught.value))

    assert len(told) == 1
    assert bad.reads == ["a.yaml"] * 2
    assert await renderer.render(MemoryTree({"a.yaml": MAP}), "")
    with pytest.raises(RenderError):
        await renderer.render(bad, "")


async def test_endless_patterns_are_cut_off() -> None:
    parser = Parser(timeout=0.5)
    tree = MemoryTree({".guardignore": "*a" * 40 + "*b\n", f"{'a' * 200}.yaml": MAP})

    with pytest.raises(RenderError, match=r"^\.guardignore: parsing took longer than 0\.5 s"):
        await Renderer(parser).render(tree, "")
    await parser.close()


async def test_what_was_parsed_is_kept_across_restarts(tmp_path: Path) -> None:
    files = {f"{number}.yaml": MAP.replace("name: a", f"name: n{number}") for number in range(20)}
    tree = MemoryTree({**files, "bad.yaml": "a: [\n"})
    for _ in range(2):
        cache = Cache(tmp_path / "cache.db", today=lambda: 1)
        parser = Parser(cache=cache)
        with pytest.raises(RenderError, match=r"^bad\.yaml:2:1"):
            await Renderer(parser).render(tree, "")
        await parser.close()
        await cache.close()
    cache = Cache(tmp_path / "cache.db", today=lambda: 1)
    # A parser that has no time at all: nothing is left to parse.
    parser = Parser(cache=cache, timeout=0)

    groups = await Renderer(parser).render(MemoryTree(files), "")

    assert groups["7.yaml"] == (
        Manifest(
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n7"}}, origin=Origin(file="7.yaml", line=1)
        ),
    )
    await parser.close()
    await cache.close()


async def test_lines_of_what_is_in_force_are_at_hand(parser: Parser) -> None:
    texts = Texts()
    renderer = Renderer(parser, texts=texts)
    first = MemoryTree({"a.yaml": MAP + "data: {x: y}\n", "b.yaml": MAP})
    await renderer.render(first, "")
    second = MemoryTree({"a.yaml": "# moved\n" + MAP + "data: {x: y}\n", "b.yaml": MAP}, revision="main@sha1:2", before=[first])
    await renderer.render(second, "")

    field = (("f:data", "f:x"),)
    assert texts.lines(Origin(file="a.yaml", line=1), field, revision="main@sha1:1") == (4,)
    assert texts.lines(Origin(file="a.yaml", line=2), field, revision="main@sha1:2") == (5,)
