"""Kustomize with inputs that SOPS has encrypted, held against kustomize by hand on the decrypted ones."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render import keys, scratch
from guard.render.cache import Cache
from guard.render.decrypt import Decryption
from guard.render.parse import Parser
from guard.render.render import Renderer
from guard.render.tool import Tool
from guard.state.ids import Manifest
from guard.state.snapshot import Tree
from tests.e2e.searching import Marks
from tests.render.locksmith import Key, Locksmith
from tests.render.workshop import Workshop

VALUE = "correct-horse-battery-staple"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{password: {VALUE}}}\n"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, envFrom: [{secretRef: {name: env}}]}]}
"""
PATCH = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, annotations: {{token: {VALUE}}}}}\n"
PLAIN = {
    "k/login.yaml": SECRET,
    "k/app.env": f"PASSWORD={VALUE}\nUSER=ada\n# a comment\n",
    "k/app.json": f'{{"password": "{VALUE}", "port": 5432}}',
    "k/app.ini": f"[db]\npassword = {VALUE}\n",
    "k/cert.pem": f"-----BEGIN-----\n{VALUE}\n-----END-----\n",
    "k/values.txt.enc": "binary\0\x01 and not a text\n",
    "k/patch.yaml": PATCH,
    "k/deployment.yaml": DEPLOYMENT,
    "k/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: debug}\n",
    "k/kustomization.yaml": "resources: [login.yaml, deployment.yaml, settings.yaml]\n"
    "patches: [{path: patch.yaml}]\n"
    "secretGenerator:\n"
    "  - {name: env, envs: [app.env]}\n"
    "  - {name: files, files: [app.json, app.ini, renamed=cert.pem, values.txt.enc]}\n",
}
ENCRYPTED = ("k/login.yaml", "k/app.env", "k/app.json", "k/app.ini", "k/cert.pem", "k/values.txt.enc", "k/patch.yaml")
OPTIONS = {"k/login.yaml": ("--encrypted-regex", "^stringData$"), "k/patch.yaml": ("--encrypted-regex", "^annotations$")}


@pytest.fixture
async def parser(tmp_path: Path) -> AsyncIterator[Parser]:
    cache = Cache(tmp_path / "cache" / "manifests.db", today=lambda: 1)
    made = Parser(cache=cache)
    yield made
    await made.close()
    await cache.close()


@pytest.fixture
def key(locksmith: Locksmith) -> Key:
    return locksmith.age()


@pytest.fixture
def files(locksmith: Locksmith, key: Key) -> dict[str, str]:
    """The same files as they are in Git."""
    return PLAIN | {
        name: locksmith.encrypt(name.rpartition("/")[2], PLAIN[name], key, options=OPTIONS.get(name, ())) for name in ENCRYPTED
    }


@pytest.fixture
def decrypted(locksmith: Locksmith, key: Key, files: dict[str, str]) -> dict[str, str]:
    """What sops makes of them by hand."""
    return {name: locksmith.decrypt(name.rpartition("/")[2], files[name], key).decode() for name in ENCRYPTED}


@pytest.fixture
def opened(key: Key, parser: Parser, workshop: Workshop) -> Decryption:
    return Decryption(keys.read(key.values, place="the Secret apps/sops"), directory=workshop.scratches, turns=parser.openings)


async def rendered(renderer: Renderer, tree: Tree, tool: Tool) -> list[Manifest]:
    async def made(_form: object) -> Tool:
        return tool

    groups = await renderer.render(tree, "k", form="Kustomize", tool=made)
    return [manifest for name in sorted(groups) for manifest in groups[name]]


def named(found: list[Manifest]) -> dict[str, Manifest]:
    return {f"{each.body['kind']}/{each.body['metadata']['name'].partition('-')[0]}": each for each in found}


async def test_objects_are_the_very_ones_that_kustomize_gives_on_decrypted_files(
    workshop: Workshop, parser: Parser, decrypted: dict[str, str], files: dict[str, str], opened: Decryption
) -> None:
    await workshop.commit(PLAIN | decrypted)
    by_hand: list[Json] = list(yaml.safe_load_all(workshop.by_hand("kustomize", "build", "k").stdout))
    tree = await workshop.commit(files)
    found = await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened))

    def ordered(bodies: list[Json]) -> list[Json]:
        return sorted(bodies, key=lambda body: (body["kind"], body["metadata"]["name"]))

    assert ordered([each.body for each in found]) == ordered(by_hand)
    made = named(found)
    assert base64.b64decode(made["Secret/env"].body["data"]["PASSWORD"]).decode() == VALUE
    assert base64.b64decode(made["Secret/files"].body["data"]["values.txt.enc"]) == PLAIN["k/values.txt.enc"].encode()
    assert made["Deployment/web"].body["metadata"]["annotations"] == {"token": VALUE}


