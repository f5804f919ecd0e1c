from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.base.codec import Json
from tests.source.repository import Repository
from tools.cases import ROOT
from tools.rendercheck.compare import difference, unsteady, without
from tools.rendercheck.folders import Folder, find
from tools.rendercheck.verdicts import Verdict, judged

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
SECRET = """apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
stringData: {password: {{ randAlphaNum 20 }}, name: {{ .Values.name | quote }}}
"""
WORKING = {
    "base/kustomization.yaml": "resources: [map.yaml]\nnamePrefix: x-\n",
    "base/map.yaml": MAP,
    "web/Chart.yaml": CHART,
    "web/values.yaml": "name: '012'\n",
    "web/templates/secret.yaml": SECRET,
    "web/ci/long-values.yaml": "name: long\n",
    "plain/map.yaml": f"{MAP}data: {{a: '1', b: yes}}\n",
    "plain/null.yaml": MAP.replace("{name: a}", "{name: b, namespace: null}"),
    "plain/.github/work.yaml": "on: push\n",
}


def rendercheck(repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.rendercheck", repository, "--verbose", *options]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_what_guard_renders_is_found_to_be_the_same(repository: Repository) -> None:
    commit = repository.commit(WORKING)

    done = rendercheck(repository.path, "--ci")

    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "  same        Kustomize base",
        "  same        YAML plain",
        "  same        Helm web",
        "  same        Helm web with web/ci/long-values.yaml",
        f"{repository.path} {commit[:12]}: 1 kustomizations, 2 charts, 1 plain folders",
    ]
    assert lines[5].startswith("  4 same; 5 objects the same; ")
    assert done.returncode == 0


def test_refusals_and_failures_are_counted_by_their_reasons(repository: Repository) -> None:
    repository.commit(
        {
            "charts/web/Chart.yaml": f"{CHART}dependencies: [{{name: db, version: 1.0.0, repository: 'file://../db'}}]\n",
            "remote/kustomization.yaml": "resources: ['https://example.com/base?ref=v1']\n",
            "twice/a.yaml": f"{MAP}data: {{a: b, a: c}}\n",
            "words/a.yaml": "- a\n",
        }
    )

    done = rendercheck(repository.path)

    assert [line for line in done.stdout.splitlines() if line.startswith("     1 ")] == [
        "     1 both fail: the chart's dependencies are missing",
        "     1 refused: a remote base",
        "     1 refused: a key that stands twice",
        "     1 both fail: is a list, not a Kubernetes object",
    ]
    assert done.returncode == 0


def test_only_some_folders_can_be_looked_at(repository: Repository) -> None:
    repository.commit(WORKING)
    bare = repository.path.with_name("bare.git")
    repository.git("clone", "--quiet", "--bare", ".", str(bare))

    done = rendercheck(bare, "--only", "bas*")

    assert "same        Kustomize base" in done.stdout
    assert "1 kustomizations, 0 charts, 0 plain folders" in done.stdout


def test_what_is_no_repository_is_said_to_be_none(tmp_path: Path) -> None:
    done = rendercheck(tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("rendercheck: ")


def test_every_folder_is_found_for_what_it_is() -> None:
    paths = [
        ".github/workflows/a.yaml",
        "README.md",
        "a/Kustomization",
        "a/in/it/x.yaml",
        "b/Chart.yaml",
        "b/ci/x-values.yaml",
        "b/ci/other.txt",
        "b/kustomization.yml",
        "c/d/x.json",
        "c/d/.x/y.json",
        "c/f/.g.json",
        "c/e/README.md",
    ]

    assert find(paths, ci=True) == [
        Folder(path="a", form="Kustomize"),
        Folder(path="b", form="Helm", said=True),
        Folder(path="b", form="Helm", values=("b/ci/x-values.yaml",), said=True),
        Folder(path="b", form="Kustomize", said=True),
        Folder(path="c/d", form="YAML"),
    ]
    assert find(["Chart.yaml", "templates/x.yaml"]) == [Folder(path="", form="Helm")]


def of(spec: Json, *, name: str = "a") -> Json:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": name, "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("mine", "its", "told"),
    [
        ([of(1), of(2)], [of(2), of(1)], ""),
        ([of(1)], [of(True)], "v1 X n/a .spec: Guard 1, alone true"),
        ([of(1)], [of(1.0)], "v1 X n/a .spec: Guard 1, alone 1.0"),
        ([of(1)], [of("1")], 'v1 X n/a .spec: Guard 1, alone "1"'),
        ([of({"a": [{"b": 1}]})], [of({"a": [{"b": None}]})], "v1 X n/a .spec.a[0].b: Guard 1, alone null"),
        ([of({})], [of({"a": None})], 'v1 X n/a .spec.a: Guard "(nothing)", alone null'),
        ([of([1, 2])], [of([2, 1])], "v1 X n/a .spec[0]: Guard 1, alone 2"),
        ([of(1)], [of(1), of(1)], "only the tool alone has v1 X n/a"),
        ([of(1), of(2, name="b")], [of(1)], "only Guard has v1 X n/b"),
    ],
)
def test_what_differs_is_told_with_its_place(mine: list[Json], its: list[Json], told: str) -> None:
    assert difference(mine, its) == told


def test_what_two_runs_of_a_tool_make_differently_is_left_out() -> None:
    first, second, mine = ([of({"key": key, "sum": [key]}), of(1)] for key in ("a", "b", "c"))
    places = unsteady(first, second)

    assert difference(without(mine, places), without(first, places)) == ""
    assert difference(without([of({"key": "c", "sum": []}), of(2)], places), without(first, places)) != ""
    assert mine == [of({"key": "c", "sum": ["c"]}), of(1)]


@pytest.mark.parametrize(
    ("guard", "alone", "difference", "verdict"),
    [
        ("", "", "", "same"),
        ("", "", "v1 X a .spec: Guard 1, alone 2", "differs"),
        ("a.yaml:1: is a list, not a Kubernetes object", "kubectl: bad", "", "both fail"),
        ("helm ends", "", "", "Guard fails"),
        ("", "kustomize: bad", "", "only Guard"),
        ("a.yaml:2:1: the key 'a' stands twice, first in line 1", "", "", "refused"),
        ("a: resources names https://x, which is elsewhere", "kustomize: no git", "", "refused"),
    ],
)
def test_verdicts(guard: str, alone: str, difference: str, verdict: Verdict) -> None:
    assert judged(guard=guard, alone=alone, difference=difference)[0] == verdict
