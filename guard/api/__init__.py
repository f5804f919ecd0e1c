"""The resources that users write and Guard reports on, as typed values, with the schema that the API server checks them by
and the file that holds them outside a cluster.
"""

from guard.api.awaiting import Awaited, awaited
from guard.api.breakglass import (
    BREAK_GLASS,
    BreakGlass,
    BreakGlassSpec,
    BreakGlassStatus,
    BreakGlassTarget,
    parse_break_glass,
    written_target,
)
from guard.api.conditions import Condition, ConditionStatus, find_condition, set_condition, without_condition
from guard.api.config import ConfiguredSync, load_config
from guard.api.crd import break_glass_crd, sync_crd
from guard.api.duration import seconds, written
from guard.api.enforcement import Enforcement
from guard.api.names import API_VERSION, GROUP, VERSION, key_of
from guard.api.source import (
    BucketRef,
    BucketSource,
    BucketVerify,
    GitRef,
    GitSource,
    GitVerify,
    Push,
    PushType,
    SecretReference,
    Source,
)
from guard.api.standing import Standing, Waiting, standing, standings
from guard.api.status import EndedJob, HealthCounts, HeldBack, ObjectCounts, Progress, Signature, SyncStatus
from guard.api.sync import (
    ACCEPT_REVISION,
    REQUESTED_AT,
    SUSPEND_REASON,
    SYNC,
    Decryption,
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
    "ACCEPT_REVISION",
    "API_VERSION",
    "BREAK_GLASS",
    "GROUP",
    "REQUESTED_AT",
    "SUSPEND_REASON",
    "SYNC",
    "VERSION",
    "Awaited",
    "BreakGlass",
    "BreakGlassSpec",
    "BreakGlassStatus",
    "BreakGlassTarget",
    "BucketRef",
    "BucketSource",
    "BucketVerify",
    "Condition",
    "ConditionStatus",
    "ConfiguredSync",
    "Decryption",
    "DeletionPolicy",
    "Dependency",
    "EndedJob",
    "Enforcement",
    "GitRef",
    "GitSource",
    "GitVerify",
    "HealthCounts",
    "HeldBack",
    "Helm",
    "Kustomize",
    "Metadata",
    "ObjectCounts",
    "Progress",
    "Push",
    "PushType",
    "SecretReference",
    "Signature",
    "Source",
    "Standing",
    "Sync",
    "SyncSpec",
    "SyncStatus",
    "Waiting",
    "awaited",
    "break_glass_crd",
    "find_condition",
    "key_of",
    "label_value",
    "load_config",
    "parse_break_glass",
    "parse_sync",
    "seconds",
    "set_condition",
    "standing",
    "standings",
    "sync_crd",
    "without_condition",
    "written",
    "written_target",
]
