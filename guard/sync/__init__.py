"""Syncs at work: one loop each, from a revision of the source to objects in the cluster and a status that says so."""

from guard.sync.plan import resolve, stages
from guard.sync.reconcile import Index, Reconciler, Source

__all__ = ["Index", "Reconciler", "Source", "resolve", "stages"]
