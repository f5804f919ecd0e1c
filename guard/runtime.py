"""Wires the parts together: the one place that knows them all. What happens is decided elsewhere."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from guard import admission, api, certs, telemetry
from guard.apply import Writer
from guard.audit import Journal, Record, References
from guard.base.clock import Clock, SystemClock, rfc3339
from guard.base.codec import JsonObject
from guard.base.concurrency import end
from guard.base.errors import CertificateError, ClusterError, ConfigError, JournalError
from guard.base.holding import bound, held
from guard.breakglass import BreakGlasses, install_role
from guard.cluster import Client, Identity, Impersonation, ServerClock, connect
from guard.control import serve as serve_control
from guard.control import serve_metrics
from guard.heal import Repairer, Report, Watching
from guard.index import Index
from guard.inspect import Comparison, Explanation, compare, explain
from guard.registration import LONGEST_BREAK_GLASS, Registration, client_config
from guard.render.cache import Cache
from guard.render.parse import Parser
from guard.render.scratch import sweep
from guard.source import Receiver, poll
from guard.state.desired import Declared, View
from guard.state.fields import Path as FieldPath
from guard.state.ids import GUARD_NAMESPACE, Kind
from guard.state.metadata import Metadata
from guard.state.policy import Left
from guard.state.vouched import Vouched
from guard.sync import (
    APPLIES_AT_ONCE,
    Deletion,
    Departures,
    Reconciler,
    Secrets,
    SourceFolder,
    Syncs,
    account_of,
    apply_sync,
    hook_of,
    install_definition,
    wake_all,
)

SERVICE_NAMES = (f"guard.{GUARD_NAMESPACE}.svc", f"guard.{GUARD_NAMESPACE}.svc.cluster.local")

PATH_BYTES = 16  # 128 bits cannot be guessed; in hex, since each part of a Service path has to be a DNS name
CERTIFICATE_CHECK_SECONDS = 3600.0
# A stop takes less than one. The kubelet kills after 30.
SLOW_STOP_SECONDS = 5.0

_log = telemetry.get("runtime")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `guard run` was told. `resync` is in seconds, 0 for never; a Sync applies `concurrency` objects at once;
    `webhook_url` is empty inside a cluster, where the API server reaches Guard through its Service.
    """

    data_dir: Path
    configs: tuple[Path, ...] = ()
    kubeconfig: Path | None = None
    context: str | None = None
    listen: tuple[str, int] = ("127.0.0.1", 9443)
    webhook_url: str = ""
    metrics_listen: tuple[str, int] | None = None
    receiver_listen: tuple[str, int] | None = None
    credentials_dir: Path | None = None
    cert_dir: Path | None = None
    resync: float = 600.0
    concurrency: int = APPLIES_AT_ONCE
    longest_break_glass: float = LONGEST_BREAK_GLASS
    admin_groups: tuple[str, ...] = ()
    control_plane: tuple[str, ...] = ()
    # For the benchmark: more responders on the admission listener, so that a no-op shares all of Guard but the work.
    responders: tuple[tuple[str, admission.Responder], ...] = ()


