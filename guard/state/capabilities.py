"""What a cluster can do, as Helm's `.Capabilities` tells charts."""

from __future__ import annotations

import msgspec


class Capabilities(msgspec.Struct, frozen=True):
    """`version` is the API server's, as `v1.37.2`; `apis` are, sorted, `apps/v1` and `apps/v1/Deployment` for all it serves."""

    version: str
    apis: tuple[str, ...]
