"""What a kustomization refers to, followed before kustomize runs."""

from __future__ import annotations

import pytest

from guard.base.errors import RenderError
from guard.render import bases
from guard.render.bases import visit
from guard.render.kustomization import is_remote
from tests.render.memory import MemoryTree

FIELDS = ["resources", "bases", "components", "generators", "transformers", "validators", "crds", "configurations", "rEsOuRcEs"]
# Go's decoder of JSON takes the long s, and the sign of the kelvin, for the letters.
ODD_FIELDS = [*FIELDS, "re\u017fources", "CRD\u017f"]
OUT = ["../../..", "../../x", "../..", "/etc", "/etc/passwd", "//etc", "..//..//../etc", "./../../../etc/passwd", "a/../../../b"]
REMOTE = [
    "https://example.com/a.yaml", "HTTPS://example.com/a.yaml", "http://example.com/a", "http:example.com/a",
    "https://user:sesame@example.com/org/repo//base?ref=main", "ssh://git@example.com/org/repo", "git@example.com:org/repo",
    "git::https://example.com/org/repo", "GIT::git@example.com:org/repo.git", "github.com/org/repo", "GitHub.com:org/repo//x",
    "file:///etc", "FILE:///etc/x//y", "ada@example.com:repo.git", "https://dev.azure.com/org/project/_git/repo/base",
]  # fmt: skip
LOCAL = [
    "base",
    "../base",
    "example.com/org/repo",
    "github.com",
    "my@folder",
    "a:b/c/d",
    "httpsfolder",
    "ssh/a/b",
    "git::a",
    "x.git/a",
]


def kustomization(text: str, **others: str) -> MemoryTree:
    return MemoryTree({"prod/kustomization.yaml": text, **others})


async def refusal(tree: MemoryTree, *, remote: bool = False) -> str:
    with pytest.raises(RenderError) as caught:
        await visit(tree, "prod", remote=remote)
    return str(caught.value)


@pytest.mark.parametrize("name", REMOTE)
def test_what_kustomize_would_fetch_is_known(name: str) -> None:
    assert is_remote(name)


@pytest.mark.parametrize("name", LOCAL)
def test_what_kustomize_takes_for_a_path_is_one(name: str) -> None:
    assert not is_remote(name)


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_what_is_elsewhere_is_refused_with_its_line(field: str, name: str) -> None:
    said = await refusal(kustomization(f"namespace: a\n{field}:\n  - '{name}'\n"))
    assert said.startswith("prod/kustomization.yaml:3: ")
    assert said.endswith(", which is elsewhere (copy it into the repository, or set spec.kustomize.remoteBases: Allow)")
    assert "sesame" not in said


@pytest.mark.parametrize(
    "text",
    [
        "configMapGenerator: [{name: a, files: ['URL']}]",
        "configMapGenerator: [{name: a, files: ['key=URL']}]",
        "secretGenerator: [{name: a, ENVS: ['URL']}]",
        "secretGenerator: [{name: a, env: 'URL'}]",
        "patches: [{path: 'URL'}]",
        "patchesJson6902: [{path: 'URL'}]",
        "patchesStrategicMerge: ['URL']",
        "replacements: [{path: 'URL'}]",
        "openapi: {path: 'URL'}",
    ],
)
async def test_files_that_are_elsewhere_are_refused(text: str) -> None:
    said = await refusal(kustomization(text.replace("URL", "https://example.com/a")))
    assert said.startswith("prod/kustomization.yaml:1: ")
    assert "names https://example.com/a, which is elsewhere" in said
    said = await refusal(kustomization(text.replace("URL", "../../a")))
    assert said.endswith("names ../../a, which leads out of the repository")
    said = await refusal(kustomization(text.replace("URL", "/etc/passwd")))
    assert said.endswith("names /etc/passwd, an absolute path")


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_what_leads_out_of_the_repository_is_refused(field: str, name: str) -> None:
    said = await refusal(kustomization(f"{field}: ['{name}']"))
    assert said.endswith(("which leads out of the repository", "an absolute path"))


@pytest.mark.parametrize("name", ["%2e%2e/%2e%2e/etc", "..\\..\\etc", "a\0b", "~/x", "$HOME", "*.yaml"])
async def test_other_notations_are_names_like_any(name: str) -> None:
    said = await refusal(kustomization("resources: [" + repr(name).replace("'", '"') + "]"))
    assert said.startswith("prod/kustomization.yaml:1: resources names ")


async def test_what_is_elsewhere_is_noted_where_it_is_allowed() -> None:
    found = await visit(kustomization("resources: [github.com/org/repo]"), "prod", remote=True)
    assert found.remote
    assert set(found.entries) == {"prod/kustomization.yaml"}


@pytest.mark.parametrize("name", ["file:///etc", "FILE:///etc//x", "git::file:///srv/other.git"])
async def test_a_path_of_guards_own_machine_is_refused_even_then(name: str) -> None:
    said = await refusal(kustomization(f"resources: ['{name}']"), remote=True)
    assert said.endswith(", which is elsewhere (copy it into the repository)")


async def test_each_folder_is_followed_once_whatever_leads_to_it() -> None:
    tree = MemoryTree(
        {
            "prod/kustomization.yaml": "resources: [../a, nested, own.yaml]\ncomponents: [../c]\n",
            "prod/own.yaml": "x",
            "prod/nested/kustomization.yml": "resources: [../../a/../a/]\n",
            "a/kustomization.yaml": "transformers: [../t]\nresources: [../prod]\n",
            "c/Kustomization": "bases: [../a]\n",
            "t/kustomization.yaml": "{}",
            "unrelated/secret.yaml": "x",
        }
    )
    found = await visit(tree, "prod", remote=False)
    assert set(found.folders) == {"prod", "prod/nested", "a", "c", "t"}
    assert "unrelated/secret.yaml" not in found.entries
    assert len(found.entries) == 6
    assert not found.remote


async def test_links_are_left_out_unless_they_are_used() -> None:
    files = {"prod/kustomization.yaml": "resources: [a.yaml]", "prod/a.yaml": "x", "prod/link": "/etc"}
    assert "prod/link" not in (await visit(MemoryTree(files, links=["prod/link"]), "prod", remote=False)).entries
    for name in ("link", "./link", "link/passwd", "a/../link"):
        said = await refusal(MemoryTree(files | {"prod/kustomization.yaml": f"resources: [{name}]"}, links=["prod/link"]))
        assert said.endswith("which is a symbolic link, which Guard does not follow")


async def test_the_number_of_folders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "MOST_FOLDERS", 20)
    chain = {f"n{index}/kustomization.yaml": f"resources: [../n{index + 1}]" for index in range(30)}
    said = await refusal(MemoryTree(chain | {"prod/kustomization.yaml": "resources: [../n0]"}))
    assert said == "prod/kustomization.yaml: is made of more than 20 kustomizations"


async def test_the_size_of_kustomizations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "MOST_BYTES", 40)
    said = await refusal(kustomization("resources: [../a]", **{"a/kustomization.yaml": "# a comment of some length\n"}))
    assert said == "a/kustomization.yaml: kustomizations are larger than 0 MiB together"