async def test_what_holds_an_encrypted_value_is_confidential(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption
) -> None:
    found = named(await rendered(Renderer(parser), await workshop.commit(files), workshop.kustomize("k", decryption=opened)))
    assert {name: each.confidential for name, each in found.items()} == {
        "Secret/login": True,
        "Secret/env": True,
        "Secret/files": True,
        # By the patch.
        "Deployment/web": True,
        "ConfigMap/settings": False,
    }


async def test_what_a_replacement_copies_is_confidential(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption
) -> None:
    replacement = (
        "replacements:\n"
        "  - source: {kind: Secret, name: login, fieldPath: stringData.password}\n"
        "    targets: [{select: {kind: ConfigMap}, fieldPaths: [data.level]}]\n"
    )
    kustomization = files["k/kustomization.yaml"].replace("patches: [{path: patch.yaml}]\n", "") + replacement
    tree = await workshop.commit(files | {"k/kustomization.yaml": kustomization})
    found = named(await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened)))
    assert found["ConfigMap/settings"].body["data"] == {"level": VALUE}
    assert found["ConfigMap/settings"].confidential
    assert not found["Deployment/web"].confidential


@pytest.mark.parametrize("name", ["app.env", "app.json", "app.ini", "cert.pem", "values.txt.enc"])
async def test_a_whole_file_that_a_replacement_copies_in_base64_is_confidential(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption, name: str
) -> None:
    kustomization = (
        "resources: [settings.yaml]\n"
        f"secretGenerator: [{{name: files, files: [copied={name}]}}]\n"
        "replacements:\n"
        "  - source: {kind: Secret, name: files, fieldPath: data.copied}\n"
        "    targets: [{select: {kind: ConfigMap}, fieldPaths: [data.level]}]\n"
    )
    tree = await workshop.commit(files | {"k/kustomization.yaml": kustomization})
    found = named(await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened)))
    assert found["ConfigMap/settings"].confidential


async def test_a_number_that_a_patch_brings_is_confidential(
    workshop: Workshop, parser: Parser, locksmith: Locksmith, key: Key, opened: Decryption
) -> None:
    door = "apiVersion: example.com/v1\nkind: Door\nmetadata: {name: front}\nspec: {pin: PIN}\n"
    patch = locksmith.encrypt("patch.yaml", door.replace("PIN", "739184"), key, options=("--encrypted-regex", "^pin$"))
    kustomization = "resources: [door.yaml]\npatches: [{path: patch.yaml}]\n"
    tree = await workshop.commit(
        {"k/door.yaml": door.replace("PIN", "1"), "k/patch.yaml": patch, "k/kustomization.yaml": kustomization}
    )
    (found,) = await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened))
    assert found.body["spec"] == {"pin": 739184}
    assert found.confidential


async def test_nothing_of_it_is_on_a_disk_or_in_a_child(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption, tmp_path: Path
) -> None:
    tree = await workshop.commit(files)
    assert len(await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened))) == 5
    workshop.check_clean()
    marks = Marks()
    marks.also(VALUE)
    assert marks.in_files(tmp_path) == []
    assert marks.below(os.getpid()) == []


async def test_only_what_changed_is_decrypted_again(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer, tool = Renderer(parser), workshop.kustomize("k", decryption=opened)
    before = await rendered(renderer, await workshop.commit(files), tool)
    # Nothing can be decrypted any more.
    assert await workshop.read()
    changed = await workshop.commit({"k/settings.yaml": PLAIN["k/settings.yaml"].replace("debug", "info")})
    kustomize = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if "sops" not in part)
    monkeypatch.setenv("PATH", kustomize)
    after = await rendered(renderer, changed, tool)
    assert {id(each) for each in before} & {id(each) for each in after} == {
        id(each) for each in before if each.body["kind"] != "ConfigMap"
    }


async def test_a_file_that_is_encrypted_no_more_makes_nothing_confidential(
    workshop: Workshop, parser: Parser, files: dict[str, str], opened: Decryption
) -> None:
    renderer, tool = Renderer(parser), workshop.kustomize("k", decryption=opened)
    assert named(await rendered(renderer, await workshop.commit(files), tool))["Deployment/web"].confidential
    found = named(await rendered(renderer, await workshop.commit(PLAIN), tool))
    assert not any(each.confidential for each in found.values())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"k/kustomization.yaml": "configMapGenerator:\n  - name: a\n    envs: [app.env]\n"},
            "k/kustomization.yaml:3: configMapGenerator.envs names app.env, which is encrypted with SOPS (Guard decrypts what",
        ),
        (
            {"k/kustomization.yaml": "resources: [deployment.yaml]\nconfigurations: [app.json]\n"},
            "k/kustomization.yaml:2: configurations names app.json, which is encrypted with SOPS (Guard decrypts what",
        ),
    ],
)
async def test_encrypted_files_have_no_place_elsewhere(
    change: dict[str, str], told: str, workshop: Workshop, files: dict[str, str], opened: Decryption
) -> None:
    said = await workshop.refusal(workshop.kustomize("k", decryption=opened), files | change)
    assert said.startswith(told), said


