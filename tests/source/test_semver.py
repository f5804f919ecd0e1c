from __future__ import annotations

import pytest

from guard.base.errors import ConfigError
from guard.source.semver import check_range, newest

TAGS = [
    "v0.9.0",
    "1.0.0",
    "v1.2.0-rc.1",
    "v1.2.0",
    "v1.10.0",
    "v1.9.0",
    "v2.0.0-rc.1",
    "v2.0.0",
    "v2.0",
    "latest",
    "release-3.0.0",
    "v",
]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (">=1.2.0 <2.0.0", "v1.10.0"),
        (">=1.2.0, <2.0.0", "v1.10.0"),
        (">= v1.2.0,< 2.0.0", "v1.10.0"),
        ("^1.2", "v1.10.0"),
        ("~1.9", "v1.9.0"),
        ("1.x", "v1.10.0"),
        ("1.0.0", "1.0.0"),
        ("v1.0.0", "1.0.0"),
        ("0.9 - 1.2", "v1.2.0"),
        ("^0.9 || ^2", "v2.0.0"),
        ("^0", "v0.9.0"),
        ("^0.0 || <1", "v0.9.0"),
        ("~1", "v1.10.0"),
        (">1.9 <2", "v1.10.0"),
        (">1.9.0 <=1.10", "v1.10.0"),
        (">1 <=2", "v2.0.0"),
        ("<=1.9.0", "v1.9.0"),
        ("<1.2", "1.0.0"),
        (">=1.x <1.10", "v1.9.0"),
        ("^0.9.0", "v0.9.0"),
        ("=1.2.x", "v1.2.0"),
        ("<=*", "v2.0.0"),
        ("*", "v2.0.0"),
        (">2", ""),
    ],
)
def test_the_newest_version_in_the_range_is_taken(text: str, tag: str) -> None:
    assert newest(TAGS, text) == tag
    assert newest(reversed(TAGS), text) == tag


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<2.0.0", "v1.10.0"),
        ("<=2.0.0-rc.2", "v2.0.0-rc.1"),
        (">=2.0.0-0 <2.0.0", "v2.0.0-rc.1"),
        ("~1.2.0-rc.0", "v1.2.0"),
        ("^2.0.0-rc.2", "v2.0.0"),
        ("=2.0.0-rc.1", "v2.0.0-rc.1"),
        ("1.9.0 - 2.0.0-rc.1", "v2.0.0-rc.1"),
        ("^1.2.0-rc.1", "v1.10.0"),
        ("1.2.0-rc.1+build", "v1.2.0-rc.1"),
    ],
)
def test_prereleases_are_taken_only_where_the_range_names_one(text: str, tag: str) -> None:
    assert newest(TAGS, text) == tag


def test_of_versions_that_differ_in_build_metadata_one_is_always_taken() -> None:
    tags = ["v1.0.0+b", "v1.0.0", "v1.0.0+a"]

    assert {newest(tags, "^1"), newest(reversed(tags), "^1")} == {"v1.0.0+b"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "latest",
        "main",
        "1.2.3.4",
        "~> 1.2",
        "1.2.x-rc",
        "<x",
        "1 - 2 - 3",
        "^1 ||",
        "1.02",
        "1.2.3-",
        "1." + "9" * 5000,
        ">>1",
        "^",
        "1٣",
        "1.0.0\n--x",
    ],
)
def test_other_texts_are_no_ranges(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a range of versions") as caught:
        check_range(text)
    assert str(caught.value).isprintable()
