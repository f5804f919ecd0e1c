from __future__ import annotations

import pytest

from guard.base.errors import RenderError
from guard.render.detect import check_plain, detect
from guard.state.snapshot import Entry


def entries(*paths: str) -> list[Entry]:
    return [Entry(path=path, blob="0" * 40, size=1) for path in paths]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_a_folder_with_a_kustomization_is_kustomizes(name: str) -> None:
    assert detect(entries(f"apps/{name}", "apps/web.yaml"), "apps") == "Kustomize"
    assert detect(entries(name, "web.yaml"), "") == "Kustomize"


def test_a_folder_with_a_chart_is_helms() -> None:
    assert detect(entries("apps/Chart.yaml", "apps/templates/web.yaml"), "apps") == "Helm"


def test_what_lies_deeper_decides_nothing() -> None:
    assert detect(entries("apps/web/Chart.yaml", "apps/x/kustomization.yaml", "apps/web.yaml"), "apps") == "YAML"


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            ["kustomization.yaml", "Chart.yaml"],
            "apps: the folder holds both kustomization.yaml and Chart.yaml (set spec.renderer to Kustomize, Helm or YAML)",
        ),
        (
            ["kustomization.yaml", "Kustomization"],
            "apps: the folder holds kustomization.yaml and Kustomization (keep one of them)",
        ),
    ],
)
def test_a_folder_that_speaks_for_two_things_is_refused(names: list[str], complaint: str) -> None:
    with pytest.raises(RenderError) as caught:
        detect(entries(*(f"apps/{name}" for name in names)), "apps")
    assert str(caught.value) == complaint


def test_what_belongs_to_a_tool_is_no_manifest() -> None:
    check_plain(["web.yaml", "my-kustomization.yaml"])
    with pytest.raises(RenderError, match=r"web/Chart\.yaml: is Helm's, and no manifest"):
        check_plain(["web.yaml", "web/Chart.yaml"])
    with pytest.raises(RenderError, match="Kustomization: is Kustomize's, and no manifest"):
        check_plain(["x/Kustomization"])