async def test_without_keys_each_file_is_named(workshop: Workshop, files: dict[str, str]) -> None:
    said = await workshop.refusal(workshop.kustomize("k"), files)
    assert said.startswith("k/login.yaml: is encrypted with SOPS (name the Secret that holds its private key in spec.decryption")
    assert f"{len(ENCRYPTED) - 1} other errors" in said


async def test_an_encrypted_kustomization_is_refused(
    workshop: Workshop, locksmith: Locksmith, key: Key, files: dict[str, str], opened: Decryption
) -> None:
    text = locksmith.encrypt("kustomization.yaml", PLAIN["k/kustomization.yaml"], key)
    said = await workshop.refusal(workshop.kustomize("k", decryption=opened), files | {"k/kustomization.yaml": text})
    assert said.startswith("k/kustomization.yaml: is a kustomization, which cannot be encrypted with SOPS (encrypt the files")


async def test_what_is_not_referred_to_stays_closed(
    workshop: Workshop, parser: Parser, locksmith: Locksmith, files: dict[str, str], opened: Decryption
) -> None:
    foreign = locksmith.encrypt("other.yaml", SECRET, locksmith.age())
    tree = await workshop.commit(files | {"k/other.yaml": foreign})
    assert len(await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened))) == 5


async def test_a_value_left_encrypted_in_a_literal_is_refused(workshop: Workshop, parser: Parser, opened: Decryption) -> None:
    literal = "secretGenerator:\n  - {name: a, literals: ['password=ENC[AES256_GCM,data:Tg==,iv:4+ap=,tag:BjoM==,type:str]']}\n"
    tree = await workshop.commit({"k/kustomization.yaml": literal})
    with pytest.raises(RenderError, match=r"data\.password was encrypted with SOPS"):
        await rendered(Renderer(parser), tree, workshop.kustomize("k", decryption=opened))


async def test_without_a_file_system_in_memory_nothing_is_built(
    workshop: Workshop, files: dict[str, str], opened: Decryption, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "shm"
    disk.mkdir()
    monkeypatch.setattr(scratch, "MEMORY", disk)
    said = await workshop.refusal(workshop.kustomize("k", decryption=opened), files)
    assert said.startswith(f"decrypted files are put together in memory only, and {disk} is no file system in memory here (")
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize(
    ("mounts", "is_so"),
    [
        ("rootfs / ext4 rw 0 0\nshm /dev/shm tmpfs rw 0 0\n", True),
        ("rootfs / overlay rw 0 0\nudev /dev devtmpfs rw 0 0\n", False),
        ("shm /dev/shm tmpfs rw 0 0\n/dev/sda /dev/shm ext4 rw 0 0\nrootfs / overlay rw 0 0\n", False),
        ("rootfs / tmpfs rw 0 0\n", True),
        ("rootfs / ext4 rw 0 0\nshm /dev/shm2 tmpfs rw 0 0\n", False),
    ],
)
def test_where_a_folder_lies_is_what_the_kernel_says(mounts: str, is_so: bool, tmp_path: Path) -> None:  # noqa: FBT001
    (tmp_path / "mounts").write_text(mounts)
    assert scratch.is_in_memory(scratch.MEMORY, tmp_path / "mounts") is is_so


KILLED = """
import asyncio, sys
from pathlib import Path
from guard.render import scratch

async def main():
    async with scratch.scratch(Path(sys.argv[1]), in_memory=True) as made:
        (made.files / "secret").write_text("correct-horse-battery-staple")
        print("made", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_what_a_killed_guard_leaves_in_memory_goes_at_the_next_start(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path / "scratch"), stdout=PIPE)
    assert child.stdout is not None
    await child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    await child.wait()
    (left,) = scratch.folders(tmp_path / "scratch")
    assert (left / "files" / "secret").exists()
    assert left.stat().st_mode & 0o077 == 0
    scratch.sweep(tmp_path / "other")
    assert left.exists()
    scratch.sweep(tmp_path / "scratch")
    assert not left.exists()


async def test_what_a_killed_command_leaves_in_memory_goes_with_the_next_one(tmp_path: Path) -> None:
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path / name), stdout=PIPE)
        for name in ("killed", "running")
    ]
    for child in children:
        assert child.stdout is not None
        await child.stdout.readline()
    killed, running = children
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    (left,), (used,) = scratch.folders(tmp_path / "killed"), scratch.folders(tmp_path / "running")
    try:
        scratch.sweep_abandoned()
        assert left.exists(), "it may be about to be locked"
        for folder in (left, used):
            os.utime(folder, (0, 0))
        scratch.sweep_abandoned()
        assert not left.exists()
        assert (used / "files" / "secret").exists()
    finally:
        running.kill()
        await running.wait()
        scratch.sweep(tmp_path / "running")
