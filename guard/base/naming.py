"""One way to write an object in text."""

from __future__ import annotations


def titled(*, kind: str, namespace: str, name: str) -> str:
    """`Deployment default/web`, or `ClusterRole reader` where there is no namespace."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def argument(*, kind: str, namespace: str, name: str) -> str:
    """The object as kubectl and guard take it: `deployment/web -n default`."""
    reference = f"{kind.lower()}/{name}"
    return f"{reference} -n {namespace}" if namespace else reference


def plural(count: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """The text with everything escaped that is no visible character or space: control characters (a terminal obeys them), line
    breaks, marks of writing direction and zero-width characters (they make a text look like another), lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
