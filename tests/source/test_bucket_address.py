from __future__ import annotations

import pytest

from guard.base.errors import ConfigError
from guard.source.bucket.address import address_of


@pytest.mark.parametrize(
    ("endpoint", "region", "path_style", "url"),
    [
        ("", "", None, "https://deploy.s3.us-east-1.amazonaws.com"),
        ("", "eu-central-1", None, "https://deploy.s3.eu-central-1.amazonaws.com"),
        ("", "cn-north-1", None, "https://deploy.s3.cn-north-1.amazonaws.com.cn"),
        ("", "", True, "https://s3.us-east-1.amazonaws.com/deploy"),
        ("https://s3.example.com", "", None, "https://s3.example.com/deploy"),
        ("https://s3.example.com:9000/", "", True, "https://s3.example.com:9000/deploy"),
        ("https://s3.example.com/store", "", None, "https://s3.example.com/store/deploy"),
        ("https://s3.example.com", "", False, "https://deploy.s3.example.com"),
        ("http://127.0.0.1:9000", "", None, "http://127.0.0.1:9000/deploy"),
        ("http://localhost:9000", "", None, "http://localhost:9000/deploy"),
    ],
)
def test_where_a_bucket_is_asked_for(endpoint: str, region: str, path_style: bool | None, url: str) -> None:  # noqa: FBT001 (a parameter of the test)
    address = address_of(name="deploy", endpoint=endpoint, region=region, path_style=path_style)

    assert address.url() == f"{url}/"
    assert address.url("a b/ü+&.yaml", (("versionId", "a/b"),)) == f"{url}/a%20b/%C3%BC%2B%26.yaml?versionId=a%2Fb"


def test_a_name_with_dots_is_no_name_of_a_host_that_certificates_are_for() -> None:
    assert address_of(name="a.b", endpoint="", region="", path_style=None).base == "https://s3.us-east-1.amazonaws.com/a.b"


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://s3.example.com", "would send everything in the clear"),
        ("http://127.0.0.1.example.com", "would send everything in the clear"),
        ("https://user:s3cret@s3.example.com", "is not a URL of HTTP"),
        ("https://s3.example.com?x=1", "is not a URL of HTTP"),
        ("https://", "is not a URL of HTTP"),
        ("ftp://s3.example.com", "is not a URL of HTTP"),
        ("https://[::1", "cannot be read"),
        ("https://s3.example.com:port", "cannot be read"),
        ("https://s3.example.com/\x1b", "holds control characters"),
    ],
)
def test_endpoints_that_will_never_do(endpoint: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        address_of(name="deploy", endpoint=endpoint, region="", path_style=None)
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()
