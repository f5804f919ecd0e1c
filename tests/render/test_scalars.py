"""The values are those of tests/render/golden.py, which test_golden.py holds against kubectl."""

from __future__ import annotations

import pytest

from guard.base.codec import Json
from guard.render.yaml import documents
from tests.render.golden import SCALARS
from tests.render.kubectl import typed


@pytest.mark.parametrize(("text", "expected"), SCALARS, ids=lambda part: repr(part)[:40])
def test_scalars_are_what_kubectl_makes_of_them(text: str, expected: Json) -> None:
    (document,) = documents("a.yaml", f"v: {text}".encode())
    assert typed(document.value) == typed({"v": expected})