class Runtime:
    """One Guard. `run` returns after SIGTERM or SIGINT, or raises what keeps it from starting (ConfigError, ClusterError)."""

    def __init__(self, options: Options, *, clock: Clock | None = None) -> None:
        self.options = options
        self.clock = clock or SystemClock()
        self.metrics = telemetry.Metrics()
        self.view = View()
        self.vouched = Vouched()
        # Whoever reaches the port could ask what Git says of anything, and fill the journal: only the API server is told where.
        self.path = f"{admission.PATH}/{secrets.token_hex(PATH_BYTES)}"
        self.impersonation = Impersonation(clock=self.clock)
        self._stop = asyncio.Event()
        self._slow: asyncio.TimerHandle | None = None
        self._sources: dict[str, SourceFolder] = {}
        self._resources: AsyncExitStack

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        work = asyncio.create_task(self._guard(), name="guard")
        stopped = asyncio.create_task(self._stop.wait(), name="until a stop")
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                _log.info("stopping")
                self._watch_the_end()
            await end((work, stopped))
        if not (work.cancelled() and self._stop.is_set()):
            work.result()

    # ---- starting

    async def _guard(self) -> None:
        """Start, and work until cancelled."""
        configured = api.load_config(*self.options.configs)
        async with AsyncExitStack() as resources:
            self._resources = resources
            resources.enter_context(held(self.options.data_dir))
            await asyncio.to_thread(sweep, self.options.data_dir / "scratch")
            self.journal = Journal(self.options.data_dir / "audit")
            resources.callback(self.journal.close)
            self.references = References(self.clock)
            listener = bound(self.options.listen)
            resources.callback(listener.close)
            receiving = self._receiving()
            await self._connect()
            self.tls = certs.ServerTLS(self._certificate(), scratch=self.options.data_dir)
            self.metrics.certificate_expires(self.tls.certificate.not_after)
            await install_definition(self.client, api.sync_crd(), kind=api.SYNC)
            await install_definition(self.client, api.break_glass_crd(), kind=api.BREAK_GLASS)
            await install_role(self.client)
            for sync in configured:
                await apply_sync(self.client, sync.manifest)
            self._assemble()
            resources.push_async_callback(self.cache.close)
            resources.push_async_callback(self.parser.close)
            await self.syncs.meet()
            # Before anything is refused, healed or applied, since it may be open.
            await self.break_glasses.start()
            self.index.compile()
            # Before the first review can come: people read why they are refused, instead of an earlier Guard's TLS error, and a
            # configuration that was lost meanwhile is back although nothing is loaded.
            await self.registration.start()
            await self.index.register()
            await self._listen(listener)
            await self._work(receiving)

    async def _connect(self) -> None:
        connection = await connect(kubeconfig=self.options.kubeconfig, context=self.options.context)
        self.identity = Identity(
            connection, clock=self.clock, observe=lambda verb, code: self.metrics.api_request(verb=verb, code=str(code))
        )
        self._resources.push_async_callback(self.identity.close)
        await self.identity.establish()
        self.client: Client = self.identity.client
        if self.identity.founded and not self.options.webhook_url:
            hint = "for example --webhook-url https://127.0.0.1:9443"
            raise ConfigError("the API server has to be told how to reach a Guard outside it", where="--webhook-url", hint=hint)

    def _names(self) -> tuple[str, ...]:
        host = urlsplit(self.options.webhook_url).hostname
        return (host,) if host else SERVICE_NAMES

    def _certificate(self) -> certs.ServingCertificate:
        now = self.clock.now()
        if self.options.cert_dir:
            return certs.load(self.options.cert_dir, names=self._names(), now=now)
        return certs.ensure(self.options.data_dir / "certs", names=self._names(), now=now)

    def _assemble(self) -> None:
        view, clock = self.view, self.clock
        self.cache = Cache(self.options.data_dir / "cache" / "manifests.db", today=lambda: clock.now().toordinal())
        self.parser = Parser(cache=self.cache)
        self.secrets = Secrets(self.client, directory=self.options.credentials_dir)
        self.writer = Writer(self._client_of, view=view, clock=clock, left=self._left)
        self.heals = Report(
            view=view,
            clock=clock,
            references=self.references,
            write=self._write,
            healed=lambda cause, result, seconds: self.metrics.healed(cause=cause, result=result, seconds=seconds),
            news=self._has_news,
        )
        self.repairer = Repairer(
            view=view,
            writer=self.writer,
            enforcement=lambda sync: self.index.policy.of(sync),  # noqa: PLW0108 (the policy is replaced as Syncs change)
            clock=clock,
            report=self.heals,
        )
        self.watching = Watching(
            self.client,
            view=view,
            writer=self.writer,
            repairer=self.repairer,
            clock=clock,
            vouched=self.vouched,
            ended=self._has_news,
            noticed=self._noticed,
        )
        self._resources.push_async_callback(self.watching.close)
        self.server_time = ServerClock(self.client, clock=clock)
        self.break_glasses = BreakGlasses(
            self.client,
            view=view,
            clock=clock,
            time=self.server_time,
            longest=self.options.longest_break_glass,
            references=self.references,
            write=self._write,
            closed=self._closed,
            active=self.metrics.break_glass,
        )
        self.registration = Registration(
            self.client,
            sync_user=self.identity.username,
            admin_groups=self.options.admin_groups,
            control_plane=self.options.control_plane,
            target=self._target,
            repaired=self._registration_repaired,
            longest_break_glass=self.options.longest_break_glass,
        )
        self.index = Index(
            self.client,
            view=view,
            registration=self.registration,
            watching=self.watching,
            syncs=lambda: self.syncs,
            sync_user=self.identity.username,
            control_plane=self.options.control_plane,
        )
        self.syncs = Syncs(
            self.client,
            make=self._reconciler,
            changed=self.index.recompile,
            dropped=self._dropped,
            departures=Departures(self._deletion),
        )

    def _closed(self, objects: tuple[Declared, ...]) -> None:
        """Break-glass on these is over: they are healed, and get what was committed meanwhile."""
        self.repairer.closed(objects)
        for reconciler in self.syncs.values():
            reconciler.closed()

    def _has_news(self, sync: str) -> None:
        """Its status is to say so: a Job that ended, which a restart must not run again; a fight that began or ended."""
        if sync in self.syncs:
            self.syncs[sync].wake.set()

    def _noticed(self, declared: Declared, metadata: Metadata | None) -> None:
        if declared.sync in self.syncs:
            self.syncs[declared.sync].health.notice(declared.key, metadata)

    def _client_of(self, sync: str) -> Client:
        """The client in whose name a Sync's objects are read and written."""
        user = self.index.accounts[sync]
        return self.client.acting_as(lambda: self.impersonation.headers(user)) if user else self.client

    def _left(self, declared: Declared) -> Left:
        return self.index.policy.of(declared.sync).left(declared.key)

    async def _listen(self, listener: socket.socket) -> None:
        judge = admission.Judge(
            view=self.view,
            policy=lambda: self.index.policy,
            write=self.journal.write,
            references=self.references,
            clock=self.clock,
            meter=self.metrics,
            vouched=self.vouched,
            locate=self._locate,
            proves=self.impersonation.is_proof,
            later=asyncio.get_running_loop().call_soon,
            now=self.server_time.now,
            witness=self.break_glasses.witness,
        )
        responders = {self.path: judge.respond, **dict(self.options.responders)}
        app = admission.application(responders, ready=self._not_ready)
        serving = admission.serve(app, listener, tls=self.tls.context, meter=self.metrics)
        await self._resources.enter_async_context(serving)
        if self.options.metrics_listen is not None:
            metrics_listener = bound(self.options.metrics_listen, option="--metrics-listen")
            self._resources.callback(metrics_listener.close)
            await self._resources.enter_async_context(serve_metrics(metrics_listener, show=self._show_metrics))
        control = await serve_control(
            self.options.data_dir, journal=self.options.data_dir / "audit", diff=self._compare, explain=self._explain
        )
        self._resources.push_async_callback(control.cleanup)

    def _receiving(self) -> AbstractAsyncContextManager[None]:
        """The push receiver, whose address is taken now and which is to run beside the Syncs; nothing where none is wanted."""
        if self.options.receiver_listen is None:
            return nullcontext()
        listener = bound(self.options.receiver_listen, option="--receiver-listen")
        self._resources.callback(listener.close)
        return Receiver(
            hook=lambda name: hook_of(self.syncs, name),
            secret=lambda namespace, name: self.secrets.read(namespace, name),  # noqa: PLW0108 (made later)
            pushed=lambda name: wake_all(self.syncs, name),
            count=self.metrics.pushed,
            clock=self.clock,
        ).serve(listener)

    def _locate(self, declared: Declared, paths: tuple[FieldPath, ...]) -> admission.Located:
        """For a refusal: from memory, since a request waits."""
        source = self._sources.get(declared.sync)
        lines, url = source.locate(declared, paths) if source else ((declared.origin.line,) * len(paths), "")
        return admission.Located(lines=lines, url=url)

    async def _compare(self, sync: str) -> Comparison:
        if sync and sync not in self.syncs:
            raise ConfigError(f"there is no Sync {sync}", hint="guard status lists them")
        asked = {name: found for name, found in self.syncs.items() if sync in {"", name}}
        loaded = {name: found for name, found in asked.items() if found.loaded.is_set()}
        return await compare(
            self.client,
            self.view,
            left=self._left,
            locate=self._locate,
            sync=sync,
            prunable={name: found.prunable for name, found in loaded.items()},
            not_loaded=asked.keys() - loaded.keys(),
        )

    async def _explain(self, kind: str, name: str, *, namespace: str) -> Explanation:
        return await explain(
            self.client,
            kind,
            name,
            namespace=namespace,
            view=self.view,
            policy=self.index.policy,
            locate=self._locate,
            journal=self.options.data_dir / "audit",
        )

    def _show_metrics(self) -> tuple[bytes, str]:
        for sync in self.view.state.syncs():
            self.metrics.declared(sync=sync, objects=self.view.state.count_of(sync))
            self.metrics.fights(sync=sync, objects=len(self.heals.fights(sync)))
        return self.metrics.render()

    def _not_ready(self) -> str:
        if not self.syncs.listed.is_set():
            return "starting"
        waiting = self.syncs.unloaded()
        return f"not loaded: {', '.join(waiting)}" if waiting else ""

    # ---- running

    async def _work(self, receiving: AbstractAsyncContextManager[None]) -> None:
        """Until cancelled, or a part fails. No TaskGroup: it cuts short what closes where a part fails during a stop."""
        parts = {
            "identity": self.identity.keep(),
            "registration": self.registration.run(),
            "syncs": self.syncs.run(),
            "break-glass": self.break_glasses.run(),
            "certificate": self._renew_certificate(),
        }
        if self.options.resync:
            parts["resync"] = self._resync()
        background = [asyncio.create_task(part, name=name) for name, part in parts.items()]
        try:
            async with receiving:
                await asyncio.gather(*background)
        finally:
            self._watch_the_end()
            await end(background)
            await self.syncs.close()

    def _watch_the_end(self) -> None:
        """It has begun, by a stop or since a part failed."""
        if self._slow is None:
            self._slow = asyncio.get_running_loop().call_later(SLOW_STOP_SECONDS, _say_what_is_awaited)

    def _reconciler(self, sync: api.Sync) -> Reconciler:
        syncs, name = self.syncs, sync.key
        source = self._sources[name] = SourceFolder(
            sync=lambda: syncs[name].sync,
            secrets=self.secrets,
            served=lambda: self.index.served(fresh=True),
            view=self.view,
            parser=self.parser,
            directory=self.options.data_dir / "sources",
            scratch=self.options.data_dir / "scratch",
        )
        return Reconciler(
            sync,
            source=source,
            index=self.index,
            client=self.client,
            writer=self.writer,
            clock=self.clock,
            references=self.references,
            write=self._write,
            wait=lambda wake, seconds: poll(interval=seconds, wake=wake),
            synced=lambda name, result: self.metrics.synced(sync=name, result=result),
            drifted=self.repairer.drifted,
            fights=self.heals.fights,
            unwatched=self.watching.unwatched,
            trust=source.trust,
            dependencies=syncs.check_dependencies,
            at_once=self.options.concurrency,
        )

    def _deletion(self, sync: api.Sync, kinds: frozenset[Kind]) -> Deletion:
        # It may have been on its way out before this Guard knew it.
        self.index.accounts[sync.key] = account_of(sync)
        return Deletion(
            sync,
            kinds=kinds,
            index=self.index,
            client=self.client,
            writer=self.writer,
            clock=self.clock,
            references=self.references,
            write=self._write,
            wait=lambda wake, seconds: poll(interval=seconds, wake=wake),
        )

    async def _dropped(self, name: str) -> None:
        self._sources.pop(name, None)
        await self.index.dropped(name)
        self.metrics.forget_sync(name)

    def _target(self) -> JsonObject:
        """How the API server reaches and trusts the listener."""
        bundle = base64.b64encode(self.tls.certificate.ca_bundle).decode()
        url = self.options.webhook_url
        return client_config(url=f"{url.rstrip('/')}{self.path}" if url else self.path, service=not url, ca_bundle=bundle)

    def _registration_repaired(self, kind: str, name: str, what: str) -> None:
        self.metrics.healed(cause="registration", result="healed", seconds=0.0)
        self._write(
            Record(
                time=rfc3339(self.clock.now()),
                id=self.references.new(),
                event="healed",
                reason="RegistrationRestored",
                group="admissionregistration.k8s.io",
                kind=kind,
                name=name,
                message=f"somebody {what} it",
            )
        )

    # ---- background

    async def _renew_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_SECONDS)
            try:
                certificate = self._certificate()
                if certificate.certificate == self.tls.certificate.certificate:
                    continue
                self.tls.use(certificate)
                self.metrics.certificate_expires(certificate.not_after)
                await self.index.register()
            except (CertificateError, ClusterError) as error:
                _log.warning("the serving certificate was not renewed, the old one stays", error=str(error))

    async def _resync(self) -> None:
        """A full look from time to time, in case something got past the watches. Jitter comes from poll."""
        never = asyncio.Event()
        while True:
            await poll(interval=self.options.resync, wake=never)
            for reconciler in self.syncs.values():
                reconciler.resync()

    def _write(self, record: Record) -> None:
        """Records of what Guard did itself: losing one must not stop the work."""
        try:
            self.journal.write(record)
        except JournalError as error:
            self.metrics.journal_failed()
            _log.error("a record could not be written", record=record.event, error=str(error))


def _say_what_is_awaited() -> None:
    names = sorted(task.get_name() for task in asyncio.all_tasks())
    _log.warning("stopping takes long", waits_for=names)
