"""With whose rights a Sync works, and how far what it says reaches. Pure.

Syncs in Guard's own namespace are the platform's. Those of other namespaces are tenants': nothing of theirs is ever done with
Guard's own rights.
"""

from __future__ import annotations

from guard.api import BucketSource, Sync
from guard.base.errors import ConfigError
from guard.source.address import check_url
from guard.state.desired import is_tenants
from guard.state.ids import GUARD_NAMESPACE
from guard.state.requesters import SERVICE_ACCOUNT

# What a Sync that names none has there, as a pod that names none.
DEFAULT_ACCOUNT = "default"


def is_tenant(sync: Sync) -> bool:
    return is_tenants(sync.key)


def account_of(sync: Sync) -> str:
    """The user in whose name everything is done for the Sync; empty where that is Guard itself."""
    name = sync.spec.service_account_name or (DEFAULT_ACCOUNT if is_tenant(sync) else "")
    return f"{SERVICE_ACCOUNT}{sync.metadata.namespace}:{name}" if name else ""


def strict_namespaces(sync: Sync) -> tuple[str, ...]:
    """Those of the namespaces that the Sync sets strict in which it has a say: a tenant's in its own."""
    wanted = sync.spec.enforcement.strict_namespaces
    return tuple(name for name in wanted if not is_tenant(sync) or name == sync.metadata.namespace)


def check(sync: Sync) -> None:
    """Raises ConfigError for what a Sync may not say outside Guard's own namespace."""
    if not is_tenant(sync):
        return
    others = set(sync.spec.enforcement.strict_namespaces).difference(strict_namespaces(sync))
    if others:
        raise ConfigError(
            f"enforcement.strictNamespaces names {', '.join(sorted(others))}",
            hint=f"outside {GUARD_NAMESPACE} a Sync sets no namespace strict but its own",
        )
    git, bucket = sync.spec.source.git, sync.spec.source.bucket
    if git is not None and check_url(git.url) in {"file", "http"}:
        # Guard's own disk, and what listens on its loopback, are not the tenant's to read.
        raise ConfigError(
            "source.git.url leads to Guard's own machine", hint=f"outside {GUARD_NAMESPACE} a Sync follows https:// or ssh"
        )
    if bucket is not None:
        _check_bucket(bucket)


def check_login(sync: Sync, *, has_login: bool) -> None:
    """Raises ConfigError where a bucket would be read as what Guard's surroundings make it: they are Guard's, not the tenant's.
    A Secret may hold nothing but an authority.
    """
    if is_tenant(sync) and not has_login:
        raise ConfigError(
            "the Secret of source.bucket.secretRef holds no accesskey",
            hint=f"outside {GUARD_NAMESPACE} a Sync has credentials of its own",
        )


def _check_bucket(bucket: BucketSource) -> None:
    if bucket.secret_ref is None:
        # What the surroundings give, they give to Guard.
        raise ConfigError(
            "source.bucket names no secretRef",
            hint=f"outside {GUARD_NAMESPACE} a Sync has credentials of its own",
        )
    if bucket.endpoint.startswith("http://"):
        raise ConfigError(
            "source.bucket.endpoint may lead to Guard's own machine",
            hint=f"outside {GUARD_NAMESPACE} a Sync follows https:// only",
        )
