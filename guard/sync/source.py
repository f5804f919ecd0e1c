"""A Sync's source at work: its repository or bucket, opened as the Sync and its Secrets say at each fetch, and read as
manifests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from guard import api
from guard.cluster import Served
from guard.render import keys
from guard.render.decrypt import Decryption
from guard.render.detect import Form
from guard.render.helm import Helm
from guard.render.kustomize import Kustomize
from guard.render.parse import Parser
from guard.render.render import Renderer
from guard.render.texts import Texts
from guard.render.tool import Tool
from guard.source import (
    BucketSource,
    BucketVerify,
    GitRef,
    GitSource,
    GitVerify,
    Known,
    Link,
    Source,
    Trust,
    bucket_credentials_of,
    credentials_of,
)
from guard.state.desired import Declared, View
from guard.state.fields import Path as FieldPath
from guard.sync import tenancy
from guard.sync.plan import Groups
from guard.sync.secrets import Secrets


class SourceFolder:
    """The folder of a source that a Sync names. `sync` gives the Sync as it is now, `served` what the API server serves now;
    copies of sources lie below `directory`, and what is rendered for a moment below `scratch`.
    """

    def __init__(
        self,
        *,
        sync: Callable[[], api.Sync],
        secrets: Secrets,
        served: Callable[[], Awaitable[Served]],
        view: View,
        parser: Parser,
        directory: Path,
        scratch: Path,
    ) -> None:
        self._sync = sync
        self._served = served
        self._secrets = secrets
        self._view = view
        self._directory = directory
        self._scratch = scratch
        self._open: tuple[api.GitSource | api.BucketSource, dict[str, bytes], dict[str, bytes]] | None = None
        self._source: Source | None = None
        # Of the revision in force and the one that may come next.
        self._texts = Texts()
        self._parser = parser
        self._renderer = Renderer(parser, texts=self._texts)
        self._links: dict[str, Link] = {}
        self._decryption: Decryption | None = None

    async def fetch(self) -> str:
        return await (await self._opened()).fetch()

    async def groups(self, revision: str) -> Groups:
        source = await self._held()
        sync = self._sync()
        spec, folder = sync.spec, _folder(sync.spec.path)

        decryption = await self._decryption_of(sync)

        async def tool(form: Form) -> Tool | None:
            match form:
                case "YAML":
                    return None
                case "Kustomize":
                    return Kustomize(
                        folder=folder,
                        directory=self._scratch,
                        remote_bases=spec.kustomize.remote_bases,
                        decryption=decryption,
                    )
                case "Helm":
                    return Helm(
                        folder=folder,
                        directory=self._scratch,
                        release=spec.helm.release_name or sync.metadata.name,
                        namespace=spec.target_namespace or "default",
                        values_files=spec.helm.values_files,
                        values=spec.helm.values,
                        capabilities=(await self._served()).capabilities,
                    )

        groups = await self._renderer.render(source.tree(revision), folder, form=spec.renderer, tool=tool, decryption=decryption)
        needed = {revision, self._view.state.revision(sync.key)}
        self._texts.keep(needed)
        self._links = {known: link for known, link in self._links.items() if known in needed} | {revision: source.link(revision)}
        return groups

    async def keep(self, revision: str) -> None:
        self._texts.keep({revision})
        await (await self._held()).keep(revision, owner=self._sync().key)

    def locate(self, declared: Declared, paths: tuple[FieldPath, ...]) -> tuple[tuple[int, ...], str]:
        """The lines in which the fields of a declared object stand in Git, and a link to the first of them; from memory."""
        origin, revision = declared.origin, self._view.state.revision(declared.sync)
        lines = self._texts.lines(origin, paths, revision=revision)
        line = lines[0] if lines else origin.line
        link = self._links.get(revision)
        return lines, link(origin.file, line) if link else ""

    async def close(self) -> None:
        # What is to take its place may turn out to be unusable, and then what was open before may be asked for again.
        source, self._source = self._source, None
        if source is not None:
            await source.close()

    def trust(self) -> Trust:
        """How far what was fetched last can be relied on."""
        return self._source.trust if self._source is not None else Trust()

    async def _held(self) -> Source:
        """What was fetched from last: reading and keeping what it holds asks for no Secret again."""
        if self._source is not None and self._open is not None and self._open[0] == self._sync().spec.source.named:
            return self._source
        return await self._opened()

    async def _opened(self) -> Source:
        """As the Sync and its Secrets have it now."""
        sync = self._sync()
        named = sync.spec.source.named
        verify = named.verify
        keys = await self._values(sync, verify.secret_ref) if verify is not None else {}
        wanted = (named, await self._values(sync, named.secret_ref), keys)
        if self._source is None or self._open != wanted:
            await self.close()
            self._source = self._made(named, wanted[1], keys, sync=sync)
            self._open = wanted
        return self._source

    def _known(self) -> Known:
        """What is in force by Guard's own index, which a start fills by the Sync's status: that outlives Guard's folder, and only
        Guard may write it.
        """
        sync = self._sync()
        status = sync.status
        return Known(
            in_force=self._view.state.revision(sync.key) or status.revision_in_force or status.last_applied_revision,
            verified=status.signature.revision,
            at=status.signature.at,
            accepted=sync.metadata.annotations.get(api.ACCEPT_REVISION, ""),
        )

    def _made(
        self, named: api.GitSource | api.BucketSource, values: dict[str, bytes], keys: dict[str, bytes], *, sync: api.Sync
    ) -> Source:
        secret = f"{sync.metadata.namespace}/{named.secret_ref.name}" if named.secret_ref else ""
        if isinstance(named, api.BucketSource):
            credentials = bucket_credentials_of(values) if named.secret_ref else None
            tenancy.check_login(sync, has_login=credentials is not None and bool(credentials.access_key))
            return BucketSource(
                name=named.name,
                prefix=named.prefix,
                endpoint=named.endpoint,
                region=named.region,
                path_style=named.path_style,
                pinned=named.ref.digest,
                credentials=credentials,
                secret=secret,
                include=named.include,
                verify=BucketVerify(keys=keys, known=self._known) if named.verify else None,
                directory=self._directory,
            )
        ref = named.ref
        return GitSource(
            url=named.url,
            ref=GitRef(branch=ref.branch or "", tag=ref.tag or "", semver=ref.semver or "", commit=ref.commit or ""),
            credentials=credentials_of(values),
            secret=secret,
            include=named.include,
            verify=GitVerify(keys=keys, mode=named.verify.mode, known=self._known) if named.verify else None,
            directory=self._directory,
        )

    async def _decryption_of(self, sync: api.Sync) -> Decryption | None:
        """What opens encrypted files, the same as long as the keys are."""
        spec = sync.spec.decryption
        if spec is None:
            self._decryption = None
            return None
        place = f"the Secret {sync.metadata.namespace}/{spec.secret_ref.name}"
        found = keys.read(await self._values(sync, spec.secret_ref), place=place)
        if self._decryption is None or self._decryption.keys != found:
            self._decryption = Decryption(found, directory=self._scratch, turns=self._parser.openings)
        return self._decryption

    async def _values(self, sync: api.Sync, reference: api.SecretReference | None) -> dict[str, bytes]:
        """Those of a Secret that the Sync names."""
        return await self._secrets.read(sync.metadata.namespace, reference.name) if reference is not None else {}


def _folder(path: str) -> str:
    """A Sync's path, which is a normal one, as trees name folders: the root is empty."""
    return "" if path == "." else path
