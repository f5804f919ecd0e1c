"""Names that all of Guard's kinds share, and the forms that names have."""

from __future__ import annotations

from guard.base.codec import JsonObject, child

GROUP = "gitopsguard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# RFC 1123, as the API server has it for names of namespaces, and of most other objects.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_LABEL_OR_NOTHING = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
DNS_SUBDOMAIN_OR_NOTHING = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"


def key_of(body: JsonObject) -> str:
    """`namespace/name` of a resource as the API server holds it, whether or not it can be read."""
    metadata = child(body, "metadata")
    return f"{metadata.get('namespace')}/{metadata.get('name')}"
