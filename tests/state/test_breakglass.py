from __future__ import annotations

from datetime import UTC, datetime, timedelta

from guard.state.breakglass import NOTHING_OPEN, Opened, Opening, Target, WholeNamespace, WholeSync
from guard.state.ids import ObjectKey

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WEB = ObjectKey(group="apps", kind="Deployment", namespace="shop", name="web")
SHOP = ObjectKey(group="", kind="Namespace", namespace="", name="shop")
SYNC = "guard-system/apps"


def opened(*targets: Target, minutes: int = 30) -> Opened:
    return Opened(Opening(f"shop/{n}", target, NOW + timedelta(minutes=minutes)) for n, target in enumerate(targets))


def test_an_object_is_open_by_itself_its_namespace_or_its_sync() -> None:
    for target in (WEB, WholeNamespace("shop"), WholeSync(SYNC)):
        assert opened(target).of(WEB, sync=SYNC, now=NOW) == "shop/0"
        assert opened(target).holder(WEB, sync=SYNC)


def test_nothing_else_is() -> None:
    others: tuple[Target, ...] = (
        ObjectKey(group="", kind="Deployment", namespace="shop", name="web"),
        ObjectKey(group="apps", kind="Deployment", namespace="shop", name="we"),
        ObjectKey(group="apps", kind="StatefulSet", namespace="shop", name="web"),
        ObjectKey(group="apps", kind="Deployment", namespace="", name="web"),
        SHOP,
        WholeNamespace("shop2"),
        WholeNamespace(""),
        WholeSync("shop/apps"),
        WholeSync(""),
    )
    assert opened(*others).of(WEB, sync=SYNC, now=NOW) == ""
    assert not opened(*others).holder(WEB, sync=SYNC)
    assert NOTHING_OPEN.of(WEB, sync=SYNC, now=NOW) == ""


def test_a_namespace_is_open_with_what_it_holds_and_not_the_other_way_round() -> None:
    assert opened(WholeNamespace("shop")).of(SHOP, sync="", now=NOW)
    assert not opened(SHOP).of(WEB, sync=SYNC, now=NOW)


def test_what_has_no_namespace_is_in_none() -> None:
    role = ObjectKey(group="rbac.authorization.k8s.io", kind="ClusterRole", namespace="", name="shop")
    assert not opened(WholeNamespace("shop")).of(role, sync="", now=NOW)


def test_it_is_over_at_its_end_and_the_writer_waits_until_it_is_closed() -> None:
    end = NOW + timedelta(minutes=30)
    found = opened(WEB)
    assert found.of(WEB, sync=SYNC, now=end - timedelta(microseconds=1))
    assert not found.of(WEB, sync=SYNC, now=end)
    assert found.holder(WEB, sync=SYNC)


def test_of_several_on_the_same_the_longest_counts() -> None:
    short, long = Opening("shop/short", WEB, NOW), Opening("shop/long", WEB, NOW + timedelta(hours=1))
    for order in ((short, long), (long, short)):
        assert Opened(order).of(WEB, sync=SYNC, now=NOW) == "shop/long"
