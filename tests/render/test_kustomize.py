"""Kustomize, held against its own binary run by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import yaml

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render.process import Limits
from tests.render.workshop import Workshop
from tests.source.githttp import serve
from tests.source.repository import Repository

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web  # the comment stays
          image: example.com/web:1.0
          envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: login}}]
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: web, annotations: {team: "shop"}}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
BASE = {"base/kustomization.yaml": "resources: [web.yaml, service.yaml]\n", "base/web.yaml": WEB, "base/service.yaml": SERVICE}
LOCAL = """apiVersion: v1
kind: ConfigMap
metadata: {name: unused, annotations: {config.kubernetes.io/local-config: "true"}}
data: {a: b}
"""

# What the overlay `prod` holds beside its base.
FIXTURES: dict[str, dict[str, str]] = {
    "an overlay": {"kustomization.yaml": "resources: [../base]\nnamePrefix: p-\nnameSuffix: -s\nnamespace: shop\n"},
    "labels and annotations": {
        "kustomization.yaml": "resources: [../base]\n"
        "labels: [{pairs: {env: prod}, includeSelectors: true, includeTemplates: true}]\n"
        "commonAnnotations: {owner: ada}\n"
    },
    "images and replicas": {
        "kustomization.yaml": "resources: [../base]\nreplicas: [{name: web, count: 3}]\n"
        "images: [{name: example.com/web, newTag: '2.0'}]\n"
    },
    "generators with hashes": {
        "kustomization.yaml": "resources: [../base]\n"
        "configMapGenerator: [{name: settings, files: [app.conf, renamed=app.conf], envs: [app.env], literals: [a=b]}]\n"
        "secretGenerator: [{name: login, literals: [password=x, user=y], type: Opaque}]\n",
        "app.conf": "line 1\nline 2\n",
        "app.env": "# comment\nLEVEL=debug\nEMPTY=\n",
    },
    "generators without hashes": {
        "kustomization.yaml": "resources: [../base]\ngeneratorOptions: {disableNameSuffixHash: true, labels: {made: here}}\n"
        "configMapGenerator: [{name: settings, literals: [a=b]}]\n",
    },
    "a merged generator": {
        "kustomization.yaml": "resources: [../mid]\nconfigMapGenerator: [{name: settings, behavior: merge, literals: [b=2]}]\n",
        "../mid/kustomization.yaml": "resources: [../base]\nconfigMapGenerator: [{name: settings, literals: [a=1]}]\n",
    },
    "strategic and JSON patches": {
        "kustomization.yaml": "resources: [../base]\n"
        "patches:\n"
        "  - path: more.yaml\n"
        "  - target: {kind: Service}\n"
        "    patch: |\n"
        "      - {op: add, path: /spec/ports/0/name, value: http}\n"
        "      - {op: replace, path: /metadata/annotations, value: {only: this}}\n",
        "more.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
        "spec: {template: {spec: {containers: [{name: web, env: [{name: A, value: b}]}]}}}\n",
    },
    "patches in the old fields": {
        "kustomization.yml": "bases: [../base]\npatchesStrategicMerge: [more.yaml]\n"
        "patchesJson6902: [{target: {version: v1, kind: Service, name: web}, path: ports.json}]\n",
        "more.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {paused: true}\n",
        "ports.json": '[{"op": "add", "path": "/spec/type", "value": "NodePort"}]',
    },
    "a patch that would not do with more annotations": {
        "kustomization.yaml": "resources: [../base]\npatches: [{target: {kind: Service}, patch: '- {op: test, "
        "path: /metadata/annotations/config.kubernetes.io~1origin, value: null}'}]\n",
    },
    "replacements": {
        "kustomization.yaml": "resources: [../base]\n"
        "replacements:\n"
        "  - source: {kind: Service, name: web, fieldPath: metadata.annotations}\n"
        "    targets:\n"
        "      - select: {kind: Deployment}\n"
        "        fieldPaths: [spec.template.metadata.annotations]\n"
        "        options: {create: true}\n"
        "  - path: image.yaml\n",
        "image.yaml": "source: {kind: Service, name: web, fieldPath: metadata.name}\n"
        "targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.spec.containers.0.image]}]\n",
    },
    "components": {
        "Kustomization": "resources: [../base]\ncomponents: [../parts/tls]\n",
        "../parts/tls/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        "resources: [cert.yaml]\n"
        "patches: [{patch: '- {op: add, path: /spec/type, value: LoadBalancer}', target: {kind: Service}}]\n",
        "../parts/tls/cert.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\nstringData: {a: b}\n",
    },
    "transformers, generators and validators of its own": {
        "kustomization.yaml": "resources: [../base, local.yaml]\n"
        "transformers: [prefix.yaml, ../shared, '{apiVersion: builtin, kind: SuffixTransformer, metadata: {name: s}, suffix: -z, "
        "fieldSpecs: [{path: metadata/name}]}']\n"
        "generators: [map.yaml]\n",
        "local.yaml": LOCAL,
        "prefix.yaml": "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: t-\n"
        "fieldSpecs: [{path: metadata/name}]\n",
        "map.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nliterals: [c=d]\n",
        "../shared/kustomization.yaml": "resources: [labels.yaml]\n",
        "../shared/labels.yaml": "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {shared: 'yes'}\n"
        "fieldSpecs: [{path: metadata/labels, create: true}]\n",
    },
    "an object with a hash that is no map": {
        "kustomization.yaml": "resources: [odd.yaml]\n",
        "odd.yaml": "apiVersion: example.com/v1\nkind: Odd\n"
        'metadata: {name: odd, annotations: {kustomize.config.k8s.io/needs-hash: "true"}}\nspec: {a: 1}\n',
    },
    "definitions, configurations and variables": {
        "kustomization.yaml": "resources: [../base, foo.yaml]\ncrds: [crd.json]\nconfigurations: [names.yaml]\nnamePrefix: v-\n"
        "vars: [{name: SERVICE, objref: {kind: Service, name: web, apiVersion: v1}}]\n"
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {containers: "
        "[{name: web, args: [$(SERVICE)]}]}}}}'}]\n",
        "crd.json": "{}",
        "names.yaml": "nameReference: [{kind: Service, fieldSpecs: [{kind: Foo, path: spec/service}]}]\n",
        "foo.yaml": "apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: foo}\nspec: {service: web}\n",
    },
    "an order of its own, and metadata of the build": {
        "kustomization.yaml": "resources: [../base]\nsortOptions: {order: fifo}\n"
        "buildMetadata: [managedByLabel, originAnnotations, transformerAnnotations]\nnamePrefix: m-\n",
    },
    "metadata of the build, but no origins": {"kustomization.yaml": "resources: [../base]\nbuildMetadata: [managedByLabel]\n"},
    "letters in another case, and numbers": {
        "kustomization.yaml": "Resources: [../base]\nNAMESPACE: shop\nreplicas: [{name: web, count: 0o7}]\n",
    },
    "text that YAML has many ways for": {
        "kustomization.yaml": "resources: [odd.yaml]\n",
        "odd.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd}\n"
        'data: {yes: "yes", number: "1e3", date: "2024-01-01", text: "---\\n# Source: x\\n", long: "' + "x " * 200 + '"}\n',
    },
}


CONTAINED = "(kustomize reads files only at and below the kustomization's own folder, and elsewhere folders that have one)"
CHARTS = "(make the chart the path of a Sync of its own)"
MORE = "(`kustomize build prod` in the repository says more)"


def overlay(files: Mapping[str, str]) -> dict[str, str]:
    return BASE | {os.path.normpath(f"prod/{name}"): text for name, text in files.items()}


@pytest.mark.parametrize("name", FIXTURES)
async def test_objects_are_the_very_ones_that_the_tool_alone_gives(name: str, workshop: Workshop) -> None:
    tree = await workshop.commit(overlay(FIXTURES[name]))
    alone = workshop.by_hand("kustomize", "build", "prod")
    assert alone.returncode == 0, alone.stderr
    expected: list[Json] = list(yaml.safe_load_all(alone.stdout))
    found = await workshop.manifests(workshop.kustomize("prod"), tree)
    assert [manifest.body for manifest in found] == expected
    assert expected


async def test_each_object_knows_the_file_it_was_made_of(workshop: Workshop) -> None:
    files = FIXTURES["components"] | {
        "Kustomization": "resources: [../base, own]\ncomponents: [../parts/tls]\ngenerators: [map.yaml]\n"
        "configMapGenerator: [{name: settings, literals: [a=b]}]\n",
        "own/kustomization.yml": "resources: [job.yaml]\n",
        "own/job.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\n",
        "map.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nliterals: [c=d]\n",
    }
    found = await workshop.manifests(workshop.kustomize("prod"), await workshop.commit(overlay(files)))
    assert {(manifest.body["kind"], str(manifest.origin)) for manifest in found} == {
        ("Deployment", "base/web.yaml (Kustomize prod)"),
        ("Service", "base/service.yaml (Kustomize prod)"),
        ("Secret", "parts/tls/cert.yaml (Kustomize prod)"),
        ("Job", "prod/own/job.yaml (Kustomize prod)"),
        ("ConfigMap", "prod/Kustomization (Kustomize prod)"),
        ("ConfigMap", "prod/map.yaml (Kustomize prod)"),
    }


async def test_the_repositorys_root_can_be_built(workshop: Workshop) -> None:
    tree = await workshop.commit({"kustomization.yaml": "resources: [web.yaml]\n", "web.yaml": SERVICE, "docs/readme.md": "text"})
    (manifest,) = await workshop.manifests(workshop.kustomize(""), tree)
    assert str(manifest.origin) == "web.yaml (Kustomize .)"


async def test_a_patch_that_fails_for_the_tool_alone_fails_here(workshop: Workshop) -> None:
    """It would not, if the annotations that tell origins were there."""
    patch = "- {op: remove, path: /metadata/annotations/config.kubernetes.io~1origin}"
    files = overlay({"kustomization.yaml": f"resources: [../base]\npatches: [{{patch: '{patch}', target: {{kind: Service}}}}]\n"})
    said = await workshop.refusal(workshop.kustomize("prod"), files)
    assert said.startswith("prod/kustomization.yaml: a JSON patch wants to remove ")


async def test_objects_whose_origin_cannot_be_told_are_the_kustomizations(workshop: Workshop) -> None:
    tree = await workshop.commit(overlay(FIXTURES["a patch that would not do with more annotations"]))
    found = await workshop.manifests(workshop.kustomize("prod"), tree)
    assert {str(manifest.origin) for manifest in found} == {"prod/kustomization.yaml (Kustomize prod)"}


async def test_nothing_is_made_of_nothing(workshop: Workshop) -> None:
    tree = await workshop.commit({"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": LOCAL})
    assert await workshop.manifests(workshop.kustomize(""), tree) == []


async def test_the_key_follows_what_is_read_and_nothing_else(workshop: Workshop) -> None:
    kustomize = workshop.kustomize("prod")
    before = await kustomize.key(await workshop.commit(overlay(FIXTURES["generators with hashes"])))
    assert await kustomize.key(await workshop.commit({"elsewhere/a.yaml": "a: b"})) == before
    own = await kustomize.key(await workshop.commit({"prod/app.conf": "other"}))
    base = await kustomize.key(await workshop.commit({"base/service.yaml": SERVICE.replace("80", "81")}))
    other = await workshop.kustomize("base").key(await workshop.read())
    assert len({before, own, base, other}) == 4


async def test_a_missing_binary_is_named(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree = await workshop.commit(overlay(FIXTURES["an overlay"]))
    for name in ("env", "git", "sh"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match="kustomize is not installed where Guard runs"):
        await workshop.kustomize("prod").key(tree)
    assert "kustomize is not installed" in await workshop.refusal_of(workshop.kustomize("prod"), tree)


# What is wrong, and what is said of it.
WRONG = [
    (
        {"kustomization.yaml": "resources:\n  - ../base\n  - absent.yaml\n"},
        "prod/kustomization.yaml:3: resources names absent.yaml, which is not in the repository",
    ),
    (
        {"kustomization.yaml": "resources: [../absent]\n"},
        "prod/kustomization.yaml:1: resources names ../absent, which is no folder of the repository " + CONTAINED,
    ),
    (
        {"kustomization.yaml": "resources: [more]\n", "more/a.yaml": SERVICE},
        "prod/kustomization.yaml:1: resources names more, a folder without a kustomization.yaml (list its files, or give it one)",
    ),
    (
        {"kustomization.yaml": "resources: [../base]\nresource: [a]\n"},
        "prod/kustomization.yaml:2: a kustomization has no field 'resource' (did you mean resources?)",
    ),
    (
        {"kustomization.yaml": "resources: [../base]\nResources: [a]\n"},
        "prod/kustomization.yaml:1: the field resources stands there twice, in other letters",
    ),
    (
        {"kustomization.yaml": "resources: [../base]\n---\nresources: []\n"},
        "prod/kustomization.yaml:3: holds more than one document (a kustomization is one)",
    ),
    (
        {"kustomization.yaml": "- a\n"},
        "prod/kustomization.yaml:1: is not an object (a kustomization has fields, as resources)",
    ),
    (
        {"kustomization.yaml": "resources: [\n"},
        "prod/kustomization.yaml:2:1: while parsing a flow node, did not find expected node content",
    ),
    (
        {"kustomization.yaml": "a: b\n", "Kustomization": "a: b\n"},
        "prod: the folder holds kustomization.yaml and Kustomization (keep one of them)",
    ),
    (
        {"readme.md": "text"},
        "prod: the folder holds no kustomization.yaml",
    ),
    (
        {"kustomization.yaml": "\nhelmCharts: [{name: web}]\n"},
        "prod/kustomization.yaml:2: helmCharts: Guard does not run Helm from within Kustomize " + CHARTS,
    ),
    (
        {"kustomization.yaml": "resources: [../base, broken.yaml]\n", "broken.yaml": "a: b\n c: d\n"},
        "prod/broken.yaml: is no YAML that kustomize can read: line 2: mapping values are not allowed in this context " + MORE,
    ),
    (
        {"kustomization.yaml": "resources: [../base, twice.yaml]\n", "twice.yaml": SERVICE},
        "prod/kustomization.yaml: Service web is there twice " + MORE,
    ),
    (
        {"kustomization.yaml": "resources: [../base]\nnamespace: [a]\n"},
        "prod/kustomization.yaml: the field namespace is of the wrong type: array (kustomize wants string)",
    ),
    (
        {"kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n", "p.yaml": SERVICE.replace("web", "other")},
        "prod/kustomization.yaml: no object matches the patch for Service other " + MORE,
    ),
    (
        {"kustomization.yaml": "resources: [nested]\n", "nested/kustomization.yaml": "resources: [..]\n"},
        "prod/nested: prod is a base of prod/nested, which is part of it " + MORE,
    ),
    (
        {"kustomization.yaml": "components: [../base]\n"},
        "prod/kustomization.yaml: base should be of kind 'Component' (components are listed in components, others in resources)",
    ),
    (
        {"kustomization.yaml": "{}\n"},
        "prod/kustomization.yaml: the kustomization is empty " + MORE,
    ),
]


@pytest.mark.parametrize(("files", "complaint"), WRONG)
async def test_what_is_wrong_is_said_in_one_line_with_its_place(
    files: dict[str, str], complaint: str, workshop: Workshop
) -> None:
    assert await workshop.refusal(workshop.kustomize("prod"), overlay(files)) == complaint


async def test_a_build_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    """Each folder takes the next one twice, under two names: a million objects, of sixty small files."""
    levels = 20
    files = {f"d{level}/kustomization.yaml": "resources: [a, b]\n" for level in range(levels)}
    files |= {
        f"d{level}/{name}/kustomization.yaml": f"namePrefix: {name}-\nresources: [../../d{level + 1}]\n"
        for level in range(levels)
        for name in "ab"
    }
    files |= BASE | {f"d{levels}/kustomization.yaml": "resources: [../base]\n"}
    said = await workshop.refusal(workshop.kustomize("d0", limits=Limits(seconds=1)), files)
    assert said == "d0/kustomization.yaml: kustomize took longer than 1 s"


async def test_a_remote_base_is_built_where_it_is_allowed(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Repository(tmp_path / "served" / "bases")
    served.commit({"web/kustomization.yaml": "resources: [service.yaml]\n", "web/service.yaml": SERVICE})
    authority = tmp_path / "ca.pem"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority))
    refused = workshop.kustomize("")
    allowed = msgspec.structs.replace(refused, remote_bases="Allow")
    async with serve(tmp_path / "served") as server:
        authority.write_text(server.ca_certificate)
        url = f"{server.url('bases')}/.git//web?ref=main"
        tree = await workshop.commit({"kustomization.yaml": f"resources: ['{url}']\nnamePrefix: x-\n"})
        assert "which is elsewhere (copy it into the repository" in await workshop.refusal_of(refused, tree)
        assert server.requests == []
        (manifest,) = await workshop.manifests(allowed, tree)
    assert manifest.body["metadata"]["name"] == "x-web"
    assert str(manifest.origin) == "kustomization.yaml (Kustomize .)"
    # What is there can change, so that each revision is built anew.
    assert await allowed.key(tree) != await allowed.key(await workshop.commit({"elsewhere.txt": "other"}))


SECRET = "correct-horse"
CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
# What kustomize says of these has the secret in it, most often with all that stands around it.
QUOTED = {
    "a patch that is none": "resources: [c.yaml]\npatches: [{patch: 'password: SECRET'}]\n",
    "a patch of the old kind that is none": "resources: [c.yaml]\npatchesStrategicMerge: ['password: SECRET']\n",
    "a JSON patch that is none": "resources: [c.yaml]\n"
    "patchesJson6902: [{patch: SECRET, target: {version: v1, kind: ConfigMap, name: c}}]\n",
    "a JSON patch's test": "resources: [c.yaml]\n"
    "patches: [{target: {kind: ConfigMap}, patch: '- {op: test, path: /data/a, value: SECRET}'}]\n",
    "a list for an object": "resources: [c.yaml]\n"
    "patches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: [SECRET]}'}]\n",
    "one generator twice": "secretGenerator: [{name: a, literals: [p=SECRET]}, {name: a, literals: [p=SECRET]}]\n",
    "a literal without a key": "secretGenerator: [{name: a, literals: [SECRET]}]\n",
    "a file with two keys": "secretGenerator: [{name: a, files: ['SECRET=x=y']}]\n",
    "broken YAML": "resources: [broken.yaml]\n",
    "an unknown alias": "resources: [alias.yaml]\n",
    "a configuration that is none": "resources: [c.yaml]\nconfigurations: [text.yaml]\n",
    "an object without a name": "resources: [nameless.yaml]\n",
    "a plugin that is set up wrong": "generators: ['{apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, "
    "literals: SECRET}']\n",
}
BROKEN = {
    "c.yaml": CM,
    "broken.yaml": f"a: b\n c: {SECRET}\n",
    "alias.yaml": f"{CM}more: *{SECRET}\n",
    "text.yaml": SECRET,
    "nameless.yaml": f"apiVersion: v1\nkind: Secret\nstringData: {{a: {SECRET}}}\n",
}


@pytest.mark.case(39)
@pytest.mark.parametrize("name", QUOTED)
async def test_what_kustomize_quotes_of_secrets_is_left_out(name: str, workshop: Workshop) -> None:
    files = BROKEN | {"kustomization.yaml": QUOTED[name].replace("SECRET", SECRET)}
    said = await workshop.refusal(workshop.kustomize(""), files)
    alone = workshop.by_hand("kustomize", "build", ".")
    assert alone.returncode == 1
    assert SECRET not in said
    assert ("kustomize cannot build it" in said) == (name in {"a file with two keys", "a configuration that is none"})
