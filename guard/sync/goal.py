"""What an attempt is for, and when nothing is left to do. Pure."""

from __future__ import annotations

from msgspec import Struct, structs

from guard.api import REQUESTED_AT, Enforcement, Sync, SyncSpec
from guard.base import codec


class Goal(Struct, frozen=True, kw_only=True):
    """With it reached there is nothing to apply, and where only the revision is new what changed."""

    revision: str
    spec: SyncSpec
    requested: str

    @property
    def basis(self) -> Goal:
        """The goal but for the revision. Enforcement counts where it heals: an apply after healing was turned off would undo what
        it was turned off for.
        """
        enforcement = self.spec.enforcement if self.spec.enforcement.heals else Enforcement(heal=False)
        return structs.replace(self, revision="", spec=structs.replace(self.spec, enforcement=enforcement))

    @property
    def without_enforcement(self) -> Goal:
        return structs.replace(self, spec=structs.replace(self.spec, enforcement=Enforcement()))


def goal_of(sync: Sync, revision: str) -> Goal:
    return Goal(revision=revision, spec=sync.spec, requested=last_request(sync))


def manifests_from(spec: SyncSpec) -> str:
    """A digest of what of the spec makes other manifests of the same revision."""
    source = spec.source.named
    parts = (source.identity, source.include, spec.path, spec.target_namespace, spec.renderer, spec.kustomize, spec.helm)
    return codec.digest(codec.plain(parts)).hex()


def last_request(sync: Sync) -> str:
    """What `guard reconcile` asked last."""
    return sync.metadata.annotations.get(REQUESTED_AT, "")
