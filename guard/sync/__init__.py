"""Syncs at work: one loop each, from a revision of the source to objects in the cluster and a status that says so."""

from guard.sync.plan import resolve, stages
from guard.sync.reconcile import Index, Reconciler, Source
from guard.sync.source import GitFolder

__all__ = ["GitFolder", "Index", "Reconciler", "Source", "resolve", "stages"]
