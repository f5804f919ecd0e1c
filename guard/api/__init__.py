"""The resources that users write and Guard reports on, as typed values, with the schema that the API server checks them by
and the file that holds them outside a cluster.
"""

from guard.api.conditions import Condition, ConditionStatus, find_condition, set_condition, without_condition
from guard.api.config import ConfiguredSync, load_config
from guard.api.crd import sync_crd
from guard.api.duration import seconds
from guard.api.enforcement import Enforcement
from guard.api.names import API_VERSION, GROUP, VERSION
from guard.api.source import GitRef, GitSource, Push, PushType, SecretReference, Source
from guard.api.status import EndedJob, HealthCounts, ObjectCounts, Progress, SyncStatus
from guard.api.sync import (
    REQUESTED_AT,
    SYNC,
    DeletionPolicy,
    Dependency,
    Helm,
    Kustomize,
    Metadata,
    Sync,
    SyncSpec,
    label_value,
    parse_sync,
)

__all__ = [
    "API_VERSION",
    "GROUP",
    "REQUESTED_AT",
    "SYNC",
    "VERSION",
    "Condition",
    "ConditionStatus",
    "ConfiguredSync",
    "DeletionPolicy",
    "Dependency",
    "EndedJob",
    "Enforcement",
    "GitRef",
    "GitSource",
    "HealthCounts",
    "Helm",
    "Kustomize",
    "Metadata",
    "ObjectCounts",
    "Progress",
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
    "without_condition",
]
