"""Waiting until the API server serves the kinds that definitions define."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from guard.base.backoff import Backoff
from guard.base.codec import JsonObject, child, children
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client, collection_path, object_path
from guard.state.desired import Declared
from guard.state.ids import Kind

_AT_ONCE = 10
# It takes an API server by itself a few milliseconds, one of several five seconds.
_FIRST_SECONDS, _MOST_SECONDS = 0.02, 1.0
_NOT_FOUND = 404


async def established(definitions: Sequence[Declared], *, client: Client, seconds: float) -> list[tuple[Declared, str]]:
    """Wait until all are established and served; what is wrong with those that are not within so many seconds. Raises
    ClusterError.
    """

    async def one(declared: Declared) -> str:
        path = object_path(declared.kind, namespace="", name=declared.key.name)
        backoff = Backoff(first=_FIRST_SECONDS, most=_MOST_SECONDS)
        fault = ""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    live = await client.get(path)
                    fault = _fault(live)
                    if _is_refused(live):
                        return fault
                    if not fault and await _is_served(client, live):
                        return ""
                    await asyncio.sleep(backoff.next())
        except TimeoutError:
            return fault or f"its objects were not served within {seconds:.0f} s"
        except ApiStatusError as error:
            return error.message

    faults = await for_each(definitions, one, at_once=_AT_ONCE)
    return [
        (declared, fault if declared.secrecy.is_open else f"it is not established ({declared.secrecy.excuse})")
        for declared, fault in zip(definitions, faults, strict=True)
        if fault
    ]


def _conditions(live: JsonObject) -> dict[str, JsonObject]:
    return {str(found.get("type")): found for found in children(child(live, "status"), "conditions")}


def _fault(live: JsonObject) -> str:
    conditions = _conditions(live)
    if conditions.get("Established", {}).get("status") == "True":
        return ""
    names = conditions.get("NamesAccepted", {})
    why = f": {names.get('reason')}: {names.get('message')}" if names.get("status") == "False" else ""
    return f"it is not established{why}"


def _is_refused(live: JsonObject) -> bool:
    """Its names are another definition's, which time alone does not change."""
    return _conditions(live).get("NamesAccepted", {}).get("status") == "False"


async def _is_served(client: Client, live: JsonObject) -> bool:
    """The condition comes a moment before the API server answers for the kind."""
    for path in _collections(live):
        try:
            await client.get(path, params={"limit": "1"})
        except ApiStatusError as error:
            if error.code == _NOT_FOUND:
                return False
            # Whatever else is wrong with its objects (a conversion webhook), the kind is there.
        except ClusterError:
            return False
    return True


def _collections(live: JsonObject) -> Iterator[str]:
    spec = child(live, "spec")
    names = child(spec, "names")
    for version in children(spec, "versions"):
        if version.get("served"):
            kind = Kind(
                group=str(spec.get("group")),
                version=str(version.get("name")),
                kind=str(names.get("kind")),
                resource=str(names.get("plural")),
                namespaced=spec.get("scope") == "Namespaced",
            )
            yield collection_path(kind)
