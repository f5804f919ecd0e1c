"""One launcher of a real control plane on loopback, for tests, bench and demo.

    async with ControlPlane.start(directory, controller_manager=True) as plane:
        await plane.kubectl("get", "namespaces", identity="person")

With `kwok=True` there is a node on which pods seem to run (nodes.py, stages.yaml).

Identities: `admin` (system:masters), `person` (a user with cluster-admin), `ci` and `operator` (service accounts with
cluster-admin), `controller-manager` (the user that a cluster's own controllers act as).
"""

from tools.controlplane.identities import AUTOMATION_NAMESPACE, IDENTITIES, PERSON, Identity
from tools.controlplane.kubectl import Completed, KubectlError
from tools.controlplane.plane import ControlPlane
from tools.controlplane.processes import ControlPlaneError

__all__ = [
    "AUTOMATION_NAMESPACE",
    "IDENTITIES",
    "PERSON",
    "Completed",
    "ControlPlane",
    "ControlPlaneError",
    "Identity",
    "KubectlError",
]
