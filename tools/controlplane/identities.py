"""Who asks the API server in a run, and the files by which the API server and kubectl know it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal, get_args

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from guard.base import codec
from guard.base.codec import JsonObject

Identity = Literal["admin", "person", "ci", "operator", "controller-manager"]
IDENTITIES: tuple[Identity, ...] = get_args(Identity)

PERSON = "ada@example.com"
AUTOMATION_NAMESPACE = "automation"
SERVICE_ACCOUNTS: tuple[Identity, ...] = ("ci", "operator")

# user, groups; service accounts get their tokens from the API server itself
STATIC: dict[Identity, tuple[str, tuple[str, ...]]] = {
    "admin": ("admin", ("system:masters",)),
    "person": (PERSON, ("platform",)),
    "controller-manager": ("system:kube-controller-manager", ()),
}

SUBJECTS = [
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": PERSON},
    *({"kind": "ServiceAccount", "namespace": AUTOMATION_NAMESPACE, "name": name} for name in SERVICE_ACCOUNTS),
]

CLUSTER_ADMINS: JsonObject = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "people-and-automation-with-cluster-admin"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": SUBJECTS,
}

AUDIT_POLICY: JsonObject = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def static_tokens() -> dict[Identity, str]:
    return {identity: secrets.token_urlsafe(24) for identity in STATIC}


def write_token_file(path: Path, tokens: dict[Identity, str]) -> None:
    """The API server's --token-auth-file: token, user, uid and, where there are any, "groups" (an empty field is a group)."""
    text = ""
    for identity, (user, groups) in STATIC.items():
        text += f"{tokens[identity]},{user},{user}" + (f',"{",".join(groups)}"' if groups else "") + "\n"
    write_private(path, text)


def write_service_account_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode())


def write_kubeconfig(path: Path, *, url: str, ca_file: Path, identity: Identity, token: str) -> None:
    """JSON, which is YAML to whoever reads it."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "run", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": identity, "user": {"token": token}}],
        "contexts": [{"name": identity, "context": {"cluster": "run", "user": identity}}],
        "current-context": identity,
    }
    write_private(path, codec.pretty(config) + "\n")


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
