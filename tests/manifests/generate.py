"""Writes those manifests that the code decides: `python -m tests.manifests.generate`, from the root of the project."""

from __future__ import annotations

from pathlib import Path

import yaml

from guard.api import break_glass_crd, sync_crd
from guard.base.codec import JsonObject
from guard.breakglass import role
from guard.cluster import identity_objects

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
COLUMNS = 120


def generated() -> dict[str, str]:
    """The text of each generated file."""
    namespace, account, binding = (body for _, body in identity_objects())
    return {
        "00-namespace.yaml": _written("guard.cluster.identity_objects()", namespace),
        "10-crd.yaml": _written("guard.api.sync_crd() and break_glass_crd()", sync_crd(), break_glass_crd()),
        "20-rbac.yaml": _written("guard.cluster.identity_objects() and guard.breakglass.role()", account, binding, role()),
    }


def _written(maker: str, *objects: JsonObject) -> str:
    header = f"# Made from {maker} by `python -m tests.manifests.generate`; a test compares the two.\n"
    return header + "---\n".join(yaml.safe_dump(body, sort_keys=False, width=COLUMNS) for body in objects)


def main() -> None:
    for name, text in generated().items():
        (MANIFESTS / name).write_text(text)


if __name__ == "__main__":
    main()
