"""The ways in which people and machines write, and how often each of them is tried."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.oracle import requests
from tests.oracle.kinds import Sort
from tests.oracle.requests import Draft, Request


class Client(msgspec.Struct, frozen=True):
    """`share` is how often it is drawn; `fits` tells the kinds that it works on, `absent` that the object must not be there."""

    name: str
    make: Callable[[Draft], Request]
    share: int
    fits: Callable[[Sort], bool] = lambda _: True
    absent: bool = False


def _is_builtin(sort: Sort) -> bool:
    return not sort.is_custom


def _is_pod(sort: Sort) -> bool:
    return sort.name == "Pod"


def _comes_and_goes(sort: Sort) -> bool:
    return not sort.keep


CLIENTS: tuple[Client, ...] = (
    Client("PUT", requests.put, 10),
    Client("PUT without managedFields", requests.put_without_managed_fields, 5),
    Client("PUT wiping managedFields", requests.put_wiping_managed_fields, 3),
    Client("PUT of the file", requests.put_from_file, 4),
    Client("merge patch", requests.merge_patch, 14),
    Client("merge patch of managedFields", requests.merge_patch_of_managed_fields, 3),
    Client("JSON patch", requests.json_patch, 14),
    Client("strategic patch", requests.strategic_patch, 14, fits=_is_builtin),
    Client("kubectl apply", requests.client_side_apply, 5),
    Client("apply of the file", requests.apply_file, 8),
    Client("apply without force", requests.apply_file_without_force, 4),
    Client("apply of a part", requests.apply_part, 8),
    Client("scale patch", requests.scale_patch, 3, fits=lambda sort: sort.replicas is not None),
    Client("scale PUT", requests.scale_put, 2, fits=lambda sort: sort.replicas is not None),
    Client("status patch", requests.status_patch, 5, fits=lambda sort: sort.status),
    Client("status PUT", requests.status_put, 3, fits=lambda sort: sort.status),
    Client("resize", requests.resize, 1, fits=_is_pod),
    Client("ephemeral container", requests.ephemeral_container, 1, fits=_is_pod),
    Client("eviction", requests.evict, 1, fits=_is_pod),
    Client("delete", requests.delete, 3),
    Client("deletecollection", requests.delete_collection, 2),
    Client("create", requests.create, 6, fits=_comes_and_goes, absent=True),
    Client("create by apply", requests.apply_file, 3, fits=_comes_and_goes, absent=True),
)
