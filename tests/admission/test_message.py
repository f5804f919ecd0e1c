from __future__ import annotations

from datetime import UTC, datetime

import pytest

from guard.admission import Case, Decision, message
from guard.admission.review import parse
from guard.base import codec
from guard.base.codec import Json
from guard.state import MISSING, Change, Declared, Kind, Nature, Policy, Requester, View
from guard.state.fields import Path
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, SECRET, declared_as, object_of

IMAGE: Path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}', "f:image")
SECRET_TEXT = "hunter2-"


def change(
    path: Path, *, git: Json = MISSING, old: Json = MISSING, new: Json = MISSING, nature: Nature = Nature.DECLARED
) -> Change:
    return Change(nature=nature, path=path, git=git, old=old, new=new)


def case_of(kind: Kind) -> Case:
    request = {
        "uid": "1",
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.resource},
        "operation": "UPDATE",
        "name": "web",
        "namespace": "shop",
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Case(parse(codec.encode(body)).request, view=View(), policy=Policy(), now=now)


def refused(*changes: Change, kind: Kind = DEPLOYMENT, reason: str = "DeclaredFieldChanged", undeclared: bool = False) -> str:
    declared: Declared | None = None if undeclared else declared_as(kind, object_of(kind))
    decision = Decision(verdict="deny", reason=reason, requester=Requester.PERSON, declared=declared, changes=changes)
    case = case_of(kind)
    shown = message.field_changes(case, decision)
    return message.refusal(case, decision, shown, reference="01J9Z") + "\n" + "\n".join(message.warnings(case, decision, shown))


def test_a_refusal_says_what_git_says_where_and_what_to_do() -> None:
    lines = refused(change(IMAGE, git="nginx:1.25", old="nginx:1.25", new="nginx:1.26")).splitlines()
    assert lines[:3] == [
        "Deployment shop/web is managed from Git, so this change is refused.",
        "  spec.template.spec.containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26",
        "Change it in Git: apps/web.yaml:17 (main@3f2c1ab)",
    ]
    assert any(line.startswith("Reference: 01J9Z") for line in lines)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (change(("f:data", "f:a"), git="1", old="1"), "data.a: Git has 1, you asked to remove it"),
        (change(("f:data", "f:a"), new="1", nature=Nature.ADDITION), "data.a: not in Git, you asked to add 1"),
        (change(("f:data", "f:a"), old="1", new="2", nature=Nature.ADDITION), "data.a: not in Git, you asked for 2"),
        (change(("f:data", "f:a"), old="1", nature=Nature.ADDITION), "data.a: not in Git, you asked to remove it"),
        (change(("f:data", "f:a"), git=1, old=1, new="1"), "data.a: differs from Git"),
        (change(("f:data", "f:a"), git=False, old=False, new=True), "data.a: Git has false, you asked for true"),
        (change(("f:env", 'k:{"name":"A"}'), nature=Nature.DUPLICATE), "env[name=A]: appears twice"),
        (
            change(("f:env",), git=["name=A", "name=B"], new=["name=B", "name=A"], nature=Nature.ORDER),
            'env: Git\'s order is ["name=A","name=B"], you asked for ["name=B","name=A"]',
        ),
    ],
)
def test_each_way_to_differ_has_its_words(made: Change, line: str) -> None:
    assert f"  {line}\n" in refused(made, kind=CONFIG_MAP)


@pytest.mark.case(39)
@pytest.mark.parametrize("path", [("f:data",), ("f:data", "f:password"), ("f:type",)])
@pytest.mark.parametrize("nature", list(Nature))
@pytest.mark.parametrize("absent", ["git", "old", "new", "none"])
def test_values_of_a_secret_are_never_shown(path: Path, nature: Nature, absent: str) -> None:
    values: dict[str, Json] = {name: {"key": SECRET_TEXT + name} for name in ("git", "old", "new")}
    values.pop(absent, None)
    text = refused(change(path, nature=nature, **values), kind=SECRET)
    assert SECRET_TEXT not in text
    assert path[-1].removeprefix("f:") in text


@pytest.mark.case(39)
def test_what_kubectl_noted_of_a_secret_is_not_shown_either() -> None:
    path = ("f:metadata", "f:annotations", "f:kubectl.kubernetes.io/last-applied-configuration")
    assert SECRET_TEXT not in refused(change(path, git=SECRET_TEXT, old=SECRET_TEXT, new=f"{SECRET_TEXT}2"), kind=SECRET)


def test_labels_of_a_secret_are_shown() -> None:
    text = refused(change(("f:metadata", "f:labels", "f:app"), git="web", new="other"), kind=SECRET)
    assert "metadata.labels.app: Git has web, you asked for other" in text


def test_a_message_stays_short_whatever_was_changed() -> None:
    many = [change(("f:data", f"f:k{number:03}"), git="a" * 5000, new="b\n" * 5000) for number in range(200)]
    lines = refused(*many, kind=CONFIG_MAP).splitlines()
    assert "  and 190 more fields" in lines
    assert max(map(len, lines)) < 250
    assert len(lines) < 40


def test_an_object_that_git_does_not_declare_has_no_place_in_git() -> None:
    label = change(("f:metadata", "f:labels", "f:gitopsguard.dev/sync"), new="guard-system.apps", nature=Nature.ADDITION)
    text = refused(label, kind=CONFIG_MAP, reason="ForeignLabel", undeclared=True)
    assert text.startswith("ConfigMap shop/web is not managed from Git, so it may not carry the label gitopsguard.dev/sync.\n")
    assert "Change it in Git" not in text


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("main@sha1:3f2c1ab999", "main@3f2c1ab"),
        ("release@1@sha1:3f2c1ab999", "release@1@3f2c1ab"),
        ("bucket@sha256:0123456789", "bucket@0123456"),
    ],
)
def test_a_revision_is_shortened_to_what_git_log_shows(revision: str, short: str) -> None:
    assert message.short_revision(revision) == short
