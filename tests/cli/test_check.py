"""The command as CI runs it: a process, its output, its exit code."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.base import codec
from tests.render.locksmith import Locksmith
from tools import binaries
from tools.guardrun import guard_command

SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata:\n  color: blue\n"


@pytest.fixture
def desired(tmp_path: Path) -> Path:
    directory = tmp_path / "desired"
    directory.mkdir()
    (directory / "settings.yaml").write_text(SETTINGS)
    return directory


def guard(*arguments: str | Path, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    # No HOME, no kubeconfig: nothing but the folder is needed.
    sops = binaries.locate(["sops"])["sops"].parent
    environment = {"PATH": f"{sops}:/usr/bin:/bin", "KUBECONFIG": "/nonexistent"}
    command = [*guard_command(), "check", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, input=text, capture_output=True, text=True, check=False)


def test_a_good_folder(desired: Path) -> None:
    found = guard("--desired", "desired", cwd=desired.parent)
    assert (found.returncode, found.stdout, found.stderr) == (0, "1 object, no fault\n", "")


def test_a_faulty_folder_names_file_and_line(desired: Path) -> None:
    (desired / "bad.yaml").write_text("kind: ConfigMap\nmetadata: {name: x}\n")
    found = guard("--desired", "desired", cwd=desired.parent)
    assert found.returncode == 1
    assert found.stdout.startswith("desired/bad.yaml:1: the object has no apiVersion")
    assert found.stdout.endswith("\n1 fault\n")


def test_a_manifest_from_standard_input_that_differs(desired: Path) -> None:
    found = guard("--desired", "desired", "-f", "-", cwd=desired.parent, text=SETTINGS.replace("blue", "red"))
    assert found.returncode == 1
    assert found.stdout.splitlines() == [
        "standard input:1: UPDATE ConfigMap shop/settings: refused (DeclaredFieldChanged)",
        "  ConfigMap shop/settings is managed from Git, so this change is refused.",
        "  data.color: Git has blue, asked for red (desired/settings.yaml:5)",
    ]


def test_the_file_from_git_itself(desired: Path) -> None:
    found = guard("--desired", "desired", "-f", "desired/settings.yaml", cwd=desired.parent)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_output_for_programs(desired: Path, form: str) -> None:
    import yaml

    found = guard("--desired", "desired", "-f", "desired/settings.yaml", "-o", form, cwd=desired.parent)
    told = codec.decode(found.stdout.encode()) if form == "json" else yaml.safe_load(found.stdout)
    assert (told["objects"], told["verdicts"][0]["verdict"], told["verdicts"][0]["operation"]) == (1, "allow", "UPDATE")


def test_a_warning_goes_to_standard_error(desired: Path) -> None:
    (desired / "gizmo.yaml").write_text("apiVersion: example.com/v1\nkind: Gizmo\nmetadata: {name: g}\n")
    found = guard("--desired", "desired", cwd=desired.parent)
    assert (found.returncode, found.stdout) == (0, "2 objects, no fault\n")
    assert found.stderr.startswith("warning: desired/gizmo.yaml:1: Gizmo.example.com is not built in")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--desired", "nowhere"), ("--desired", "desired", "-f", "nowhere"), ("--desired", "desired", "-f", "empty.yaml")],
)
def test_a_wrong_use_is_2(desired: Path, arguments: tuple[str, ...]) -> None:
    (desired.parent / "empty.yaml").write_text("")
    found = guard(*arguments, cwd=desired.parent)
    assert found.returncode == 2
    assert found.stderr


def test_a_folder_that_cannot_be_taken_is_2_where_something_is_checked_against_it(desired: Path) -> None:
    (desired / "bad.yaml").write_text("a: [\n")
    found = guard("--desired", "desired", "-f", "desired/settings.yaml", cwd=desired.parent)
    assert found.returncode == 2
    assert "desired/bad.yaml:2:1" in found.stdout


SECRET = """apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData:
  password: battery-staple
"""


@pytest.fixture
def locksmith() -> Iterator[Locksmith]:
    made = Locksmith(binaries.locate(["sops", "age-keygen"]))
    yield made
    made.close()


def test_what_is_encrypted_is_checked_with_its_keys_and_shown_nowhere(desired: Path, locksmith: Locksmith) -> None:
    key = locksmith.age()
    (desired / "login.yaml").write_text(locksmith.encrypt("login.yaml", SECRET, key))
    keys = desired.parent / "keys"
    keys.mkdir()
    found = guard("--desired", "desired", cwd=desired.parent)
    assert found.returncode == 1
    assert found.stdout.startswith(
        "desired/login.yaml: is encrypted with SOPS (give its private key in a folder by --decryption-keys)"
    )
    found = guard("--desired", "desired", "--decryption-keys", "keys", cwd=desired.parent)
    assert (found.returncode, found.stderr.startswith("guard: keys holds no keys")) == (2, True)

    (keys / key.entry).write_bytes(key.private)
    found = guard("--desired", "desired", "--decryption-keys", "keys", cwd=desired.parent)
    assert (found.returncode, found.stdout, found.stderr) == (0, "2 objects, no fault\n", "")
    other = SECRET.replace("battery-staple", "correct-horse")
    with_change = ("--desired", "desired", "--decryption-keys", "keys", "-f", "-", "-o", "json")
    found = guard(*with_change, cwd=desired.parent, text=other)
    assert found.returncode == 1
    assert "data.password" in found.stdout
    assert "battery-staple" not in found.stdout
    assert "correct-horse" not in found.stdout
