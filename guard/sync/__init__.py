"""Syncs at work: one loop each, from a revision of the source to objects in the cluster and a status that says so."""

from guard.sync.applying import APPLIES_AT_ONCE
from guard.sync.claims import Claims
from guard.sync.definition import apply_sync, install_definition
from guard.sync.deletion import Deletion
from guard.sync.departures import Departures
from guard.sync.plan import Groups, Plan, refuse_conflicts, resolve
from guard.sync.policy import compiled
from guard.sync.ports import Index, Source
from guard.sync.pushing import hook_of, wake_all
from guard.sync.reconcile import Reconciler
from guard.sync.secrets import Secrets
from guard.sync.source import SourceFolder
from guard.sync.syncs import Syncs
from guard.sync.tenancy import account_of

__all__ = [
    "APPLIES_AT_ONCE",
    "Claims",
    "Deletion",
    "Departures",
    "Groups",
    "Index",
    "Plan",
    "Reconciler",
    "Secrets",
    "Source",
    "SourceFolder",
    "Syncs",
    "account_of",
    "apply_sync",
    "compiled",
    "hook_of",
    "install_definition",
    "refuse_conflicts",
    "resolve",
    "wake_all",
]
