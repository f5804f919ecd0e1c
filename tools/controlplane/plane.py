"""A control plane on loopback: etcd, kube-apiserver and, on request, kube-controller-manager and a node played by kwok."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

import aiohttp

from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.base.errors import ApiStatusError
from tools import binaries
from tools.controlplane import identities, kubectl, nodes
from tools.controlplane.identities import AUTOMATION_NAMESPACE, SERVICE_ACCOUNTS, Identity
from tools.controlplane.kubectl import Completed
from tools.controlplane.processes import LOOPBACK, ControlPlaneError, Daemon, port_of, reserve_port

POLL_SECONDS = 0.05
READY_SECONDS = 90
TOKEN_SECONDS = 24 * 60 * 60
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class ControlPlane:
    """Running from `start` to the end of its block; everything it writes lies in `directory`.

    The processes die with the thread that started them (a Linux rule), so start it from one that lasts as long.
    """

    url: str
    ca_file: Path
    audit_log: Path
    kubectl_path: Path

    def __init__(self, directory: Path, *, tools: Mapping[str, Path], etcd_port: int, api_port: int) -> None:
        directory = directory.absolute()
        self.directory = directory
        self.url = f"https://{LOOPBACK}:{api_port}"
        self.ca_file = directory / "certs" / "apiserver.crt"
        self.audit_log = directory / "audit.log"
        self.kubectl_path = tools["kubectl"]
        self._home = directory / "home"
        self._tokens = identities.static_tokens()
        self._etcd_url = f"http://{LOOPBACK}:{etcd_port}"
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._etcd = self._daemon(
            tools["etcd"],
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            # One member has no peers; port 0 lets the kernel choose.
            f"--listen-peer-urls=http://{LOOPBACK}:0",
            "--unsafe-no-fsync",
            "--socket-reuse-port",
            "--log-level=warn",
        )
        self._apiserver = self._daemon(
            tools["kube-apiserver"],
            f"--etcd-servers={self._etcd_url}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={api_port}",
            "--permit-port-sharing",
            f"--advertise-address={LOOPBACK}",
            # The kubernetes Service may not point to loopback; without an endpoint nobody complains.
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.ca_file.parent}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={directory / 'tokens.csv'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={directory / 'service-accounts.key'}",
            f"--service-account-key-file={directory / 'service-accounts.key'}",
            f"--audit-policy-file={directory / 'audit-policy.json'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=0",
        )
        self._controller_manager = (
            self._daemon(
                tools["kube-controller-manager"],
                f"--kubeconfig={self.kubeconfig('controller-manager')}",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={directory / 'service-accounts.key'}",
                f"--root-ca-file={self.ca_file}",
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            )
            if "kube-controller-manager" in tools
            else None
        )
        self._kwok = (
            self._daemon(
                tools["kwok"],
                f"--kubeconfig={self.kubeconfig('admin')}",
                f"--config={nodes.STAGES}",
                "--manage-all-nodes",
                f"--node-ip={LOOPBACK}",
            )
            if "kwok" in tools
            else None
        )

    @classmethod
    @asynccontextmanager
    async def start(cls, directory: Path, *, controller_manager: bool = False, kwok: bool = False) -> AsyncGenerator[Self]:
        """Ready to be used inside the block, stopped after it. With `kwok` there is a node on which pods seem to run. Raises
        ControlPlaneError, or binaries.ToolsError.
        """
        optional = {"kube-controller-manager": controller_manager, "kwok": kwok}
        names = ["etcd", "kube-apiserver", "kubectl", *(name for name, is_wanted in optional.items() if is_wanted)]
        tools = await asyncio.to_thread(binaries.locate, names)
        with reserve_port() as for_etcd, reserve_port() as for_api:
            plane = cls(directory, tools=tools, etcd_port=port_of(for_etcd), api_port=port_of(for_api))
            async with AsyncExitStack() as stack:
                await plane._up(stack)
                yield plane

    def kubeconfig(self, identity: Identity) -> Path:
        return self.directory / "kubeconfigs" / identity

    def token(self, identity: Identity) -> str:
        return self._tokens[identity]

    @property
    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        return {daemon.name: daemon.pid for daemon in self._daemons if daemon.pid is not None}

    @property
    def _daemons(self) -> tuple[Daemon, ...]:
        wanted = (self._etcd, self._apiserver, self._controller_manager, self._kwok)
        return tuple(daemon for daemon in wanted if daemon is not None)

    async def kubectl(
        self,
        *arguments: str | Path,
        identity: Identity = "person",
        check: bool = True,
        input: str | None = None,  # noqa: A002 (subprocess.run's name for it)
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> Completed:
        """Run kubectl as `identity`, with nothing of the user's configuration; `environment` adds to its own (KUBE_EDITOR, ...).

        Raises KubectlError when it fails and `check` is on.
        """
        return await kubectl.run(
            self.kubectl_path,
            arguments,
            kubeconfig=self.kubeconfig(identity),
            home=self._home,
            check=check,
            input_text=input,
            environment=environment,
        )

    async def call(self, method: str, path: str, *, body: Json = None, identity: Identity = "admin") -> Json:
        """Ask the API server and return the decoded answer. Raises ApiStatusError for a status of 400 and above."""
        headers = {"Authorization": f"Bearer {self.token(identity)}", "Content-Type": "application/json"}
        data = None if body is None else codec.encode(body)
        async with self._client().request(method, self.url + path, data=data, headers=headers, ssl=self._trust()) as response:
            content = await response.read()
        answer = codec.decode(content) if "json" in response.content_type else content.decode()
        if response.status >= 400:  # noqa: PLR2004 (where HTTP's errors begin)
            reason = str(answer.get("reason", "")) if codec.is_object(answer) else ""
            raise ApiStatusError(str(answer), code=response.status, reason=reason, where=f"{method} {path}")
        return answer

    async def stop_apiserver(self) -> None:
        await self._apiserver.stop()

    async def start_apiserver(self) -> None:
        """On the same port, with the same data and tokens; returns when it is ready."""
        await self._apiserver.start()
        await self._until(self._ready, "kube-apiserver is not ready")

    async def kill_apiserver(self) -> None:
        """Kill -9."""
        await self._apiserver.kill()

    async def kill_etcd(self) -> None:
        """Kill -9. The API server lives on and answers with errors."""
        await self._etcd.kill()

    async def start_etcd(self) -> None:
        """On the same port, with the same data; returns when the API server, if it runs, can use it."""
        await self._etcd.start()
        if self._apiserver.pid is not None:
            await self._until(self._ready, "kube-apiserver is not ready")

    async def compact(self) -> None:
        """Have etcd forget all revisions but the newest of each key."""
        async with self._client().post(f"{self._etcd_url}/v3/kv/range", json={"key": "AA=="}) as response:
            header = (await response.json())["header"]
        body = {"revision": header["revision"], "physical": True}
        async with self._client().post(f"{self._etcd_url}/v3/kv/compaction", json=body) as response:
            response.raise_for_status()

    def audited(self, *, since: int = 0, about: str = "") -> list[JsonObject]:
        """What the API server has logged behind a place in the file, in lines that hold `about`; without a line that was begun
        before that, or is still being written.
        """
        with self.audit_log.open("rb") as log:
            log.seek(max(since - 1, 0))
            whole = log.read().rpartition(b"\n")[0]
        if since:
            whole = whole.partition(b"\n")[2]
        return [codec.decode(line) for line in whole.splitlines() if about.encode() in line]

    async def _up(self, stack: AsyncExitStack) -> None:
        self._prepare()
        for daemon in (self._etcd, self._apiserver):
            stack.push_async_callback(daemon.stop)
            await daemon.start()
        self._session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        await self._until(self._ready, "kube-apiserver is not ready")
        if self._controller_manager is not None:
            stack.push_async_callback(self._controller_manager.stop)
            await self._controller_manager.start()
        await self._introduce()
        if self._controller_manager is not None:
            await self._until(self._default_account, "kube-controller-manager makes no default ServiceAccount")
        if self._kwok is not None:
            await self._play_node(self._kwok, stack)

    async def _play_node(self, kwok: Daemon, stack: AsyncExitStack) -> None:
        await nodes.make_node(self.call)
        stack.push_async_callback(kwok.stop)
        await kwok.start()
        await self._until(lambda: nodes.is_ready(self.call), "kwok makes no node ready")
        scheduler = asyncio.create_task(nodes.bind_all(self.call), name="stand-in for the scheduler")
        stack.push_async_callback(asyncio.wait, [scheduler])
        stack.callback(scheduler.cancel)

    def _daemon(self, *arguments: str | Path) -> Daemon:
        name = Path(arguments[0]).name
        return Daemon(arguments, log=self.directory / "logs" / f"{name}.log", home=self._home)

    def _prepare(self) -> None:
        for folder in (self.directory, self._home, *(self.directory / name for name in ("certs", "etcd", "kubeconfigs", "logs"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        identities.write_token_file(self.directory / "tokens.csv", self._tokens)
        identities.write_service_account_key(self.directory / "service-accounts.key")
        (self.directory / "audit-policy.json").write_bytes(codec.encode(identities.AUDIT_POLICY))
        for identity in identities.STATIC:
            self._write_kubeconfig(identity)

    def _write_kubeconfig(self, identity: Identity) -> None:
        identities.write_kubeconfig(
            self.kubeconfig(identity), url=self.url, ca_file=self.ca_file, identity=identity, token=self.token(identity)
        )

    async def _introduce(self) -> None:
        """Make the identities that live in the API server, and give people and automation their rights."""
        await self.call("POST", "/api/v1/namespaces", body={"metadata": {"name": AUTOMATION_NAMESPACE}})
        await asyncio.gather(
            self.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body=identities.CLUSTER_ADMINS),
            *(self._make_account(identity) for identity in SERVICE_ACCOUNTS),
        )

    async def _make_account(self, identity: Identity) -> None:
        accounts = f"/api/v1/namespaces/{AUTOMATION_NAMESPACE}/serviceaccounts"
        await self.call("POST", accounts, body={"metadata": {"name": identity}})
        asked = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
        answer = await self.call("POST", f"{accounts}/{identity}/token", body=asked)
        self._tokens[identity] = answer["status"]["token"]
        self._write_kubeconfig(identity)

    async def _ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        return await self.call("GET", "/readyz") == "ok"

    async def _default_account(self) -> bool:
        await self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        return True

    async def _until(self, condition: Callable[[], Awaitable[bool]], complaint: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        last = ""
        while time.monotonic() < deadline:
            for daemon in self._daemons:
                daemon.check()
            try:
                if await condition():
                    return
            except (
                aiohttp.ClientError,
                ApiStatusError,
                TimeoutError,
                ssl.SSLError,
            ) as error:  # the certificate may be half written
                last = str(error)
            await asyncio.sleep(POLL_SECONDS)
        raise ControlPlaneError(
            f"{complaint} after {READY_SECONDS} s: {last}\n{self._apiserver.tail()}", hint=f"{self.directory / 'logs'}"
        )

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ControlPlaneError("the control plane is not started", hint="use `async with ControlPlane.start(...)`")
        return self._session

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self.ca_file))
        return self._tls
