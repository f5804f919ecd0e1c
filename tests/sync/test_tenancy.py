from __future__ import annotations

import pytest

from guard.api import Sync, parse_sync
from guard.base.codec import Json, JsonObject
from guard.base.errors import ConfigError
from guard.sync import compiled
from guard.sync.tenancy import account_of, check, check_login

URL = "https://git.example.com/deploy"


def sync(namespace: str, *, name: str = "apps", url: str = URL, **spec: Json) -> Sync:
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"source": {"git": {"url": url}}, **spec},
    }
    return parse_sync(body, where="test")


def test_a_sync_acts_as_the_account_that_it_names_in_its_own_namespace() -> None:
    assert account_of(sync("team-a", serviceAccountName="deployer")) == "system:serviceaccount:team-a:deployer"
    assert account_of(sync("guard-system", serviceAccountName="web")) == "system:serviceaccount:guard-system:web"


def test_only_guards_own_namespace_has_guards_own_rights() -> None:
    assert not account_of(sync("guard-system"))
    assert account_of(sync("team-a")) == "system:serviceaccount:team-a:default"


def test_a_tenant_sets_no_namespace_strict_but_its_own() -> None:
    tenant = sync("team-a", enforcement={"strictNamespaces": ["team-a", "kube-system", "default"]})

    with pytest.raises(ConfigError, match="names default, kube-system"):
        check(tenant)
    assert compiled([tenant], loaded=(), sync_user="me").strict == {"team-a": "team-a/apps"}
    check(sync("team-a", enforcement={"strictNamespaces": ["team-a"]}))
    check(sync("guard-system", enforcement={"strictNamespaces": ["kube-system"]}))


def test_how_strict_a_namespace_is_says_the_platform_before_its_tenant() -> None:
    strict = {"strictNamespaces": ["a"]}
    syncs = [sync("a", enforcement=strict), *(sync("guard-system", name=name, enforcement=strict) for name in ("y", "x"))]

    assert compiled(syncs, loaded=(), sync_user="me").strict == {"a": "guard-system/x"}


@pytest.mark.parametrize("url", ["/etc", "/srv/deploy.git", "file:///etc", "http://127.0.0.1:8080/deploy.git"])
def test_a_tenant_cannot_follow_what_is_on_guards_machine(url: str) -> None:
    with pytest.raises(ConfigError, match="Guard's own machine"):
        check(sync("team-a", url=url))
    check(sync("guard-system", url=url))


@pytest.mark.parametrize(
    ("bucket", "said"),
    [
        ({}, "names no secretRef"),
        ({"secretRef": {"name": "login"}, "endpoint": "http://127.0.0.1:9000"}, "may lead to Guard's own machine"),
    ],
)
def test_a_tenant_reads_a_bucket_with_credentials_of_its_own_and_none_on_guards_machine(bucket: JsonObject, said: str) -> None:
    source: JsonObject = {"bucket": {"name": "deploy", **bucket}}
    with pytest.raises(ConfigError, match=said):
        check(sync("team-a", source=source))
    check(sync("guard-system", source=source))
    own = {"bucket": {"name": "deploy", "secretRef": {"name": "login"}, "endpoint": "https://s3.example.com"}}
    check(sync("team-a", source=own))


@pytest.mark.parametrize("url", [URL, "ssh://git@git.example.com/deploy.git", "git@git.example.com:deploy.git"])
def test_a_tenant_follows_repositories_of_others(url: str) -> None:
    check(sync("team-a", url=url))


def test_the_policy_knows_for_which_syncs_guard_acts_in_whose_name() -> None:
    policy = compiled([sync("team-a"), sync("guard-system")], loaded=(), sync_user="me")
    assert policy.accounts == {"team-a/apps": "system:serviceaccount:team-a:default"}


def test_a_tenants_secret_that_holds_no_key_does_not_stand_for_what_guard_itself_may() -> None:
    with pytest.raises(ConfigError, match="holds no accesskey"):
        check_login(sync("team-a"), has_login=False)
    check_login(sync("team-a"), has_login=True)
    check_login(sync("guard-system"), has_login=False)
