"""How to reach an API server: kubeconfig, the pod's own account, or another token for the same server.

Importing kubernetes_asyncio costs half a second and 60 MB (it loads every typed model), so it waits until a connection is made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from guard.base.errors import ConfigError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

IN_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"


class Connection:
    """A server and the credentials for it; opened by `open`, to be closed by whoever opened it."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    @property
    def server(self) -> str:
        return str(self.configuration.host).rstrip("/")

    def with_token(self, token: str) -> Connection:
        """The same server under a bearer token, without any of this connection's own credentials."""
        from kubernetes_asyncio.client import Configuration

        other = Configuration()
        other.host = self.configuration.host
        other.ssl_ca_cert = self.configuration.ssl_ca_cert
        other.verify_ssl = self.configuration.verify_ssl
        other.tls_server_name = self.configuration.tls_server_name
        other.proxy = self.configuration.proxy
        other.api_key = {"BearerToken": token}
        other.api_key_prefix = {"BearerToken": "Bearer"}
        return Connection(other)

    def replace_token(self, token: str) -> None:
        """Use another token from the next request on."""
        self.configuration.api_key = {"BearerToken": token}

    async def authorization(self) -> str | None:
        """The Authorization header of the next request; refreshes what expires (exec plugins, projected tokens)."""
        # The kubeconfig loader stores `Bearer <token>`; with_token stores the bare token and a prefix.
        value = await self.configuration.get_api_key_with_prefix("BearerToken")
        return str(value) if value else None

    def transport(self) -> ApiClient:
        from kubernetes_asyncio.client import ApiClient

        return ApiClient(self.configuration)


def in_cluster() -> bool:
    return IN_CLUSTER_VARIABLE in os.environ


async def connect(*, kubeconfig: Path | None = None, context: str | None = None) -> Connection:
    """Find a cluster as kubectl does: the file given, $KUBECONFIG, the pod's own account, `~/.kube/config`.

    Raises ConfigError with one line that says which file was read and what is wrong with it.
    """
    import yaml
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client import Configuration

    configuration = Configuration()
    if kubeconfig is None and "KUBECONFIG" not in os.environ and in_cluster():
        try:
            config.load_incluster_config(client_configuration=configuration)  # pyright: ignore[reportUnknownMemberType] (partly typed)
        except config.ConfigException as error:
            raise ConfigError(f"the pod's service account cannot be used: {error}", hint="is its token mounted?") from error
        return Connection(configuration)
    path = kubeconfig or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not path.is_file():
        raise ConfigError("no such kubeconfig", where=str(path), hint="give one with --kubeconfig or KUBECONFIG")
    try:
        await config.load_kube_config(  # pyright: ignore[reportUnknownMemberType] (partly typed)
            config_file=str(path), context=context, client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, KeyError, AttributeError, ValueError) as error:
        # The loader trips over misshapen files with whatever Python raises.
        text = " ".join(str(error).split())
        raise ConfigError(
            f"not a usable kubeconfig: {text}", where=str(path), hint="check it with: kubectl config view"
        ) from error
    return Connection(configuration)
