"""The API server as Guard sees it: raw JSON requests, discovery, watches, and Guard's own identity there."""

from guard.cluster.client import Client, collection_path, object_path
from guard.cluster.connection import Connection, connect, in_cluster
from guard.cluster.discovery import Served, definitions, discover
from guard.cluster.identity import Identity, identity_objects, whoami
from guard.cluster.impersonation import Impersonation
from guard.cluster.secrets import read_secret
from guard.cluster.servertime import ServerClock
from guard.cluster.watch import Event, watch, watch_metadata

__all__ = [
    "Client",
    "Connection",
    "Event",
    "Identity",
    "Impersonation",
    "Served",
    "ServerClock",
    "collection_path",
    "connect",
    "definitions",
    "discover",
    "identity_objects",
    "in_cluster",
    "object_path",
    "read_secret",
    "watch",
    "watch_metadata",
    "whoami",
]
