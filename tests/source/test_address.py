from __future__ import annotations

import pytest

from guard.base.errors import ConfigError
from guard.source import GitRef
from guard.source.address import check_ref, check_url


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("https://git.example.com/platform/deploy.git", "https"),
        ("https://git.example.com:8443/deploy", "https"),
        ("file:///srv/deploy.git", "file"),
        ("/srv/deploy.git", "file"),
        ("http://127.0.0.1:3000/deploy", "http"),
        ("http://[::1]/deploy", "http"),
        ("http://localhost/deploy", "http"),
        ("ssh://git@git.example.com/deploy", "ssh"),
        ("ssh://git@git.example.com:2222/~platform/deploy.git", "ssh"),
        ("ssh://git@[::1]:2222/deploy", "ssh"),
        ("git@git.example.com:platform/deploy.git", "ssh"),
        ("git@ssh.example.com:v3/organisation/project/deploy", "ssh"),
        ("git@[::1]:platform/deploy.git", "ssh"),
        ("git@git.example.com:/srv/deploy.git", "ssh"),
    ],
)
def test_supported_addresses_pass(url: str, scheme: str) -> None:
    assert check_url(url) == scheme


@pytest.mark.parametrize(
    "url",
    [
        "",
        "deploy",
        "./deploy",
        "git.example.com:platform/deploy.git",
        "git@git.example.com",
        "git@-oProxyCommand=id:deploy",
        "-git@git.example.com:deploy",
        "git@git.example.com:-deploy",
        "git@git.example.com:a b",
        "git@git.example.com://deploy",
        "git@git.example.com:",
        "git@a@git.example.com:deploy",
        "ssh://git.example.com/deploy",
        "ssh://-oProxyCommand=id@git.example.com/deploy",
        "ssh://git@-oProxyCommand=id/deploy",
        "ssh://git@git.example.com",
        "ssh://git@git.example.com/",
        "ssh://git@/deploy",
        "ssh://git@git.example.com:-1/deploy",
        "ssh://git@git.example.com:port/deploy",
        "ssh://git@git.example.com/deploy#main",
        "ssh://git@git%2eexample.com/deploy",
        "git+ssh://git@git.example.com/deploy",
        "git://git.example.com/deploy",
        "ext::sh -c id",
        "--upload-pack=id",
        "file://host/srv/deploy",
        "https:///deploy",
        "https://git.example.com:port/deploy",
        "http://git.example.com/deploy",
        "http://127.0.0.1.example.com/deploy",
        "https://git.example.com/deploy?token=s3cret",
        "https://git.example.com/deploy\n",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:s3cret@git.example.com/deploy",
        "https://a:s3cret/@git.example.com/deploy",
        "ssh://git:s3cret@git.example.com/deploy",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "ref",
    [
        GitRef(branch="--upload-pack=id"),
        GitRef(branch="a b"),
        GitRef(branch="a..b"),
        GitRef(branch="a:b"),
        GitRef(branch="a*"),
        GitRef(branch="@"),
        GitRef(tag="v1^{}"),
        GitRef(tag="a.lock"),
        GitRef(tag="a/"),
        GitRef(semver="latest"),
        GitRef(semver="^1", branch="main"),
        GitRef(commit="main"),
        GitRef(commit="3f2c1ab"),
        GitRef(branch="main", tag="v1"),
    ],
)
def test_a_ref_that_git_could_not_hold_is_refused(ref: GitRef) -> None:
    with pytest.raises(ConfigError):
        check_ref(ref)


@pytest.mark.parametrize(
    "ref", [GitRef(), GitRef(branch="release/1.2"), GitRef(tag="v1.0.0+x@y"), GitRef(semver=">=1, <3"), GitRef(commit="0a" * 20)]
)
def test_a_ref_that_git_could_hold_passes(ref: GitRef) -> None:
    check_ref(ref)
