"""Which real binaries Guard, its tests, bench and the demo need, in which version, and where they are.

Standard library only: `make tools` runs it before there is a virtual environment.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).resolve().parent
# Modules of their own, since these need other versions of the same libraries than Kubernetes does.
HELM, KWOK, SOPS, VERSITYGW = (MODULE / name for name in ("helm", "kwok", "sops", "versitygw"))
PROBE_SECONDS = 60  # the first start of a 120 MB binary from a cold disk
# Helm takes a home that is no folder for an error, one that is missing for an empty one.
HOMELESS = {"HOME": "/nonexistent", "KUBECONFIG": os.devnull}


class ToolsError(Exception):
    """What is wrong and what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A `tool` line of the go.mod in `folder`. `module` is where its version is pinned, `ask` makes the binary print it."""

    name: str
    package: str
    module: str
    ask: tuple[str, ...]
    folder: Path = MODULE


def _kubernetes(name: str, *ask: str) -> Tool:
    return Tool(name=name, package=f"k8s.io/kubernetes/cmd/{name}", module="k8s.io/kubernetes", ask=ask)


def _standalone(name: str, package: str, *ask: str) -> Tool:
    return Tool(name=name, package=package, module=package, ask=ask)


TOOLS = (
    _standalone("etcd", "go.etcd.io/etcd/server/v3", "--version"),
    _kubernetes("kubectl", "version", "--client"),
    _kubernetes("kube-apiserver", "--version"),
    _kubernetes("kube-controller-manager", "--version"),
    _standalone("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "version"),
    Tool(name="helm", package="helm.sh/helm/v4/cmd/helm", module="helm.sh/helm/v4", ask=("version", "--short"), folder=HELM),
    Tool(name="kwok", package="sigs.k8s.io/kwok/cmd/kwok", module="sigs.k8s.io/kwok", ask=("--version",), folder=KWOK),
    Tool(
        name="sops",
        package="github.com/getsops/sops/v3/cmd/sops",
        module="github.com/getsops/sops/v3",
        # Plain `--version` asks a host for the newest one.
        ask=("--version", "--disable-version-check"),
        folder=SOPS,
    ),
    Tool(name="age-keygen", package="filippo.io/age/cmd/age-keygen", module="filippo.io/age", ask=("--version",), folder=SOPS),
    Tool(
        name="versitygw",
        package="github.com/versity/versitygw/cmd/versitygw",
        module="github.com/versity/versitygw",
        ask=("--version",),
        folder=VERSITYGW,
    ),
)
FOLDERS = tuple(dict.fromkeys(tool.folder for tool in TOOLS))


def pinned() -> dict[str, str]:
    """The version that go.mod requires of each tool, without the leading `v`."""
    texts = {folder: (folder / "go.mod").read_text() for folder in FOLDERS}
    versions: dict[str, str] = {}
    for tool in TOOLS:
        go_mod = tool.folder / "go.mod"
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(tool.module)}\s+v(\S+)", texts[tool.folder], re.MULTILINE)
        if found is None:
            raise ToolsError(
                f"{go_mod} requires no version of {tool.module}; run `go get -tool {tool.package}` in {go_mod.parent}"
            )
        versions[tool.name] = found[1]
    return versions


def build_flags(versions: Mapping[str, str], folder: Path = MODULE) -> list[str]:
    """The arguments of `go build` in a module. Most learn their own version from the linker only."""
    symbols = " ".join(f"-X {name}={value}" for name, value in _linked(versions, folder).items())
    return ["-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {symbols}"]


def _linked(versions: Mapping[str, str], folder: Path) -> dict[str, str]:
    if folder == KWOK:
        return {}
    if folder in {SOPS, VERSITYGW}:
        # Of the first it is age-keygen that is told; sops has its version in its code.
        return {"main.Version": f"v{versions['age-keygen' if folder == SOPS else 'versitygw']}"}
    if folder == HELM:
        return {"helm.sh/helm/v4/internal/version.version": f"v{versions['helm']}"}
    kubernetes = versions["kube-apiserver"]
    major, minor, _ = kubernetes.split(".", 2)
    return {
        "k8s.io/component-base/version.gitVersion": f"v{kubernetes}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "sigs.k8s.io/kustomize/api/provenance.version": f"v{versions['kustomize']}",
    }


def cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "guard" / "tools"


def cache_dir(versions: Mapping[str, str], folder: Path = MODULE) -> Path:
    """The folder of binaries built from exactly a module's go.mod, go.sum, recipe and for this kind of machine."""
    digest = hashlib.sha256()
    for part in (
        (folder / "go.mod").read_bytes(),
        (folder / "go.sum").read_bytes(),
        repr(build_flags(versions, folder)).encode(),
        f"{platform.system()} {platform.machine()}".encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    name, version = ("kubernetes", versions["kube-apiserver"]) if folder == MODULE else (folder.name, versions[folder.name])
    return cache_root() / f"{name}-{version}-{digest.hexdigest()[:16]}"


def version_of(tool: Tool, binary: Path) -> str:
    """The version that the binary prints, without the leading `v`. Raises ToolsError when it prints none."""
    environment = {"PATH": os.defpath, **HOMELESS}
    try:
        answer = subprocess.run(
            [binary, *tool.ask], env=environment, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolsError(f"{binary} does not run: {error}") from error
    found = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", answer.stdout + answer.stderr)
    if found is None:
        raise ToolsError(f"{binary} {' '.join(tool.ask)} prints no version")
    return found[1]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was found where, what is missing, and what was passed over and why."""

    found: dict[str, Path]
    missing: list[Tool]
    notes: list[str]


def search(names: Iterable[str] | None = None) -> Search:
    """Look for the tools (all, or those named), each in the first place that has it in the right version."""
    wanted = [tool for tool in TOOLS if names is None or tool.name in set(names)]
    versions = pinned()
    notes: list[str] = []
    with ThreadPoolExecutor(max_workers=len(TOOLS)) as pool:
        asked = {tool.name: pool.submit(_find, tool, versions, notes) for tool in wanted}
    found = {name: place for name, answer in asked.items() if (place := answer.result()) is not None}
    return Search(found=found, missing=[tool for tool in wanted if tool.name not in found], notes=notes)


def locate(names: Iterable[str] | None = None) -> dict[str, Path]:
    """Where the tools are (all, or those named); builds nothing. Raises ToolsError when one is missing or wrong."""
    result = search(names)
    if result.missing:
        raise ToolsError(f"{', '.join(tool.name for tool in result.missing)} not found; run `make tools`")
    return result.found


def _find(tool: Tool, versions: Mapping[str, str], notes: list[str]) -> Path | None:
    wanted = versions[tool.name]
    if binary := _in_folder("GUARD_TOOLS_DIR", tool):
        version = version_of(tool, binary)
        if version != wanted:
            raise ToolsError(f"GUARD_TOOLS_DIR: {binary} is {version}, {wanted} is needed; replace it, or unset GUARD_TOOLS_DIR")
        return binary
    if binary := _in_folder("KUBEBUILDER_ASSETS", tool):
        try:
            version = version_of(tool, binary)
        except ToolsError as error:
            notes.append(f"KUBEBUILDER_ASSETS: passed over, {error}")
        else:
            if version == wanted:
                return binary
            notes.append(f"KUBEBUILDER_ASSETS: {binary} is {version}, {wanted} is needed; passed over")
    # A binary comes into the cache only after its version was checked.
    cached = cache_dir(versions, tool.folder) / tool.name
    return cached if cached.is_file() else None


def _in_folder(variable: str, tool: Tool) -> Path | None:
    folder = os.environ.get(variable)
    if not folder:
        return None
    binary = Path(folder).absolute() / tool.name
    return binary if binary.is_file() else None
