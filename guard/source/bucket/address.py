"""Where a bucket is asked for. No I/O."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from msgspec import Struct

from guard.base.errors import ConfigError
from guard.source.address import is_loopback

DEFAULT_REGION = "us-east-1"
# AWS' wildcard certificates stand for one name, without dots.
_DOMAINS = {"cn-": "amazonaws.com.cn"}

# What AWS has unencoded in the URL that is signed.
_SAFE = "-_.~"


class S3Address(Struct, frozen=True):
    """`base` is the URL of the bucket, without a slash behind it."""

    base: str
    region: str

    def url(self, key: str = "", query: tuple[tuple[str, str], ...] = ()) -> str:
        """Encoded as it is signed."""
        asked = "&".join(f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in sorted(query))
        return f"{self.base}/{quote(key, safe=_SAFE + '/')}{'?' if asked else ''}{asked}"


def address_of(*, name: str, endpoint: str, region: str, path_style: bool | None) -> S3Address:
    """Raises ConfigError for an endpoint that is no URL of HTTP, or would have everything sent in the clear."""
    region = region or DEFAULT_REGION
    if not endpoint:
        domain = next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), "amazonaws.com")
        return _styled(f"https://s3.{region}.{domain}", name, region=region, is_path=bool(path_style) or "." in name)
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError as error:
        raise ConfigError("the endpoint of the bucket cannot be read", hint="such as https://s3.example.com") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("the endpoint of the bucket is not a URL of HTTP", hint="such as https://s3.example.com")
    if not endpoint.isprintable() or " " in endpoint:
        raise ConfigError("the endpoint of the bucket holds control characters or spaces")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(f"{endpoint} would send everything in the clear", hint="use https://; http:// is for loopback only")
    return _styled(endpoint.rstrip("/"), name, region=region, is_path=path_style is not False)


def _styled(endpoint: str, name: str, *, region: str, is_path: bool) -> S3Address:
    if is_path:
        return S3Address(base=f"{endpoint}/{name}", region=region)
    scheme, _, rest = endpoint.partition("://")
    return S3Address(base=f"{scheme}://{name}.{rest}", region=region)
