"""The resources that users write and Guard reports on, as typed values, with the schema that the API server checks them by
and the file that holds them outside a cluster.
"""

from guard.api.conditions import Condition, find_condition, set_condition
from guard.api.config import ConfiguredSync, load_config
from guard.api.crd import sync_crd
from guard.api.duration import seconds
from guard.api.sync import (
    API_VERSION,
    REQUESTED_AT,
    SYNC,
    EndedJob,
    Enforcement,
    GitRef,
    GitSource,
    Helm,
    Kustomize,
    Metadata,
    ObjectCounts,
    Push,
    PushType,
    SecretReference,
    Source,
    Sync,
    SyncSpec,
    SyncStatus,
    label_value,
    parse_sync,
)

__all__ = [
    "API_VERSION",
    "REQUESTED_AT",
    "SYNC",
    "Condition",
    "ConfiguredSync",
    "EndedJob",
    "Enforcement",
    "GitRef",
    "GitSource",
    "Helm",
    "Kustomize",
    "Metadata",
    "ObjectCounts",
    "Push",
    "PushType",
    "SecretReference",
    "Source",
    "Sync",
    "SyncSpec",
    "SyncStatus",
    "find_condition",
    "label_value",
    "load_config",
    "parse_sync",
    "seconds",
    "set_condition",
    "sync_crd",
]
