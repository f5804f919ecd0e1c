"""One way to write an object in text, and text so that a terminal only shows it."""

from __future__ import annotations

SHORT_COMMIT = 7  # digits, as git itself shows


def titled(*, kind: str, namespace: str, name: str) -> str:
    """`Deployment default/web`, or `ClusterRole reader` where there is no namespace. Printable, since names come from requests
    and manifests that nobody has validated.
    """
    return printable(f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}")


def argument(*, kind: str, namespace: str, name: str) -> str:
    """The object as kubectl and guard take it: `deployment/web -n default`."""
    reference = f"{kind.lower()}/{name}"
    return f"{reference} -n {namespace}" if namespace else reference


def place(file: str, line: int) -> str:
    """`apps/web.yaml:17`, or the file alone where the line is not known (0)."""
    return f"{file}:{line}" if line else file


def short_revision(revision: str) -> str:
    """`main@sha1:3f2c1ab...` as `main@3f2c1ab`."""
    name, at, digest = revision.rpartition("@")
    digest = digest.rpartition(":")[2][:SHORT_COMMIT]
    return f"{name}@{digest}" if at else digest


def source_of(revision: str) -> str:
    """What people call the source that a revision is of; Git where it is none, or not known yet."""
    return "the bucket" if "@sha256:" in revision else "Git"


def listed(*parts: str) -> str:
    """What there is of the parts, with commas between."""
    return ", ".join(part for part in parts if part)


def plural(count: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """The text with everything escaped that is no visible character or space: control characters (a terminal obeys them), line
    breaks, marks of writing direction and zero-width characters (they make a text look like another), lone surrogates. What is
    printable already stays as it is, so escaping twice does no harm.
    """
    if text.isprintable():
        return text
    return text.translate({ord(letter): letter.encode("unicode_escape").decode() for letter in _hidden(text)})


def printable_json(text: str) -> str:
    """JSON with everything escaped that `printable` escapes, but for the line breaks between its parts; it reads as the same
    value. JSON itself escapes no control character past U+001F.
    """
    return text.translate({ord(letter): _json_escape(letter) for letter in _hidden(text) if letter != "\n"})


def _hidden(text: str) -> set[str]:
    # Each letter once: a text may be megabytes long.
    return {letter for letter in set(text) if not letter.isprintable()}


def _json_escape(letter: str) -> str:
    """Past U+FFFF it takes two, as UTF-16 does."""
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
