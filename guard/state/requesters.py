"""Who is asking: the classes of requesters, from `userInfo` alone."""

from __future__ import annotations

from collections.abc import Container
from enum import Enum

from guard.state.ids import GUARD_NAMESPACE

SERVICE_ACCOUNT = "system:serviceaccount:"
GUARD_USER = f"{SERVICE_ACCOUNT}{GUARD_NAMESPACE}:guard"
BREAK_GLASS_GROUP = "gitopsguard:break-glass"
# What Guard puts into a user's extra when it acts for that user, a Sync's service account: a proof that it is Guard.
ACTING_EXTRA = "gitopsguard.dev/acting"

CONTROL_PLANE_USERS = (
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
)
CONTROL_PLANE_PREFIXES = ("system:node:", f"{SERVICE_ACCOUNT}kube-system:")

# Field managers of tools in people's hands. A service account that writes under one of these is a person with a borrowed token,
# or a script that types what a person would. kubectl adds its verb (`kubectl-edit`), and so does what is built on it; the names
# of the others are whole, or `dashboard-operator` would be a person. node-fetch is Lens' default.
KUBECTL = "kubectl"
PERSON_TOOLS = frozenset(
    {
        KUBECTL,
        "oc",
        "k9s",
        "Lens",
        "OpenLens",
        "freelens",
        "node-fetch",
        "headlamp",
        "dashboard",
        "kubernetes-dashboard",
        "Mozilla",
        "curl",
    }
)


class Requester(Enum):
    SYNC = "sync"
    CONTROL_PLANE = "control plane"
    MACHINE = "machine"
    PERSON = "person"


def classify(username: str, *, sync_user: str, control_plane: Container[str] = ()) -> Requester:
    """The requester's class. `sync_user` is the name under which the API server knows Guard itself, `control_plane` are users
    whom the installer counts among the control plane: network and storage drivers that live outside kube-system.
    """
    if username == sync_user:
        return Requester.SYNC
    if username in CONTROL_PLANE_USERS or username in control_plane or username.startswith(CONTROL_PLANE_PREFIXES):
        return Requester.CONTROL_PLANE
    if username.startswith(SERVICE_ACCOUNT):
        return Requester.MACHINE
    return Requester.PERSON


def is_person_tool(manager: str) -> bool:
    return manager in PERSON_TOOLS or manager.startswith(f"{KUBECTL}-")
