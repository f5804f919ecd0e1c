"""What a repository answers about its refs."""

from __future__ import annotations

import pytest

from guard.base.errors import SourceError
from guard.source import GitRef
from guard.source.refs import answer
from tests.source.conftest import Source
from tests.source.repository import Repository


async def test_a_tag_does_not_speak_for_another_one(repository: Repository, source: Source) -> None:
    """By a character that Python, and nobody else, takes for the end of a line."""
    good = repository.commit({"a.yaml": "1"})
    repository.git("tag", "v1.0.0")
    bad = repository.commit({"a.yaml": "2"})
    repository.git("tag", "v1.0.0\u2028x")
    await source(repository.url, ref=GitRef(commit=bad)).fetch()

    assert await source(repository.url, ref=GitRef(semver="1.x")).fetch() == f"v1.0.0@sha1:{good}"


@pytest.mark.parametrize("name", ["ma\u009b31mn", "\u202emain", "x" * 5000])
def test_a_default_branch_that_cannot_be_shown_is_refused(name: str) -> None:
    listing = f"ref: refs/heads/{name}\tHEAD\n{'a' * 40}\tHEAD\n".encode()

    with pytest.raises(SourceError, match="has a name that cannot be"):
        answer(listing, GitRef())
