"""What a Guard does with a revision up to the decision's index, put together as sync/source.py and sync/reconcile.py do it, but
without a cluster.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import msgspec

from bench.objects import CONFIG_MAP, DEPLOYMENT
from guard.cluster import Served
from guard.render.cache import Cache
from guard.render.parse import Parser
from guard.render.render import Renderer
from guard.render.texts import Texts
from guard.source import GitCredentials, GitRef, GitSource
from guard.state.desired import View
from guard.sync.plan import NOTHING, compare, resolve

SYNC, LABEL = "guard-system/apps", "guard-system.apps"
SERVED = Served((CONFIG_MAP, DEPLOYMENT), scaled=(DEPLOYMENT,))
TODAY = 1  # for the cache, which counts days


class Steps(msgspec.Struct, frozen=True):
    """Seconds from the question whether there is anything new to the index that decisions read."""

    fetch: float
    render: float
    resolve: float
    index: float

    @property
    def total(self) -> float:
        return self.fetch + self.render + self.resolve + self.index

    @property
    def after_fetch(self) -> float:
        return self.render + self.resolve + self.index


class Follower:
    """One Sync's source, renderer, plan and index. What is below `directory` survives it, as in a restart of Guard."""

    def __init__(self, url: str, directory: Path, *, ca_certificate: str = "") -> None:
        credentials = GitCredentials(ca_certificate=ca_certificate)
        self._source = GitSource(url=url, ref=GitRef(branch="main"), credentials=credentials, directory=directory / "sources")
        self._cache = Cache(directory / "cache" / "manifests.db", today=lambda: TODAY)
        self._parser = Parser(cache=self._cache)
        self._texts = Texts()
        self._renderer = Renderer(self._parser, texts=self._texts)
        self._plan = NOTHING
        self.view = View()

    async def look(self) -> float:
        """Seconds of a look that finds nothing new."""
        started = perf_counter()
        revision = await self._source.fetch()
        taken = perf_counter() - started
        assert revision == self.view.state.revision(SYNC), "there was something new"
        return taken

    async def follow(self) -> Steps:
        """Put the newest revision in force."""
        started = perf_counter()
        revision = await self._source.fetch()
        fetched = perf_counter()
        groups = await self._renderer.render(self._source.tree(revision), "")
        self._texts.keep({revision, self.view.state.revision(SYNC)})
        rendered = perf_counter()
        work = await asyncio.to_thread(compare, groups, before=self._plan)
        found = await asyncio.to_thread(resolve, work, find=SERVED.find, define=SERVED.definition, sync=SYNC, label=LABEL)
        resolved = perf_counter()
        gone = [declared.key for declared in found.gone]
        state = await asyncio.to_thread(self.view.state.with_changes, SYNC, found.put, gone, revision=revision)
        self.view.replace(state, gone=gone)
        indexed = perf_counter()
        self._plan = found
        await self._source.keep(revision)
        self._texts.keep({revision})
        return Steps(fetch=fetched - started, render=rendered - fetched, resolve=resolved - rendered, index=indexed - resolved)

    async def close(self) -> None:
        await self._source.close()
        await self._parser.close()
        await self._cache.close()
