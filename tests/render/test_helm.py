"""Helm, held against its own binary run by hand."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import msgspec
import pytest
import yaml

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render.helm import Helm
from guard.render.process import Limits
from guard.state.capabilities import Capabilities
from tests.render.locksmith import Locksmith
from tests.render.workshop import Workshop

CHART = "apiVersion: v2\nname: shop\nversion: 1.2.3\nappVersion: '4'\n"
VALUES = "image: example.com/web:1.0\nreplicas: 1\npassword: correct-horse\nnested: {a: b, c: d}\n"
WEB = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  namespace: {{ .Release.Namespace }}
  labels: {{- include "shop.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec: {containers: [{name: web, image: {{ .Values.image | quote }}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-login}
data: {password: {{ .Values.password | b64enc }}}
"""
HELPERS = '{{ define "shop.labels" }}\nchart: {{ .Chart.Name }}-{{ .Chart.Version }}\n{{ end }}\n'
HOOK = """apiVersion: batch/v1
kind: Job
metadata: {name: NAME, annotations: {helm.sh/hook: KIND}}
"""
DEFINITION = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.example.com}
---
# A second one.
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bars.example.com}
"""
FILES = {
    "charts/web/Chart.yaml": CHART,
    "charts/web/values.yaml": VALUES,
    "charts/web/.helmignore": "ignored.yaml\n",
    "charts/web/templates/_helpers.tpl": HELPERS,
    "charts/web/templates/web.yaml": WEB,
    "charts/web/templates/NOTES.txt": "Read me",
    "charts/web/templates/ignored.yaml": "not: {{ rendered",
    "charts/web/templates/hook.yaml": HOOK.replace("NAME", "migrate").replace("KIND", "pre-install"),
    "charts/web/templates/tests/test.yaml": HOOK.replace("NAME", "test").replace("KIND", "test"),
    "charts/web/templates/file.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: file}\n"
    'data: {{- (.Files.Glob "conf/*").AsConfig | nindent 2 }}\n',
    "charts/web/conf/app.conf": "a: b\n",
    "charts/web/crds/definitions.yaml": DEFINITION,
    "charts/web/charts/db/Chart.yaml": CHART.replace("shop", "db"),
    "charts/web/charts/db/values.yaml": "size: 1Gi\n",
    "charts/web/charts/db/templates/db.yaml": "apiVersion: v1\nkind: Service\n"
    "metadata: {name: db, annotations: {size: '{{ .Values.size }}'}}\n",
    "values/prod.yaml": "replicas: 3\nnested: {a: other}\ndb: {size: 2Gi}\n",
    "values/a,b.yaml": "image: example.com/web:2.0\n",
}  # fmt: skip
MORE = "(`helm template web charts/web` in the repository says more)"


async def test_objects_are_the_very_ones_that_the_tool_alone_gives(workshop: Workshop) -> None:
    tree = await workshop.commit(FILES)
    helm = msgspec.structs.replace(workshop.helm("charts/web"), namespace="shop", values_files=("./values/prod.yaml",))
    alone = workshop.by_hand(
        *("helm", "template", "web", "charts/web", "--namespace=shop"),
        *("--include-crds", "--skip-tests", "--values=values/prod.yaml"),
    )
    assert alone.returncode == 0, alone.stderr
    expected: list[Json] = [body for body in yaml.safe_load_all(alone.stdout) if body]
    found = await workshop.manifests(helm, tree)
    assert [manifest.body for manifest in found] == expected
    assert len(expected) == 7


async def test_each_object_knows_its_template(workshop: Workshop) -> None:
    found = await workshop.manifests(workshop.helm("charts/web"), await workshop.commit(FILES))
    assert {(manifest.body["metadata"]["name"], str(manifest.origin)) for manifest in found} == {
        ("foos.example.com", "charts/web/crds/definitions.yaml (Helm charts/web)"),
        ("bars.example.com", "charts/web/crds/definitions.yaml (Helm charts/web)"),
        ("web-web", "charts/web/templates/web.yaml (Helm charts/web)"),
        ("web-login", "charts/web/templates/web.yaml (Helm charts/web)"),
        ("file", "charts/web/templates/file.yaml (Helm charts/web)"),
        ("migrate", "charts/web/templates/hook.yaml (Helm charts/web)"),
        ("db", "charts/web/charts/db/templates/db.yaml (Helm charts/web)"),
    }


async def test_a_definition_knows_its_file_whatever_that_begins_with(workshop: Workshop) -> None:
    named = DEFINITION.partition("---")[0].replace
    definitions = {"a": named("foos", "as"), "b": f"---\n{named('foos', 'bs')}", "c": f"# Made.\n\n---\n{named('foos', 'cs')}"}
    files = {f"crds/{name}.yaml": text for name, text in definitions.items()}
    tree = await workshop.commit({**FILES, **{f"charts/web/{path}": text for path, text in files.items()}})

    found = await workshop.manifests(workshop.helm("charts/web"), tree)

    origins = {manifest.body["metadata"]["name"]: manifest.origin.file for manifest in found}
    assert {name: origins[f"{name}s.example.com"] for name in definitions} == {
        name: f"charts/web/crds/{name}.yaml" for name in definitions
    }


async def test_an_archive_in_charts_is_the_origin_of_what_it_makes(workshop: Workshop) -> None:
    folder = workshop.repository.path / "charts" / "web" / "charts"
    workshop.repository.commit(FILES)
    archive(
        folder / "db-1.2.3.tgz",
        {"db/Chart.yaml": CHART.replace("shop", "db"), "db/templates/db.yaml": "kind: X\napiVersion: v1\nmetadata: {name: db}\n"},
    )
    shutil.rmtree(folder / "db")
    workshop.repository.commit_all()
    found = await workshop.manifests(workshop.helm("charts/web"), await workshop.read())
    (db,) = [manifest for manifest in found if manifest.body["metadata"]["name"] == "db"]
    assert str(db.origin) == "charts/web/charts/db-1.2.3.tgz (Helm charts/web)"


async def test_a_chart_under_another_name_has_its_origin_told(workshop: Workshop) -> None:
    dependency = "dependencies: [{name: db, alias: store, version: 1.2.3, repository: ''}]\n"
    tree = await workshop.commit(FILES | {"charts/web/Chart.yaml": CHART + dependency})
    found = await workshop.manifests(workshop.helm("charts/web"), tree)
    (db,) = [manifest for manifest in found if manifest.body["metadata"]["name"] == "db"]
    assert str(db.origin) == "charts/web/charts/db/templates/db.yaml (Helm charts/web)"


async def test_a_chart_may_be_the_whole_repository(workshop: Workshop) -> None:
    tree = await workshop.commit({name.removeprefix("charts/web/"): text for name, text in FILES.items() if "charts/web" in name})
    found = await workshop.manifests(workshop.helm(""), tree)
    assert "templates/web.yaml (Helm .)" in {str(manifest.origin) for manifest in found}


@pytest.mark.parametrize(
    ("files", "inline", "image", "replicas"),
    [
        ((), {}, "example.com/web:1.0", 1),
        (("values/prod.yaml",), {}, "example.com/web:1.0", 3),
        (("values/prod.yaml", "values/a,b.yaml"), {}, "example.com/web:2.0", 3),
        (("values/prod.yaml", "values/a,b.yaml"), {"image": "x", "replicas": 5}, "x", 5),
        ((), {"replicas": None}, "example.com/web:1.0", None),
    ],
)
async def test_later_values_win(
    files: tuple[str, ...], inline: dict[str, Json], image: str, replicas: int | None, workshop: Workshop
) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values_files=files, values=inline)
    found = await workshop.manifests(helm, await workshop.commit(FILES))
    (web,) = [manifest.body["spec"] for manifest in found if manifest.body["kind"] == "Deployment"]
    assert web["replicas"] == replicas
    assert web["template"]["spec"]["containers"][0]["image"] == image


async def test_charts_are_told_what_the_cluster_can_do(workshop: Workshop) -> None:
    template = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: told}\n"
        "data:\n  version: {{ .Capabilities.KubeVersion }}\n"
        '  foo: "{{ .Capabilities.APIVersions.Has "example.com/v1" }}"\n'
        '  kind: "{{ .Capabilities.APIVersions.Has "example.com/v1/Foo" }}"\n'
        '  other: "{{ .Capabilities.APIVersions.Has "example.com/v1/Bar" }}"\n'
        '  apps: "{{ .Capabilities.APIVersions.Has "apps/v1" }}"\n'
    )
    tree = await workshop.commit({"web/Chart.yaml": CHART, "web/templates/a.yaml": template})
    offline = workshop.helm("web")
    apis = ("apps/v1", "apps/v1/Deployment", "example.com/v1", "example.com/v1/Foo")
    told = msgspec.structs.replace(offline, capabilities=Capabilities(version="v1.31.4-eks-1", apis=apis))
    (without,), (with_them,) = [await workshop.manifests(helm, tree) for helm in (offline, told)]
    assert without.body["data"]["foo"] == "false"
    assert without.body["data"]["apps"] == "true"
    assert with_them.body["data"] == {
        "version": "v1.31.4", "foo": "true", "kind": "true", "other": "false", "apps": "true",
    }  # fmt: skip
    assert await offline.key(tree) != await told.key(tree)


async def test_the_key_follows_what_is_read_and_nothing_else(workshop: Workshop) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values_files=("values/prod.yaml",))
    before = await helm.key(await workshop.commit(FILES))
    assert await helm.key(await workshop.commit({"values/other.yaml": "a: b"})) == before
    chart = await helm.key(await workshop.commit({"charts/web/conf/app.conf": "other"}))
    values = await helm.key(await workshop.commit({"values/prod.yaml": "replicas: 4"}))
    others = [
        await msgspec.structs.replace(helm, **change).key(await workshop.read())
        for change in ({"values": {"a": 1}}, {"release": "other"}, {"namespace": "other"})
    ]
    assert len({before, chart, values, *others}) == 6


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "values/absent.yaml",
            "the values file values/absent.yaml is not in the repository (spec.helm.valuesFiles are paths from its root)",
        ),
        (
            "absent/prod.yaml",
            "the values file absent/prod.yaml is not in the repository (spec.helm.valuesFiles are paths from its root)",
        ),
        ("../prod.yaml", "the values file ../prod.yaml is not in the repository (give its path from the root)"),
        ("/etc/passwd", "the values file /etc/passwd is not in the repository (give its path from the root)"),
        (
            "values/../../prod.yaml",
            "the values file values/../../prod.yaml is not in the repository (give its path from the root)",
        ),
        ("values", "the values file values is not in the repository (spec.helm.valuesFiles are paths from its root)"),
    ],
)
async def test_a_values_file_that_is_not_there_is_named(name: str, complaint: str, workshop: Workshop) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values_files=(name,))
    assert await workshop.refusal(helm, FILES) == complaint
    with pytest.raises(RenderError, match="is not in the repository"):
        await helm.key(await workshop.read())


# What is wrong, and what is said of it: never a value.
TEMPLATE = "charts/web/templates/web.yaml"
WRONG = [
    ({TEMPLATE: '\n{{ fail "no, thanks" }}'}, f"{TEMPLATE}:2: no, thanks"),
    ({TEMPLATE: '{{ required "host is needed" .Values.host }}'}, f"{TEMPLATE}:1: host is needed"),
    (
        {TEMPLATE: '{{ fail (printf "%s and %s are too short" .Values.password .Values.nested.c) }}'},
        f"{TEMPLATE}:1: … and d are too short",
    ),
    (
        {TEMPLATE: "a: {{ .Values.host.name }}"},
        f"{TEMPLATE}:1: the template cannot be rendered at .Values.host.name: nil pointer evaluating interface {{}}.name {MORE}",
    ),
    (
        {TEMPLATE: '{{ include "shop.nope" . }}'},
        f'{TEMPLATE}:1: the template cannot be rendered: no template "shop.nope" associated with template "gotpl" {MORE}',
    ),
    (
        {
            TEMPLATE: '{{ include "shop.labels" . }}',
            "charts/web/templates/_helpers.tpl": '{{ define "shop.labels" }}\n{{ mustFromJson .Values.password }}{{ end }}',
        },
        f"charts/web/templates/_helpers.tpl:2: the template cannot be rendered: error calling mustFromJson {MORE}",
    ),
    ({TEMPLATE: "{{ nope }}"}, f"{TEMPLATE}:1: the template calls nope, which Helm does not have {MORE}"),
    ({TEMPLATE: '{{ .Values.password "correct-horse" | '}, f"{TEMPLATE}:1: the template cannot be read: unclosed action {MORE}"),
    (
        {TEMPLATE: "kind: A\n  a: {{ .Values.password }}"},
        f"{TEMPLATE}: what the template makes is no YAML: mapping values are not allowed in this context {MORE}",
    ),
    (
        {TEMPLATE: "kind: *{{ .Values.password }}"},
        f"{TEMPLATE}: what the template makes is no YAML: unknown anchor … referenced {MORE}",
    ),
    ({TEMPLATE: "- {{ .Values.password }}"}, f"{TEMPLATE}: what the template makes is no object: array {MORE}"),
    (
        {"charts/web/values.schema.json": '{"properties": {"password": {"pattern": "^x"}, "replicas": {"type": "string"}}}'},
        f"charts/web/Chart.yaml: the values do not fit the chart's schema at /password, /replicas {MORE}",
    ),
    (
        {"charts/web/Chart.yaml": CHART + "dependencies: [{name: redis, version: 1.0.0, repository: 'https://charts.example.com'}]\n"},
        "charts/web/Chart.yaml: the chart's dependencies are missing: redis (run `helm dependency build` and commit charts/)",
    ),
    (
        {"charts/web/Chart.yaml": CHART + "kubeVersion: '>=1.999'\n"},
        f"charts/web/Chart.yaml: the chart is for Kubernetes >=1.999, the cluster is v1.37.0 {MORE}",
    ),
    ({"charts/web/Chart.yaml": "apiVersion: v2\nname: shop\n"}, f"charts/web/Chart.yaml: the chart's version is required {MORE}"),
    (
        {"charts/web/Chart.yaml": CHART + "type: library\n"},
        "charts/web/Chart.yaml: is a library, which makes no objects (use a chart that depends on it)",
    ),
    (
        {"charts/web/values.yaml": "a: b\n c: correct-horse\n"},
        f"charts/web/Chart.yaml: values.yaml is no YAML: mapping values are not allowed in this context {MORE}",
    ),
    (
        {"values/prod.yaml": "a: b\n c: correct-horse\n"},
        f"values/prod.yaml:2: is no YAML: mapping values are not allowed in this context {MORE}",
    ),
    ({"values/prod.yaml": "correct-horse"}, "values/prod.yaml: is no file of values (values are fields of one object)"),
    ({"charts/web/Chart.yaml": None}, "charts/web: the folder holds no Chart.yaml"),
]  # fmt: skip


@pytest.mark.case(39)
@pytest.mark.parametrize(("files", "complaint"), WRONG)
async def test_what_is_wrong_is_said_in_one_line_with_its_place_and_without_values(
    files: dict[str, str | None], complaint: str, workshop: Workshop
) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values_files=("values/prod.yaml",))
    await workshop.commit(FILES)
    said = await workshop.refusal(helm, files)
    assert said == complaint
    assert "correct-horse" not in said


@pytest.mark.case(39)
async def test_what_charts_say_of_inline_values_is_left_out(workshop: Workshop) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values={"deep": [{"pin": 123456, "text": "one two-three, four"}]})
    template = '{{ fail (print "got " (index .Values.deep 0).pin " and " (index .Values.deep 0).text " and two-three") }}'
    said = await workshop.refusal(helm, FILES | {TEMPLATE: template})
    assert said == f"{TEMPLATE}:1: got … and … and …"


async def test_what_charts_say_is_left_out_where_there_are_too_many_values_to_look_for(workshop: Workshop) -> None:
    values = "password: correct-horse\n" + "".join(f"key-{number}: {'x' * 1000}\n" for number in range(1100))
    files = {"c/Chart.yaml": CHART, "c/values.yaml": values, "c/templates/a.yaml": "{{ fail .Values.password }}"}

    told = await workshop.refusal(workshop.helm("c"), files)

    assert told.startswith("c/templates/a.yaml:1: the template has it fail")
    assert "correct-horse" not in told


async def test_a_render_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    loop = "{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}"
    said = await workshop.refusal(workshop.helm("charts/web", limits=Limits(seconds=1)), FILES | {TEMPLATE: loop})
    assert said == "charts/web/Chart.yaml: helm took longer than 1 s"


def archive(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))


async def test_a_name_that_is_too_long_for_a_release_is_said(workshop: Workshop) -> None:
    tree = await workshop.commit({"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n"})
    chart = Helm(folder="web", directory=workshop.scratches, release="x" * 54)

    with pytest.raises(RenderError, match=r"53 characters at most.*spec\.helm\.releaseName"):
        await chart.key(tree)


async def test_of_values_that_guard_reads_otherwise_than_helm_nothing_is_told(workshop: Workshop) -> None:
    """Helm takes the last of two keys, and Guard none of them."""
    values = "password: first-of-two\npassword: correct-horse-battery\n"
    files = {"c/Chart.yaml": CHART, "c/values.yaml": values, "c/templates/a.yaml": "{{ fail .Values.password }}"}

    told = await workshop.refusal(workshop.helm("c"), files)

    assert told.startswith("c/templates/a.yaml:1: the template has it fail")
    assert "correct" not in told
    assert "horse" not in told


@pytest.mark.parametrize("name", ["charts/web/values.yaml", "charts/web/templates/web.yaml", "more.yaml"])
async def test_encrypted_values_and_templates_are_refused(name: str, workshop: Workshop, locksmith: Locksmith) -> None:
    helm = msgspec.structs.replace(workshop.helm("charts/web"), values_files=("more.yaml",))
    text = locksmith.encrypt(name, VALUES, locksmith.age())
    told = await workshop.refusal(helm, FILES | {"more.yaml": "a: b\n", name: text})
    assert told.startswith(
        f"{name}: is encrypted with SOPS, which Guard does not decrypt for Helm (put the Secret beside the chart"
    )
