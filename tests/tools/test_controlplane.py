from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
import textwrap
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.errors import ApiStatusError
from tools.controlplane import IDENTITIES, ControlPlane, ControlPlaneError, Identity, KubectlError, processes
from tools.controlplane.processes import LOOPBACK, Daemon

LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp

USERS: dict[Identity, str] = {
    "admin": "admin",
    "person": "ada@example.com",
    "ci": "system:serviceaccount:automation:ci",
    "operator": "system:serviceaccount:automation:operator",
    "controller-manager": "system:kube-controller-manager",
}


@pytest.mark.parametrize("identity", IDENTITIES)
async def test_each_identity_is_who_it_says(control_plane: ControlPlane, identity: Identity) -> None:
    answer = await control_plane.kubectl("auth", "whoami", "-o", "json", identity=identity)
    assert answer.json()["status"]["userInfo"]["username"] == USERS[identity]


async def test_the_person_is_in_the_platform_group(control_plane: ControlPlane) -> None:
    answer = await control_plane.kubectl("auth", "whoami", "-o", "json", identity="person")
    assert set(answer.json()["status"]["userInfo"]["groups"]) == {"platform", "system:authenticated"}


@pytest.mark.parametrize("identity", ["admin", "person", "ci", "operator"])
async def test_people_and_automation_may_do_everything(control_plane: ControlPlane, identity: Identity) -> None:
    answer = await control_plane.kubectl("auth", "can-i", "*", "*", "--all-namespaces", identity=identity)
    assert answer.stdout.strip() == "yes"


async def test_kubectl_reads_its_input_and_its_failures_carry_what_it_said(control_plane: ControlPlane, namespace: str) -> None:
    config_map = codec.pretty({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fed"}, "data": {"a": "1"}})
    await control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=config_map)
    read = await control_plane.kubectl("get", "configmap", "fed", "-n", namespace, "-o", "json", identity="ci")
    assert read.json()["data"] == {"a": "1"}
    with pytest.raises(KubectlError, match="NotFound"):
        await control_plane.kubectl("get", "configmap", "absent", "-n", namespace)
    unchecked = await control_plane.kubectl("get", "configmap", "absent", "-n", namespace, check=False)
    assert unchecked.returncode == 1


async def test_kubectl_knows_nothing_of_the_users_own_configuration(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("this is no kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    await control_plane.kubectl("get", "namespaces")
    assert os.listdir(tmp_path) == ["config"]  # noqa: PTH208 (Path has only blocking iterators)


async def test_an_error_of_the_api_server_keeps_its_code_and_reason(control_plane: ControlPlane) -> None:
    with pytest.raises(ApiStatusError) as caught:
        await control_plane.call("GET", "/api/v1/namespaces/absent")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")


async def test_the_audit_log_tells_who_did_what(control_plane: ControlPlane, namespace: str) -> None:
    await control_plane.kubectl("create", "configmap", "watched", "-n", namespace, identity="ci")
    (created,) = [
        event
        for event in control_plane.audited(about=namespace)
        if event["verb"] == "create"
        and event.get("objectRef", {}).get("name") == "watched"
        and event["objectRef"]["namespace"] == namespace
    ]
    assert created["user"]["username"] == USERS["ci"]
    assert "requestObject" not in created


def test_files_with_tokens_are_readable_by_their_owner_only(control_plane: ControlPlane) -> None:
    files = [*(control_plane.kubeconfig(identity) for identity in IDENTITIES), control_plane.directory / "tokens.csv"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_every_port_is_on_loopback(control_plane: ControlPlane) -> None:
    addresses = {name: _listening(pid) for name, pid in control_plane.pids.items()}
    assert addresses == {"etcd": {LOOPBACK}, "kube-apiserver": {LOOPBACK}}


async def test_a_restarted_api_server_has_its_port_data_and_tokens(tmp_path: Path) -> None:
    async with ControlPlane.start(tmp_path) as plane:
        pids = plane.pids
        await plane.kubectl("create", "configmap", "kept", identity="operator")
        await plane.stop_apiserver()
        refused = await plane.kubectl("get", "configmap", "kept", check=False)
        assert "refused" in refused.stderr
        await plane.start_apiserver()
        await plane.kubectl("get", "configmap", "kept", identity="operator")
        assert plane.pids["kube-apiserver"] != pids["kube-apiserver"]
        pids = plane.pids
    assert not [pid for pid in pids.values() if _runs(pid)]


async def test_the_controller_manager_finishes_deletions(tmp_path: Path) -> None:
    async with ControlPlane.start(tmp_path, controller_manager=True) as plane:
        await plane.kubectl("create", "namespace", "going")
        await plane.kubectl("delete", "namespace", "going", "--timeout=60s")
        with pytest.raises(ApiStatusError, match="not found"):
            await plane.call("GET", "/api/v1/namespaces/going")


async def test_pods_seem_to_run_on_the_node_that_kwok_plays(tmp_path: Path) -> None:
    async with ControlPlane.start(tmp_path, controller_manager=True, kwok=True) as plane:
        assert not _listening(plane.pids["kwok"])
        for kind, more in (("Deployment", {"replicas": 2}), ("StatefulSet", {"serviceName": "web"}), ("DaemonSet", {})):
            labels = {"app": kind}
            pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.com/web"}]}}
            spec = {"selector": {"matchLabels": labels}, "template": pod, **more}
            body = {"metadata": {"name": kind.lower()}, "spec": spec}
            await plane.call("POST", f"/apis/apps/v1/namespaces/default/{kind.lower()}s", body=body)
            await plane.kubectl("rollout", "status", f"{kind.lower()}/{kind.lower()}", "--timeout=60s")


async def test_a_process_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    daemon = _shell("echo no room left; exit 3", tmp_path)
    await daemon.start()
    await _until(lambda: daemon.pid is None)
    with pytest.raises(ControlPlaneError, match=r"sh ended with exit code 3:\n    no room left"):
        daemon.check()
    await daemon.stop()


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.1)
    daemon = _shell("trap '' TERM; echo deaf; while :; do sleep 0.1; done", tmp_path)
    await daemon.start()
    pid = daemon.pid
    assert pid is not None
    await _until(lambda: "deaf" in daemon.tail())
    await daemon.stop()
    assert not _runs(pid)


async def test_processes_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = """
        import asyncio, sys, pathlib
        from tools.controlplane.processes import Daemon

        async def main():
            here = pathlib.Path(sys.argv[1])
            daemon = Daemon(["/bin/sh", "-c", "echo up; exec sleep 600"], log=here / "log", home=here)
            await daemon.start()
            while not daemon.tail():
                await asyncio.sleep(0.01)
            print(daemon.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), str(tmp_path),
        stdout=PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert _runs(child)
    parent.kill()
    await parent.communicate()
    await _until(lambda: not _runs(child))


def _shell(script: str, folder: Path) -> Daemon:
    return Daemon(["/bin/sh", "-c", script], log=folder / "log", home=folder)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (another process, which knows no Event)
        await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    """A killed process that nobody has waited for yet is dead all the same."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def _listening(pid: int) -> set[str]:
    """The addresses on which a process listens (proc_pid_net(5); an address is written as a little-endian number)."""
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    addresses: set[str] = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                raw = bytes.fromhex(fields[1].partition(":")[0])
                words = [raw[i : i + 4][::-1] for i in range(0, len(raw), 4)] if sys.byteorder == "little" else [raw]
                addresses.add(socket.inet_ntop(family, b"".join(words)))
    return addresses
