"""The heart: what Git declares, how it is compared, and who is asking. Pure values: no I/O, no clock, no asyncio."""

from guard.state.additions import ALLOWED_ADDITIONS, Removal, additions, shared_entries
from guard.state.desired import Conflict, Declared, DesiredState, Learned, View
from guard.state.digest import Fingerprint, fingerprint
from guard.state.drift import Change, Nature, changes, project
from guard.state.equality import MISSING, covers, same
from guard.state.fields import FieldSet, written
from guard.state.ids import Kind, Manifest, ObjectKey, Origin
from guard.state.managed import Entry, entries, our_entry, our_fields
from guard.state.policy import Enforcement, Policy
from guard.state.requesters import Requester, classify, is_person_tool
from guard.state.snapshot import Changes, File, Tree

__all__ = [
    "ALLOWED_ADDITIONS",
    "MISSING",
    "Change",
    "Changes",
    "Conflict",
    "Declared",
    "DesiredState",
    "Enforcement",
    "Entry",
    "FieldSet",
    "File",
    "Fingerprint",
    "Kind",
    "Learned",
    "Manifest",
    "Nature",
    "ObjectKey",
    "Origin",
    "Policy",
    "Removal",
    "Requester",
    "Tree",
    "View",
    "additions",
    "changes",
    "classify",
    "covers",
    "entries",
    "fingerprint",
    "is_person_tool",
    "our_entry",
    "our_fields",
    "project",
    "same",
    "shared_entries",
    "written",
]
