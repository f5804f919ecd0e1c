from __future__ import annotations

import pytest

from guard.source.repositories import repository


@pytest.mark.parametrize(
    "urls",
    [
        (
            "https://git.example.com/platform/deploy",
            "https://git.example.com/platform/deploy.git",
            "https://git.example.com/platform/deploy/",
            "https://git.example.com/platform/deploy.git/",
            "https://git.example.com:8443/platform/deploy",
            "https://deploy@git.example.com/platform/deploy",
            "https://GIT.example.com/Platform/Deploy",
            "https://git.example.com./platform/deploy",
            "https://git.example.com/platform/%64eploy",
            "ssh://git@git.example.com/platform/deploy.git",
            "ssh://git@git.example.com:2222/platform/deploy",
            "git@git.example.com:platform/deploy.git",
            "git@git.example.com:/platform/deploy.git",
            "git.example.com:platform/deploy",
        ),
        ("/srv/git/deploy", "/srv/git/deploy.git", "file:///srv/git/deploy", "/srv/git/deploy/.git"),
        ("https://[::1]:8443/deploy", "ssh://git@[::1]/deploy", "git@[::1]:deploy.git"),
    ],
    ids=["host", "path", "ipv6"],
)
def test_forms_of_one_url_are_one_repository(urls: tuple[str, ...]) -> None:
    assert len({repository(url) for url in urls}) == 1


def test_different_repositories_differ() -> None:
    urls = (
        "https://git.example.com/platform/deploy",
        "https://git.example.com/platform/deploy2",
        "https://git.example.com/deploy",
        "https://git.example.com/team/platform/deploy",
        "https://example.com/platform/deploy",
        "https://git.example.com/platform/deploy.gitx",
        "/platform/deploy",
        "/srv/git:web/deploy",
        "https://[broken",
        "git@git.example.com",
    )
    assert len({repository(url) for url in urls}) == len(urls)
