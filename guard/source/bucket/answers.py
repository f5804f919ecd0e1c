"""Reads what S3 answers in XML. Anything else (a page of a web server, a document that refers to others) is refused. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from msgspec import Struct

from guard.source.bucket.revision import Listed

# What was put while the bucket was not versioned, and is replaced in place.
NO_VERSION = "null"
# Three times as many as 1,000 objects with a dozen fields each; the deepest is the owner of a version: four.
MOST_ELEMENTS, MOST_DEPTH = 40_000, 8
# Nothing else of Guard runs while the parser works on a piece: of what takes it the longest, ten milliseconds.
_PIECE = 16 * 1024


class _Parser(Protocol):
    def feed(self, data: str) -> None: ...
    def close(self) -> object: ...
    def read_events(self) -> Iterator[tuple[str, ET.Element]]: ...


class NotS3(ValueError):
    """It is not what S3 answers."""


class Page(Struct, frozen=True):
    """Some objects of a listing; `more` continues it, and is empty at its end."""

    objects: tuple[Listed, ...]
    more: str


class Version(Struct, frozen=True):
    """A version of an object, or the mark that it was deleted. `version` is empty for what was put without one."""

    key: str
    version: str
    etag: str
    size: int
    modified: str
    is_deletion: bool
    is_latest: bool


class Versions(Struct, frozen=True):
    """Some versions of all objects, by key, the newest first; `more` continues after that key and version."""

    versions: tuple[Version, ...]
    more: tuple[str, str] | None


class Refusal(Struct, frozen=True):
    """Why S3 did not do something; what it does not tell is empty."""

    code: str = ""
    message: str = ""
    region: str = ""
    server_time: str = ""


def page(body: bytes) -> Page:
    """The answer to ListObjectsV2."""
    root = _root(body, "ListBucketResult")
    fields, decoded = _fields(root), _decoder(root)
    objects: list[Listed] = []
    for each in root:
        if _name(each) == "Contents":
            found = _fields(each)
            objects.append(
                Listed(
                    key=decoded(_required(found, "Key")),
                    etag=_tag(found),
                    size=_number(found.get("Size", "")),
                    modified=found.get("LastModified", ""),
                )
            )
    more = fields.get("NextContinuationToken", "") if fields.get("IsTruncated") == "true" else ""
    if fields.get("IsTruncated") == "true" and not more:
        raise NotS3("a listing that goes on does not say where")
    return Page(objects=tuple(objects), more=more)


def versions(body: bytes) -> Versions:
    """The answer to ListObjectVersions."""
    root = _root(body, "ListVersionsResult")
    fields, decoded = _fields(root), _decoder(root)
    found = tuple(_version(_fields(each), _name(each), decoded) for each in root if _name(each) in {"Version", "DeleteMarker"})
    if fields.get("IsTruncated") != "true":
        return Versions(versions=found, more=None)
    return Versions(versions=found, more=(decoded(_required(fields, "NextKeyMarker")), fields.get("NextVersionIdMarker", "")))


def refusal(body: bytes) -> Refusal:
    """The body of an error; empty where it is none of S3's."""
    try:
        fields = _fields(_root(body, "Error"))
    except NotS3:
        return Refusal()
    return Refusal(
        code=fields.get("Code", ""),
        message=fields.get("Message", ""),
        region=fields.get("Region", ""),
        server_time=fields.get("ServerTime", ""),
    )


def version_of(text: str) -> str:
    return "" if text == NO_VERSION else text


def _version(fields: dict[str, str], name: str, decoded: Callable[[str], str]) -> Version:
    return Version(
        key=decoded(_required(fields, "Key")),
        version=version_of(_required(fields, "VersionId")),
        etag=fields.get("ETag", ""),
        size=_number(fields.get("Size", "0")),
        modified=fields.get("LastModified", ""),
        is_deletion=name == "DeleteMarker",
        is_latest=fields.get("IsLatest") == "true",
    )


def _root(body: bytes, name: str) -> ET.Element:
    # Nothing that S3 says needs a document type, with which a small document can make a parser work for hours.
    if b"<!" in body or b"\0" in body:
        raise NotS3("the answer is not one of S3's")
    try:
        root = _parsed(body.decode())
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise NotS3("the answer is not XML") from error
    if root is None or _name(root) != name:
        raise NotS3(f"the answer is not a {name}")
    return root


def _parsed(text: str) -> ET.Element | None:
    """In pieces, and no further than what is longer, deeper or more than anything in S3: a page of eight megabytes that is made
    for it would keep the parser, and with it the whole of Guard, busy for seconds.
    """
    parser = cast("_Parser", ET.XMLPullParser(("start", "end")))
    root: ET.Element | None = None
    elements = depth = 0
    for at in range(0, len(text), _PIECE):
        piece, before = text[at : at + _PIECE], (elements, depth)
        parser.feed(piece)
        for event, element in parser.read_events():
            root = element if root is None else root
            elements += event == "start"
            depth += 1 if event == "start" else -1
            if elements > MOST_ELEMENTS or depth > MOST_DEPTH:
                raise NotS3("the answer holds more than one of S3's")
        # A tag or a text that is longer than a piece; keys have 1,024 bytes, of which each may be written as three.
        if len(piece) == _PIECE and before == (elements, depth):
            raise NotS3("the answer holds more in one place than one of S3's")
    parser.close()
    return root


def _name(element: ET.Element) -> str:
    """Without the namespace."""
    return element.tag.rpartition("}")[2]


def _fields(element: Iterable[ET.Element]) -> dict[str, str]:
    return {_name(child): child.text or "" for child in element}


def _decoder(root: ET.Element) -> Callable[[str], str]:
    """Keys are encoded as in URLs where that was asked for and the store knows of it."""
    return unquote_plus if _fields(root).get("EncodingType") == "url" else str


def _required(fields: dict[str, str], name: str) -> str:
    if not fields.get(name):
        raise NotS3(f"the answer lacks {name}")
    return fields[name]


def _tag(fields: dict[str, str]) -> str:
    """It goes into a header."""
    found = _required(fields, "ETag")
    if not found.isascii() or not found.isprintable():
        raise NotS3("the answer has an ETag that is none")
    return found


def _number(text: str) -> int:
    # ASCII digits alone, and no more of them than 2^63 has.
    if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004
        raise NotS3("the answer has a size that is no number")
    return int(text)
