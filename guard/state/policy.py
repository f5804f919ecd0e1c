"""Enforcement, compiled from the Syncs: what a decision needs to know besides the desired state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

import msgspec

from guard.base.codec import Json, is_array, is_object
from guard.state.fields import Path
from guard.state.ids import LABEL_PATH, ObjectKey
from guard.state.pointers import Pointer, matches, reaches_below
from guard.state.requesters import GUARD_USER, SERVICE_ACCOUNT, Requester, classify

Mode = Literal["Deny", "Warn", "Audit"]


class Ignore(msgspec.Struct, frozen=True):
    """Fields that a Sync leaves to others. Empty selectors select everything; `*` stands for any characters in them.

    `paths` are the fields; none means every field. `managers` are the field managers whom they are left to; none means everyone.
    """

    group: str = "*"
    kind: str = "*"
    namespace: str = "*"
    name: str = "*"
    paths: tuple[Pointer, ...] = ()
    managers: frozenset[str] = frozenset()

    def selects(self, key: ObjectKey) -> bool:
        pairs = ((key.group, self.group), (key.kind, self.kind), (key.namespace, self.namespace), (key.name, self.name))
        return all(wanted == "*" or fnmatchcase(value, wanted) for value, wanted in pairs)


class Left(msgspec.Struct, frozen=True):
    """The fields of one object that are left to others: the ignore rules that select it."""

    rules: tuple[Ignore, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def of(self, managers: Iterable[str]) -> Left:
        """What is left to field managers; to none of them, what is left to everyone."""
        names = frozenset(managers)
        return Left(tuple(rule for rule in self.rules if not rule.managers or rule.managers & names))

    def holds(self, path: Path) -> bool:
        """Whether the field, with all below it, is left to others. Guard's own label never is."""
        return (
            any(not rule.paths or any(matches(pointer, path) for pointer in rule.paths) for rule in self.rules)
            and path != LABEL_PATH
        )

    def covers(self, path: Path, *values: Json) -> bool:
        """Whether everything that `values`, what was or is to be at `path`, hold there is left to others."""
        if self.holds(path):
            return True
        below = [value for value in values if is_object(value) and value]
        if not below or not self._reaches(path) or any(is_array(value) for value in values):
            return False
        names = {name: [value.get(name) for value in below] for value in below for name in value}
        return all(self.covers((*path, f"f:{name}"), *found) for name, found in names.items())

    def _reaches(self, path: Path) -> bool:
        return any(reaches_below(pointer, path) for rule in self.rules for pointer in rule.paths)


NOTHING_LEFT = Left()


class Exemption(msgspec.Struct, frozen=True):
    """Requests that a Sync does not refuse (what they do is healed all the same). Of the three lists of people one has to name
    the requester; of the others each that is not empty has to fit. `*` stands for any characters; a service account is written
    `namespace/name`, a kind `Deployment` or `Deployment.apps`.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()

    def fits(self, *, user: str, groups: Iterable[str], group: str, kind: str, namespace: str, operation: str) -> bool:
        return (
            self._names(user, groups)
            and (not self.kinds or _any(self.kinds, kind, f"{kind}.{group}"))
            and (not self.namespaces or _any(self.namespaces, namespace))
            and (not self.operations or operation in self.operations)
        )

    def _names(self, user: str, groups: Iterable[str]) -> bool:
        account = user.removeprefix(SERVICE_ACCOUNT).replace(":", "/", 1) if user.startswith(SERVICE_ACCOUNT) else ""
        return (
            _any(self.users, user)
            or any(_any(self.groups, name) for name in groups)
            or (bool(account) and _any(self.service_accounts, account))
        )


def _any(patterns: Iterable[str], *values: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns for value in values)


class Enforcement(msgspec.Struct, frozen=True):
    """What one Sync asks for."""

    mode: Mode = "Deny"
    heal: bool = True
    additions: Literal["Deny", "Allow"] = "Deny"
    ignore: tuple[Ignore, ...] = ()
    exempt: tuple[Exemption, ...] = ()

    def left(self, key: ObjectKey) -> Left:
        """What is left to others of one object."""
        if not self.ignore:
            return NOTHING_LEFT
        return Left(tuple(rule for rule in self.ignore if rule.selects(key)))


STRICTEST = Enforcement()


class Policy(msgspec.Struct, frozen=True):
    """`control_plane` are the users that the installer adds to it. `syncs` maps a Sync's `namespace/name` to its enforcement.
    `unloaded` maps label values to the Syncs of which no revision is known yet (a cold start with Git down): until then an
    object's label and our entry on it alone protect it; `staked` are those of them that have applied something before. `strict`
    maps namespaces in which people create only what Git declares to the Sync that says so. `accounts` maps Syncs to the users in
    whose name Guard acts for them; it acts in its own for the others. `decrypting` are the Syncs of whose objects some may be
    encrypted in the source.
    """

    sync_user: str = GUARD_USER
    control_plane: tuple[str, ...] = ()
    syncs: Mapping[str, Enforcement] = MappingProxyType({})
    unloaded: Mapping[str, str] = MappingProxyType({})
    staked: frozenset[str] = frozenset()
    strict: Mapping[str, str] = MappingProxyType({})
    accounts: Mapping[str, str] = MappingProxyType({})
    decrypting: frozenset[str] = frozenset()

    def requester(self, username: str) -> Requester:
        return classify(username, sync_user=self.sync_user, control_plane=self.control_plane)

    def acts_for(self, username: str, syncs: Iterable[str]) -> bool:
        """Whether the user is one in whose name Guard acts, for all of these Syncs."""
        return username in self.accounts.values() and all(self.accounts.get(sync) == username for sync in syncs)

    def of(self, sync: str) -> Enforcement:
        """A Sync that is not known (any more) is enforced strictly: never let drift in by accident."""
        return self.syncs.get(sync, STRICTEST)
