from __future__ import annotations

import pytest

from guard.source.weblinks import web_link

COMMIT = "3f2c1ab0000000000000000000000000000000aa"
FILE = "clusters/prod/web.yaml"
AZURE_LINES = "&line=17&lineEnd=18&lineStartColumn=1&lineEndColumn=1"


def link(url: str, *, file: str = FILE, revision: str = f"main@sha1:{COMMIT}", line: int = 17) -> str:
    return web_link(url, revision, file, line)


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://github.com/platform/deploy", f"https://github.com/platform/deploy/blob/3f2c1ab/{FILE}#L17"),
        ("https://github.com/platform/deploy.git/", f"https://github.com/platform/deploy/blob/3f2c1ab/{FILE}#L17"),
        ("https://GitHub.example.com/a/b", f"https://github.example.com/a/b/blob/3f2c1ab/{FILE}#L17"),
        ("https://acme.ghe.com/a/b", f"https://acme.ghe.com/a/b/blob/3f2c1ab/{FILE}#L17"),
        ("https://gitlab.com/a/group/b.git", f"https://gitlab.com/a/group/b/-/blob/3f2c1ab/{FILE}#L17"),
        ("https://git-gitlab.example.com:8443/a/b", f"https://git-gitlab.example.com:8443/a/b/-/blob/3f2c1ab/{FILE}#L17"),
        ("https://codeberg.org/a/b", f"https://codeberg.org/a/b/src/commit/3f2c1ab/{FILE}#L17"),
        ("https://gitea.example.com/a/b", f"https://gitea.example.com/a/b/src/commit/3f2c1ab/{FILE}#L17"),
        ("https://code.forgejo.example.com/a/b", f"https://code.forgejo.example.com/a/b/src/commit/3f2c1ab/{FILE}#L17"),
        ("https://bitbucket.org/a/b.git", f"https://bitbucket.org/a/b/src/3f2c1ab/{FILE}#lines-17"),
        (
            "https://bitbucket.example.com/scm/plat/deploy.git",
            f"https://bitbucket.example.com/projects/PLAT/repos/deploy/browse/{FILE}?at={COMMIT}#17",
        ),
        (
            "https://bitbucket.example.com/context/scm/~ada/deploy.git",
            f"https://bitbucket.example.com/context/users/ada/repos/deploy/browse/{FILE}?at={COMMIT}#17",
        ),
        (
            "https://dev.azure.com/acme/shop/_git/deploy",
            f"https://dev.azure.com/acme/shop/_git/deploy?path=/{FILE}&version=GC{COMMIT}{AZURE_LINES}",
        ),
        (
            "https://acme@dev.azure.com/acme/my%20shop/_git/deploy",
            f"https://dev.azure.com/acme/my%20shop/_git/deploy?path=/{FILE}&version=GC{COMMIT}{AZURE_LINES}",
        ),
        (
            "https://acme.visualstudio.com/shop/_git/deploy",
            f"https://acme.visualstudio.com/shop/_git/deploy?path=/{FILE}&version=GC{COMMIT}{AZURE_LINES}",
        ),
        ("https://git.sr.ht/~ada/deploy", f"https://git.sr.ht/~ada/deploy/tree/3f2c1ab/item/{FILE}#L17"),
    ],
)
def test_each_host_has_its_form(url: str, page: str) -> None:
    assert link(url) == page


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:a/b.git", f"https://github.com/a/b/blob/3f2c1ab/{FILE}#L17"),
        ("github.com:a/b.git", f"https://github.com/a/b/blob/3f2c1ab/{FILE}#L17"),
        ("git@gitea.example.com:/a/b.git", f"https://gitea.example.com/a/b/src/commit/3f2c1ab/{FILE}#L17"),
        ("ssh://git@gitlab.example.com:2222/a/b.git", f"https://gitlab.example.com/a/b/-/blob/3f2c1ab/{FILE}#L17"),
        (
            "ssh://git@bitbucket.example.com:7999/plat/deploy.git",
            f"https://bitbucket.example.com/projects/PLAT/repos/deploy/browse/{FILE}?at={COMMIT}#17",
        ),
        (
            "git@ssh.dev.azure.com:v3/acme/shop/deploy",
            f"https://dev.azure.com/acme/shop/_git/deploy?path=/{FILE}&version=GC{COMMIT}{AZURE_LINES}",
        ),
        ("git@git.sr.ht:~ada/deploy", f"https://git.sr.ht/~ada/deploy/tree/3f2c1ab/item/{FILE}#L17"),
    ],
)
def test_ssh_addresses_lead_to_the_pages_of_their_host(url: str, page: str) -> None:
    assert link(url) == page


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/github.com/deploy.git",
        "file:///srv/github.com/deploy.git",
        "https://git.example.com/platform/deploy",
        "https://notgithub.example.com/a/b",
        "https://example.com/github/deploy",
        "https://example.com/bitbucket/scm/plat/deploy.git",
        "https://127.0.0.1:3000/gitea/b",
        "https://gitea-http.gitea.svc.cluster.local/a/b",
        "https://gitea.git.svc/a/b",
        "https://github.com",
        "https://github.com/a/../b",
        "https://github.com/a/b%00",
        "https://github.com/a/b?x=1",
        "https://github.com:port/a",
        "https://[::1/a",
        "https://git\u202ehub.com/a/b",
        "git://github.com/a/b",
        "git@github.com",
        "git@ssh.dev.azure.com:acme/shop/deploy",
        "https://dev.azure.com/acme/shop",
        "https://bitbucket.example.com/deploy",
    ],
)
def test_no_link_is_better_than_a_wrong_one(url: str) -> None:
    assert link(url) == ""


@pytest.mark.case(39)
@pytest.mark.parametrize(
    "url", ["https://ada:hunter2@github.com/a/b", "https://hunter2@gitlab.com/a/b", "ssh://ada:hunter2@github.com/a/b"]
)
def test_user_names_and_passwords_of_an_address_are_left_out(url: str) -> None:
    assert link(url).startswith("https://git")
    assert "hunter2" not in link(url)
    assert "ada" not in link(url)


def test_file_names_are_escaped() -> None:
    assert link("https://github.com/a/b", file="ä b/#1?&%.yaml").endswith("/blob/3f2c1ab/%C3%A4%20b/%231%3F%26%25.yaml#L17")
    assert "path=/a%26b.yaml&version" in link("https://dev.azure.com/a/b/_git/c", file="a&b.yaml")


@pytest.mark.parametrize("revision", ["", "main", "bucket@sha256:0123", "main@sha1:3f2c1ab"])
def test_only_commits_have_pages(revision: str) -> None:
    assert link("https://github.com/a/b", revision=revision) == ""
