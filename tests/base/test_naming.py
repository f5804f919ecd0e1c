from __future__ import annotations

from guard.base import naming
from guard.state import ObjectKey


def test_objects_are_named_as_people_and_kubectl_name_them() -> None:
    web, reader = ObjectKey("apps", "Deployment", "default", "web"), ObjectKey("rbac", "ClusterRole", "", "reader")
    assert (str(web), str(reader)) == ("Deployment default/web", "ClusterRole reader")
    assert naming.argument(kind="Deployment", namespace="default", name="web") == "deployment/web -n default"
    assert naming.argument(kind="ClusterRole", namespace="", name="reader") == "clusterrole/reader"


def test_counts_agree_with_their_noun() -> None:
    assert [naming.plural(count, "object") for count in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]
