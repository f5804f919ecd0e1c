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
