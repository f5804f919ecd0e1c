"""What a repository may hold that was made to do harm: each is refused, or does none."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec
import pytest

from guard.base.errors import GuardError, RenderError
from guard.render import kustomization
from guard.render.process import Limits
from guard.render.tool import Tool
from tests.render.workshop import Workshop
from tools.guardrun import free_port

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
CHART = {"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n"}
TEMPLATE = "web/templates/a.yaml"
QUICK = Limits(seconds=20, memory=512 * 1024 * 1024, output=8 * 1024 * 1024)


# ---- links, submodules, files kept elsewhere

LEADING_OUT = ["/etc/passwd", "../../../../../etc/passwd", "../elsewhere", "c.yaml"]


@pytest.mark.parametrize("target", LEADING_OUT)
@pytest.mark.parametrize(
    "field", ["resources: [link.yaml]", "configMapGenerator: [{name: a, files: [x=link.yaml]}]", "crds: [link.yaml]"]
)
async def test_a_symbolic_link_is_not_followed(field: str, target: str, workshop: Workshop) -> None:
    link = workshop.repository.path / "prod" / "link.yaml"
    link.parent.mkdir()
    link.symlink_to(target)
    said = await workshop.refusal(workshop.kustomize("prod"), {"prod/kustomization.yaml": field, "prod/c.yaml": CM})
    assert said.startswith("prod/kustomization.yaml:1: ")
    assert said.endswith("names link.yaml, which is a symbolic link, which Guard does not follow")


async def test_a_linked_folder_is_not_followed(workshop: Workshop) -> None:
    (workshop.repository.path / "prod").mkdir()
    (workshop.repository.path / "prod" / "link").symlink_to("../base")
    files = {"base/kustomization.yaml": "resources: [c.yaml]", "base/c.yaml": CM}
    for name in ("link", "link/../link", "link/deeper"):
        said = await workshop.refusal(workshop.kustomize("prod"), files | {"prod/kustomization.yaml": f"resources: [{name}]"})
        assert said.endswith("which is a symbolic link, which Guard does not follow")


async def test_a_link_in_place_of_the_kustomization_is_not_followed(workshop: Workshop) -> None:
    (workshop.repository.path / "prod").mkdir()
    (workshop.repository.path / "prod" / "kustomization.yaml").symlink_to("../kustomization.yaml")
    said = await workshop.refusal(workshop.kustomize("prod"), {"kustomization.yaml": "resources: [c.yaml]", "c.yaml": CM})
    assert said == "prod/kustomization.yaml: is a symbolic link, which Guard does not follow"


async def test_what_nothing_refers_to_does_no_harm(workshop: Workshop) -> None:
    (workshop.repository.path / "unused").symlink_to("/etc")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    tree = await workshop.commit({"kustomization.yaml": "resources: [c.yaml]", "c.yaml": CM, "film.mp4": pointer})
    assert len(await workshop.manifests(workshop.kustomize(""), tree)) == 1


@pytest.mark.parametrize("target", LEADING_OUT)
async def test_a_chart_with_a_symbolic_link_is_refused(target: str, workshop: Workshop) -> None:
    link = workshop.repository.path / "web" / "templates" / "link.yaml"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    said = await workshop.refusal(workshop.helm("web"), CHART)
    assert said == "web/templates/link.yaml: is a symbolic link, which Guard does not follow"


async def test_a_values_file_that_is_a_symbolic_link_is_refused(workshop: Workshop) -> None:
    (workshop.repository.path / "values.yaml").symlink_to("/etc/passwd")
    helm = msgspec.structs.replace(workshop.helm("web"), values_files=("values.yaml",))
    assert await workshop.refusal(helm, CHART) == "values.yaml: is a symbolic link, which Guard does not follow"


async def test_pointers_of_large_files_are_refused_where_they_are_used(workshop: Workshop) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    files = {"kustomization.yaml": "configMapGenerator: [{name: a, files: [big.bin]}]", "big.bin": pointer}
    said = await workshop.refusal(workshop.kustomize(""), files)
    assert said.endswith("names big.bin, which is only a pointer of Git LFS, whose content Guard does not fetch")
    said = await workshop.refusal(workshop.helm("web"), CHART | {"web/files/big.bin": pointer})
    assert said == "web/files/big.bin: is only a pointer of Git LFS, whose content Guard does not fetch"


async def test_a_submodule_is_refused_where_it_is_used(workshop: Workshop) -> None:
    workshop.repository.commit({"kustomization.yaml": "resources: [module]", **CHART})
    workshop.repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    workshop.repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},web/charts/module")
    workshop.repository.git("commit", "--quiet", "--message=module")
    tree = await workshop.read()
    said = await workshop.refusal_of(workshop.kustomize(""), tree)
    assert said.endswith("names module, which is a submodule, which Guard does not fetch")
    assert (
        await workshop.refusal_of(workshop.helm("web"), tree) == "web/charts/module: is a submodule, which Guard does not fetch"
    )


@pytest.mark.parametrize("name", ["..", ".", ".git", "a/../../b"])
async def test_names_that_git_would_not_check_out_are_refused(name: str, workshop: Workshop) -> None:
    """Trees made by hand, as only somebody who means harm makes them."""
    workshop.repository.commit({"web/Chart.yaml": CHART["web/Chart.yaml"]})
    git = workshop.repository.git
    blob = git("rev-parse", "HEAD:web/Chart.yaml")
    evil = _tree(workshop, [("100644 blob", blob, "Chart.yaml"), ("100644 blob", blob, name)])
    root = _tree(workshop, [("040000 tree", evil, "web")])
    git("update-ref", "HEAD", git("commit-tree", "-m", "evil", root))
    with pytest.raises(GuardError):
        await workshop.helm("web").build(await workshop.read())
    left = {path.name for path in workshop.scratches.parent.iterdir()}
    assert left <= {"copy", "home", "repository", "scratches"}


def _tree(workshop: Workshop, entries: Iterable[tuple[str, str, str]]) -> str:
    """A tree object with names that `git mktree` would not take."""
    raw = b"".join(
        kind.split()[0].lstrip("0").encode() + b" " + name.encode() + b"\0" + bytes.fromhex(blob) for kind, blob, name in entries
    )
    done = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=workshop.repository.path, input=raw, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()


# ---- paths that lead elsewhere


@pytest.mark.parametrize("path", ["../../..", "/etc/passwd", "%2e%2e/%2e%2e/etc", "..\\..\\etc"])
@pytest.mark.parametrize("field", ["resources", "transformers", "crds", "configurations"])
async def test_a_path_out_of_the_repository_is_refused(field: str, path: str, workshop: Workshop) -> None:
    said = await workshop.refusal(workshop.kustomize("prod"), {"prod/kustomization.yaml": f"{field}: ['{path}']"})
    assert said.startswith("prod/kustomization.yaml")
    assert "root:" not in said
    assert str(workshop.scratches) not in said


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../etc/passwd", "x=/etc/passwd", "x=../../../../../../../etc/passwd", "/proc/self/environ"]
)
@pytest.mark.parametrize("kind", ["configMapGenerator", "secretGenerator", "CONFIGMAPGENERATOR"])
@pytest.mark.parametrize("field", ["files", "envs", "FILES"])
async def test_a_generator_reads_no_file_of_this_machine(kind: str, field: str, path: str, workshop: Workshop) -> None:
    files = {"prod/kustomization.yaml": f"{kind}: [{{name: a, {field}: ['{path}']}}]"}
    said = await workshop.refusal(workshop.kustomize("prod"), files)
    assert "root:" not in said


@pytest.mark.parametrize(
    "text",
    [
        "patches: [{path: ../../../etc/passwd, target: {kind: A}}]",
        "patchesStrategicMerge: [/etc/passwd]",
        "patchesJson6902: [{path: /etc/passwd, target: {version: v1, kind: A, name: a}}]",
        "replacements: [{path: ../../../etc/passwd}]",
        "openapi: {path: ../../../etc/passwd}",
        "generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, files: [/etc/passwd]}']",
        "transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: a}, path: ../../../etc/passwd}']",
    ],
)
async def test_no_field_reads_a_file_of_this_machine(text: str, workshop: Workshop) -> None:
    said = await workshop.refusal(
        workshop.kustomize("prod"), {"prod/kustomization.yaml": f"resources: [c.yaml]\n{text}", "prod/c.yaml": CM}
    )
    assert "root:" not in said


async def test_what_the_scan_does_not_know_of_is_not_there(workshop: Workshop) -> None:
    """A file beside the base, which kustomize would read if it were told to look further."""
    files = {
        "prod/kustomization.yaml": "resources: ['{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}']",
        "secret.yaml": CM,
    }
    assert "root:" not in await workshop.refusal(workshop.kustomize("prod"), files)


# ---- the network


class Listener:
    """Takes connections on loopback and counts them."""

    def __init__(self) -> None:
        self.port = free_port()
        self.met = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)
        return self

    async def _meet(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        writer.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


@pytest.mark.parametrize(
    "text",
    [
        "configMapGenerator: [{name: a, files: ['URL']}]",
        "secretGenerator: [{name: a, envs: ['URL']}]",
        "resources: [c.yaml]\npatches: [{path: 'URL'}]",
        "resources: [c.yaml]\nreplacements: [{path: 'URL'}]",
        "resources: [c.yaml]\nopenapi: {path: 'URL'}",
        "generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, files: [\"URL\"]}']",
        "resources: [c.yaml]\ntransformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: a}, path: URL}']",
        "resources: [c.yaml]\ntransformers: [t.yaml]",
    ],
)
async def test_no_field_reaches_the_network(text: str, workshop: Workshop) -> None:
    async with Listener() as listener:
        url = f"http://127.0.0.1:{listener.port}/a"
        transformer = "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: a}\npath: URL\n"
        files = {"kustomization.yaml": text, "c.yaml": CM, "t.yaml": transformer}
        said = await workshop.refusal(workshop.kustomize(""), {name: text.replace("URL", url) for name, text in files.items()})
        assert listener.met == 0
    assert "network" in said or "which is elsewhere" in said


async def test_charts_reach_neither_network_nor_cluster_nor_machine(workshop: Workshop) -> None:
    async with Listener() as listener:
        calls = [
            'getHostByName "localhost"',
            'lookup "v1" "Secret" "kube-system" ""',
            '.Files.Get "../../../etc/passwd"',
            '.Files.Get "/etc/passwd"',
            '.Files.Glob "../**" | len',
        ]
        template = "\n".join(
            f"---\n{CM.replace('name: c', f'name: c{index}').replace('{a: b}', f'{{a: {{{{ {call} | toJson | quote }}}}}}')}"
            for index, call in enumerate(calls)
        )
        tree = await workshop.commit(CHART | {TEMPLATE: template, "secret.yaml": CM})
        found = await workshop.manifests(workshop.helm("web"), tree)
        assert [manifest.body["data"]["a"] for manifest in found] == ['""', "{}", '""', '""', "0"]
        schema = f'{{"$ref": "http://127.0.0.1:{listener.port}/schema.json"}}'
        said = await workshop.refusal(workshop.helm("web"), {"web/values.schema.json": schema})
        assert (
            said == "web/Chart.yaml: the chart's schema refers to something elsewhere (a schema may refer only to what is in it)"
        )
        assert listener.met == 0


@pytest.mark.parametrize("file", ["/etc/passwd", "/proc/self/environ", "SCHEMA"])
async def test_a_schema_reads_no_file_of_this_machine(file: str, workshop: Workshop, tmp_path: Path) -> None:
    """With Helm alone, the last one is read, and decides on what is rendered."""
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    files = CHART | {
        TEMPLATE: CM,
        "web/values.schema.json": f'{{"$ref": "file://{file.replace("SCHEMA", str(tmp_path / "schema.json"))}"}}',
    }
    said = await workshop.refusal(workshop.helm("web"), files)
    assert said.startswith("web/Chart.yaml: the chart's schema refers to something elsewhere")
    if file == "SCHEMA":
        assert workshop.by_hand("helm", "template", "web", "web").returncode == 0


@pytest.mark.parametrize("call", ['env "HOME"', 'expandenv "$HOME"'])
async def test_templates_see_no_environment(call: str, workshop: Workshop) -> None:
    said = await workshop.refusal(workshop.helm("web"), CHART | {TEMPLATE: f"a: {{{{ {call} }}}}"})
    assert "which Helm does not have" in said


# ---- programs

PLUGIN = """apiVersion: example.com/v1
kind: Evil
metadata:
  name: evil
  annotations:
    config.kubernetes.io/function: |
      FUNCTION
