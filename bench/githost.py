"""The real `git http-backend` behind TLS, in a process of its own: `python -m bench.githost ROOT`.

Its first line of output is JSON: the URL of the folder, and the authority to trust. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from guard.base import codec
from tests.source import githttp


class Host(msgspec.Struct, frozen=True):
    url: str
    ca_certificate: str


async def main() -> None:
    async with githttp.serve(Path(sys.argv[1])) as server:
        print(codec.encode(Host(url=server.url(""), ca_certificate=server.ca_certificate)).decode(), flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


@contextlib.asynccontextmanager
async def serving(root: Path) -> AsyncGenerator[Host]:
    """A host of the repositories below `root`, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.githost", str(root), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield codec.decode_as(await process.stdout.readline(), Host)
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
