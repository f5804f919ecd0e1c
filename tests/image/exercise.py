"""Guard from its image against a real control plane, run as its pod would be: `python -m tests.image.exercise IMAGE`.

The container gets what a kubelet gives it (the account's token, the API server's authority and address), the Deployment's own
arguments and security context, and the host's network in place of a Service. DOCKER_HOST names the engine.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from guard.base import codec
from tests.manifests.incluster import DEPLOYMENT, SYNC, colour, declare, install, make_repository, paint
from tests.render.locksmith import Locksmith
from tools import binaries
from tools.controlplane import ControlPlane
from tools.guardrun import Repository, eventually, free_port, sync_document

DOCKER = "/usr/bin/docker"
GROUP = 65532
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
STARTING_SECONDS = 60.0
BRANCH = "encrypted"


def say(text: str) -> None:
    print(f"image-test: {text}", flush=True)  # noqa: T201 (what the person at the terminal follows)


def docker(*arguments: str, code: int = 0) -> str:
    """What it printed. Ends the run at another exit code than `code`."""
    done = subprocess.run([DOCKER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"docker {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def mount_account(directory: Path, plane: ControlPlane, *, token: str) -> None:
    directory.mkdir()
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes(plane.ca_file.read_bytes())
    (directory / "namespace").write_text("guard-system")


def empty_directory(path: Path) -> Path:
    """An emptyDir as the kubelet makes it under `fsGroup`."""
    path.mkdir()
    os.chown(path, 0, GROUP)
    path.chmod(0o2777)
    return path


def mounted(mount: dict[str, str], directory: Path, *, in_memory: bool) -> str:
    """An emptyDir of the pod, in its place."""
    if in_memory:
        return f"--tmpfs={mount['mountPath']}:mode=2777,gid={GROUP}"
    return f"--volume={empty_directory(directory / mount['name'])}:{mount['mountPath']}"


def run_options(plane: ControlPlane, directory: Path) -> list[str]:
    """`docker run` for the Deployment's pod."""
    pod = yaml.safe_load(DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secure = container["securityContext"]
    if not secure["readOnlyRootFilesystem"] or secure["capabilities"]["drop"] != ["ALL"] or secure["allowPrivilegeEscalation"]:
        raise SystemExit(f"{DEPLOYMENT} is laxer than this run")
    address = urlsplit(plane.url)
    in_memory = {volume["name"] for volume in pod["volumes"] if volume["emptyDir"].get("medium") == "Memory"}
    return [
        "--network=host",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--user={pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}",
        *(mounted(mount, directory, in_memory=mount["name"] in in_memory) for mount in container["volumeMounts"]),
        f"--volume={directory / 'account'}:{ACCOUNT}:ro",
        f"--volume={directory / 'repository'}:/srv/repository:ro",
        f"--env=KUBERNETES_SERVICE_HOST={address.hostname}",
        f"--env=KUBERNETES_SERVICE_PORT={address.port}",
        f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
    ]


def run_arguments() -> list[str]:
    """The Deployment's arguments, then those that differ outside a cluster; the last of a kind counts."""
    pod = yaml.safe_load(DEPLOYMENT.read_text())["spec"]["template"]["spec"]
    port = free_port()
    return [
        *pod["containers"][0]["args"],
        f"--listen=127.0.0.1:{port}",
        f"--webhook-url=https://127.0.0.1:{port}",
        f"--metrics-listen=127.0.0.1:{free_port()}",
    ]


async def exercise(plane: ControlPlane, directory: Path, *, image: str) -> None:
    token = await install(plane)
    say("ok: the manifests are installed")
    repository = make_repository(directory / "repository")
    mount_account(directory / "account", plane, token=token)
    await declare(plane, repository=Path("/srv/repository"))
    password = await declare_encrypted(plane, repository)
    name = f"guard-{secrets.token_hex(4)}"
    docker("run", "--detach", f"--name={name}", *run_options(plane, directory), image, *run_arguments())
    try:
        await decrypted(plane, password)
        await follow(plane, name, commit=repository.git("rev-parse", "HEAD"))
    except BaseException:
        say(f"it failed; the container says:\n{docker('logs', '--tail=40', name)}")
        raise
    finally:
        docker("rm", "--force", "--volumes", name)


async def declare_encrypted(plane: ControlPlane, repository: Repository) -> str:
    """A Sync of another branch, in which Kustomize makes a Secret of an encrypted file. Returns what is in that."""
    smith, password = Locksmith(binaries.locate(["sops", "age-keygen"])), secrets.token_hex(8)
    try:
        key = smith.age()
        repository.git("checkout", "-q", "--orphan", BRANCH)
        made = "namespace: default\nsecretGenerator: [{name: made, files: [password], options: {disableNameSuffixHash: true}}]\n"
        repository.commit(
            {"settings.yaml": None, "kustomization.yaml": made, "password": smith.encrypt("password", password, key)}
        )
        repository.git("checkout", "-q", "main")
    finally:
        smith.close()
    values = {name: base64.b64encode(value).decode() for name, value in key.values.items()}
    await plane.call("POST", "/api/v1/namespaces/guard-system/secrets", body={"metadata": {"name": "keys"}, "data": values})
    source = {"git": {"url": "/srv/repository", "ref": {"branch": BRANCH}}, "interval": "1s"}
    sync = sync_document(BRANCH, "", source=source, decryption={"secretRef": {"name": "keys"}})
    await plane.kubectl("apply", "--validate=strict", "--filename=-", identity="admin", input=codec.pretty(sync))
    return password


async def decrypted(plane: ControlPlane, password: str) -> None:
    async def applied() -> bool:
        shown = await plane.kubectl(
            "get", "secret", "made", "--ignore-not-found", "--output=jsonpath={.data.password}", identity="admin"
        )
        return base64.b64decode(shown.stdout).decode() == password

    await eventually(applied, what="a Secret of an encrypted file is applied", seconds=STARTING_SECONDS)
    say("ok: a Secret is made of an encrypted file")


async def follow(plane: ControlPlane, name: str, *, commit: str) -> None:
    async def applied() -> bool:
        if docker("inspect", "--format={{.State.Running}}", name) != "true":
            raise SystemExit("the container has ended")
        return await colour(plane) == "green"

    await eventually(applied, what="the commit is applied", seconds=STARTING_SECONDS)
    say("ok: what Git declares is applied")

    async def refused() -> bool:
        return "settings is managed from Git" in await paint(plane, "red")

    await eventually(refused, what="a person's edit is refused")
    if await colour(plane) != "green":
        raise SystemExit("a refused edit was stored")
    say(f"ok: a person's edit is refused:\n{await paint(plane, 'red')}")

    async def told() -> bool:
        path = f"/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/{SYNC}"
        return str((await plane.call("GET", path)).get("status", {}).get("lastAppliedRevision", "")).endswith(commit)

    await eventually(told, what="the Sync's status names the commit")
    # Exit code 1: a denial was found.
    records = codec.decode(docker("exec", name, "guard", "audit", "--event=denied", "--output=json", code=1).encode())
    if [record["name"] for record in records][:1] != ["settings"]:
        raise SystemExit(f"guard audit in the container knows of no denial: {records}")
    say("ok: guard audit in the container knows of it")
    docker("stop", "--time=10", name)
    ended = docker("inspect", "--format={{.State.ExitCode}}", name)
    if ended != "0":
        raise SystemExit(f"SIGTERM ended it with {ended}, not 0")
    say("ok: it stops on SIGTERM with exit code 0")


async def main(image: str) -> None:
    os.umask(0o022)  # the container's user owns nothing here, and reads what is mounted
    with tempfile.TemporaryDirectory(prefix="guard-exercise.") as scratch:
        async with ControlPlane.start(Path(scratch) / "plane") as plane:
            say(f"a control plane runs: {codec.encode(plane.pids).decode()}")
            directory = Path(scratch) / "guard"
            directory.mkdir()
            await exercise(plane, directory, image=image)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