"""


@pytest.mark.parametrize(
    "function", ["exec: {path: ./evil.sh}", "container: {image: example.com/evil}", "starlark: {path: evil.star}"]
)
@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
async def test_plugins_that_are_programs_are_refused(field: str, function: str, workshop: Workshop, tmp_path: Path) -> None:
    mark = tmp_path / "evil-was-here"
    script = workshop.repository.path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    files = {
        "kustomization.yaml": f"resources: [c.yaml]\n{field}: [p.yaml]",
        "c.yaml": CM,
        "p.yaml": PLUGIN.replace("FUNCTION", function),
    }
    said = await workshop.refusal(workshop.kustomize(""), files)
    assert said.startswith("kustomization.yaml: Evil would have to be run as a program, which Guard never does (")
    assert not mark.exists()


@pytest.mark.parametrize("field", ["generators", "transformers"])
async def test_charts_within_kustomize_are_refused(field: str, workshop: Workshop) -> None:
    chart = (
        "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: a}\nname: a\nreleaseName: a\nchartHome: /etc\n"
    )
    said = await workshop.refusal(workshop.kustomize(""), {"kustomization.yaml": f"{field}: [p.yaml]", "p.yaml": chart})
    assert (
        said == "kustomization.yaml: Guard does not run Helm from within Kustomize (make the chart the path of a Sync of its own)"
    )


# ---- too much

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


async def test_aliases_without_end_are_refused_in_a_kustomization(workshop: Workshop) -> None:
    said = await workshop.refusal(workshop.kustomize(""), {"kustomization.yaml": BOMB})
    assert "the file's aliases stand for more than 3 MiB" in said


@pytest.mark.parametrize("name", ["web/values.yaml", "web/Chart.yaml", "web/templates/a.yaml", "values.yaml", "web/crds/a.yaml"])
async def test_aliases_without_end_do_no_harm_to_helm(name: str, workshop: Workshop) -> None:
    helm = msgspec.structs.replace(workshop.helm("web", limits=QUICK), values_files=("values.yaml",))
    files = CHART | {"values.yaml": "a: b\n"}
    await _bounded(workshop, helm, files | {name: (files.get(name, "") + "\n" + BOMB)})


@pytest.mark.parametrize(
    "field",
    ["resources: [a.yaml]", "configurations: [a.yaml]", "crds: [a.yaml]", "resources: [c.yaml]\npatches: [{path: a.yaml}]"],
)
async def test_aliases_without_end_do_no_harm_to_kustomize(field: str, workshop: Workshop) -> None:
    files = {"kustomization.yaml": field, "a.yaml": CM + BOMB, "c.yaml": CM}
    await _bounded(workshop, workshop.kustomize("", limits=QUICK), files)


async def _bounded(workshop: Workshop, made_by: Tool, files: dict[str, str]) -> None:
    """It is refused, or its output is within bounds."""
    tree = await workshop.commit(files)
    with contextlib.suppress(RenderError):
        assert len((await made_by.build(tree)).data) < QUICK.output
    workshop.check_clean()


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}", "helm took longer than 3 s"),
        ('a: {{ repeat 2000000000 "x" }}', "helm needs more than 512 MiB of memory"),
        ("{{ range until 1000000000 }}x{{ end }}", "helm needs more than 512 MiB of memory"),
        ('{{ range until 10000 }}---\n{x: {{ repeat 1000 "x" }}}\n{{ end }}', "helm gives out more than 8 MiB"),
        ('{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}', "rendering template has a nested reference name: a"),
        ('{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}', "exceeded maximum template depth"),
        # Where memory runs out in its garbage collector, Go crashes.
        ('{{ $_ := set .Values "t" "{{ tpl .Values.t . }}" }}{{ tpl .Values.t . }}', "needs more than 512 MiB of memory"),
    ],
)
async def test_a_template_without_end_is_ended(template: str, complaint: str, workshop: Workshop) -> None:
    limits = msgspec.structs.replace(QUICK, seconds=3 if "longer" in complaint else 30)
    assert complaint in await workshop.refusal(workshop.helm("web", limits=limits), CHART | {TEMPLATE: template})


async def test_bases_without_end_are_refused(workshop: Workshop) -> None:
    files = {"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [../a]"}
    assert "which is part of it" in await workshop.refusal(workshop.kustomize("a"), files)
    assert "which is part of it" in await workshop.refusal(workshop.kustomize("a"), {"a/kustomization.yaml": "resources: [.]"})


async def test_a_large_kustomization_is_not_read(workshop: Workshop) -> None:
    files = {"kustomization.yaml": "#" * (kustomization.MOST_BYTES + 1)}
    assert (
        await workshop.refusal(workshop.kustomize(""), files)
        == "kustomization.yaml: is larger than 256 KiB, as no kustomization is"
    )


async def test_large_files_are_refused_where_they_are_used(workshop: Workshop) -> None:
    large = "x" * (16 * 1024 * 1024 + 1)
    files = {"kustomization.yaml": "configMapGenerator: [{name: a, files: [large.bin]}]", "large.bin": large}
    assert "names large.bin, which is larger than 16 MiB" in await workshop.refusal(workshop.kustomize(""), files)
    assert (
        await workshop.refusal(workshop.helm("web"), CHART | {"web/large.bin": large}) == "web/large.bin: is larger than 16 MiB"
    )


# ---- archives in charts/


def _archived(members: Iterable[tuple[str, bytes]], *, links: Iterable[tuple[str, str]] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in (("db/Chart.yaml", CHART["web/Chart.yaml"].replace("web", "db").encode()), *members):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


async def _refused_archive(workshop: Workshop, data: bytes) -> str:
    workshop.repository.commit(CHART)
    path = workshop.repository.path / "web" / "charts" / "db-1.0.0.tgz"
    path.parent.mkdir()
    path.write_bytes(data)
    workshop.repository.commit_all()
    return await workshop.refusal_of(workshop.helm("web", limits=QUICK), await workshop.read())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("db/../../escaped", "chart illegally references parent directory"),
        ("db/..\\..\\escaped", "chart illegally references parent directory"),
    ],
)
async def test_an_archive_that_leads_elsewhere_is_refused(name: str, why: str, workshop: Workshop) -> None:
    said = await _refused_archive(workshop, _archived([(name, b"x")]))
    assert said.startswith(f"web/Chart.yaml: an archive in charts/ is refused: {why}")


async def test_an_archive_that_unpacks_without_end_is_refused(workshop: Workshop) -> None:
    said = await _refused_archive(workshop, _archived([(f"db/{index}", bytes(4 * 1024 * 1024)) for index in range(40)]))
    assert "an archive in charts/ is refused: " in said
    assert "larger than the maximum" in said or "exceeds maximum" in said


@pytest.mark.parametrize("data", [b"text", gzip.compress(b"text"), b"\x1f\x8b" + bytes(100)])
async def test_an_archive_that_is_none_is_refused(data: bytes, workshop: Workshop) -> None:
    assert (await _refused_archive(workshop, data)).startswith("web/Chart.yaml: ")


async def test_links_in_an_archive_lead_nowhere(workshop: Workshop) -> None:
    template = CM.replace("{a: b}", '{a: {{ .Files.Get "link" | quote }}}').encode()
    workshop.repository.commit(CHART)
    path = workshop.repository.path / "web" / "charts" / "db-1.0.0.tgz"
    path.parent.mkdir()
    path.write_bytes(_archived([("db/templates/a.yaml", template)], links=[("db/link", "/etc/passwd")]))
    workshop.repository.commit_all()
    (manifest,) = await workshop.manifests(workshop.helm("web"), await workshop.read())
    assert manifest.body["data"]["a"] == ""


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "/etc/escaped"])
async def test_an_archive_is_unpacked_in_memory_only(name: str, workshop: Workshop) -> None:
    """Helm drops the first part of each name."""
    workshop.repository.commit(CHART)
    path = workshop.repository.path / "web" / "charts" / "db-1.0.0.tgz"
    path.parent.mkdir()
    path.write_bytes(_archived([(name, b"x")]))
    workshop.repository.commit_all()
    await _bounded(workshop, workshop.helm("web"), {})
    assert "escaped" not in {*os.listdir("/"), *os.listdir("/etc")}  # noqa: PTH208
    assert list(workshop.scratches.parent.rglob("escaped")) == []
