from __future__ import annotations

from pathlib import Path

import pytest

from guard.api import load_config
from guard.base.errors import ConfigError

APPS = """\
# what runs here
apiVersion: gitopsguard.dev/v1alpha1
kind: Sync
metadata: {name: apps, labels: {team: web}}
spec:
  source: {git: {url: /srv/git/deploy, ref: {branch: main}}, interval: 30s}
  path: ./apps
"""
INFRA = APPS.replace("name: apps", "name: infra, namespace: platform")


def write(directory: Path, text: str, *, name: str = "syncs.yaml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def problem(*paths: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(*paths)
    return str(caught.value)


def test_every_document_is_returned_typed_and_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, f"---\n{APPS}---\n{INFRA}---\n")
    apps, infra = load_config(path)
    assert (apps.sync.key, infra.sync.key) == ("guard-system/apps", "platform/infra")
    assert apps.sync.spec.path == "apps"
    assert apps.manifest == {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "apps", "namespace": "guard-system", "labels": {"team": "web"}},
        "spec": {"source": {"git": {"url": "/srv/git/deploy", "ref": {"branch": "main"}}, "interval": "30s"}, "path": "./apps"},
    }
    assert (apps.where, infra.where) == (f"{path}:3", f"{path}:11")


def test_several_files_are_read_in_order(tmp_path: Path) -> None:
    first, second = write(tmp_path, APPS, name="b.yaml"), write(tmp_path, INFRA, name="a.yaml")
    assert [found.sync.key for found in load_config(first, second)] == ["guard-system/apps", "platform/infra"]


def test_a_status_in_the_file_is_not_applied(tmp_path: Path) -> None:
    (found,) = load_config(write(tmp_path, APPS + "status: {lastAppliedRevision: x}\n"))
    assert "status" not in found.manifest


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_a_file_without_documents_is_an_error(tmp_path: Path, text: str) -> None:
    assert "holds no document" in problem(write(tmp_path, text))


def test_bad_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, APPS + "  prune: [\n")
    assert problem(path).startswith(f"{path}:9: is no valid YAML: ")


@pytest.mark.parametrize("text", ["a: \x07\n", "a: 2026-13-45\n", "a: !!python/object:os.system x\n", "a: *b\n", "[" * 5000])
def test_what_yaml_cannot_hold_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    assert "is no valid YAML" in problem(write(tmp_path, text))


def test_a_file_that_is_no_text_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "syncs.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not a text file in UTF-8" in problem(path)


def test_a_document_of_another_kind_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, APPS + "---\napiVersion: v1\nkind: ConfigMap\n")
    assert problem(path) == f"{path}:9: expected kind Sync of gitopsguard.dev/v1alpha1, got kind ConfigMap of v1"


def test_a_document_that_is_a_list_is_refused(tmp_path: Path) -> None:
    assert "expected a Sync" in problem(write(tmp_path, "- a\n"))


def test_a_wrong_field_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, APPS + "  prun: false\n")
    allowed = (
        "source, path, targetNamespace, renderer, kustomize, helm, decryption, prune, pruneLimit, deletionPolicy, suspend, "
        "dependsOn, serviceAccountName, wait, timeout, retryInterval, enforcement"
    )
    assert problem(path) == f"{path}:2: spec.prun is not known; allowed: {allowed}"


def test_a_sync_that_depends_on_itself_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, APPS + "  dependsOn: [{name: apps, namespace: guard-system}]\n")
    assert "dependsOn names the Sync itself" in problem(path)


def test_a_sync_that_is_there_twice_is_named_with_both_places(tmp_path: Path) -> None:
    first, second = write(tmp_path, INFRA + "---\n" + APPS, name="a.yaml"), write(tmp_path, APPS, name="b.yaml")
    assert problem(first, second) == f"{second}:2: Sync guard-system/apps is already defined at {first}:10"
    assert "is already defined" in problem(write(tmp_path, f"{APPS}---\n{APPS}"))
