"""The story, act by act. Each step asks the API server whether it came true; Guard's own words prove nothing here."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

from demo.stage import BREAK_GLASS, Stage
from demo.witness import Place, content, holds
from guard.base import codec
from guard.base.codec import Json, JsonObject, child
from tools.controlplane import PERSON

APP = Path(__file__).parent / "app"
FOLDER = "shop"  # where the application lies in its repository

DEPLOYMENT = Place("/apis/apps/v1/namespaces/shop/deployments", "storefront")
CONFIG = Place("/api/v1/namespaces/shop/configmaps", "storefront")
SALE = Place("/api/v1/namespaces/shop/configmaps", "spring-sale")
NOTES = Place("/api/v1/namespaces/shop/configmaps", "adas-notes")
SERVICE = Place("/api/v1/namespaces/shop/services", "storefront")
ROLE = Place("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles", "storefront")
WEBHOOK = Place("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "gitopsguard")

SYNC_LABEL = "gitopsguard.dev/sync"
IMAGE = "example.com/shop/storefront"
COMMIT_SECONDS = 20.0
WEBHOOK_SECONDS = 1.0
QUIET_SECONDS = 0.3
STATUS_SECONDS = 5.0  # the counts follow with the next poll of the repository, each second here
SIDECAR = codec.encode(
    {"spec": {"template": {"spec": {"containers": [{"name": "debug", "image": "example.com/tools/debug:1"}]}}}}
).decode()


def files() -> dict[str, str]:
    """The application as it is committed: path in the repository to text."""
    return {f"{FOLDER}/{path.name}": path.read_text() for path in sorted(APP.glob("*.yaml"))}


def opening(stage: Stage) -> None:
    """What there is before Guard starts."""
    stage.act("1. A commit is applied")
    stage.output(stage.repository.git("log", "--oneline", "--stat", "-1"))


async def play(stage: Stage) -> None:
    """With Guard running."""
    await a_commit_is_applied(stage)
    await by_hand_is_refused(stage)
    await past_the_webhook_is_healed(stage)
    await the_webhook_itself_comes_back(stage)
    await a_new_commit_is_applied(stage)
    await what_git_drops_is_pruned(stage)
    await in_an_emergency(stage)
    await what_guard_says(stage)


async def a_commit_is_applied(stage: Stage) -> None:
    stage.say("  guard run --config syncs.yaml ...")
    await stage.guard.applied(stage.repository.git("rev-parse", "HEAD"), sync="shop")
    for manifest, live in await _declared(stage):
        named = f"{manifest['kind']} {manifest['metadata']['name']}"
        stage.check(f"{named} is in the cluster, as in Git", holds=live is not None and holds(live, manifest))
    await _controllers_are_done(stage)


async def by_hand_is_refused(stage: Stage) -> None:
    stage.act(f"2. {PERSON}, a cluster admin, changes it by hand: refused")
    target = ("deployment/storefront", "-n", "shop")
    await stage.refused(DEPLOYMENT, "edit", *target, sed="s/storefront:1.4.0/storefront:1.5.0-rc1/")
    await stage.refused(DEPLOYMENT, "set", "image", *target, f"web={IMAGE}:latest")
    await stage.refused(DEPLOYMENT, "patch", *target, "-p", SIDECAR)
    await stage.refused(DEPLOYMENT, "scale", *target, "--replicas=0")
    await stage.refused(CONFIG, "delete", "configmap/storefront", "-n", "shop")
    stage.say("  What Git does not declare is hers:")
    done = await stage.person("create", "configmap", NOTES.name, "-n", "shop", "--from-literal=todo=coffee")
    stage.check("created", holds=done.returncode == 0 and await stage.get(NOTES) is not None)


async def past_the_webhook_is_healed(stage: Stage) -> None:
    stage.act("3. The same past the webhook, which lets a group pass: healed")
    stage.typed(f'past="{" ".join(BREAK_GLASS)}"')
    stage.say("  Times are the API server's watch: from the event with the change to the one with Git's value.")
    target = ("deployment/storefront", "-n", "shop")
    script = "s/storefront:1.4.0/storefront:1.5.0-rc1/"
    await stage.healed("an edited image", DEPLOYMENT, "edit", *target, sed=script)
    await stage.healed("a scaled deployment", DEPLOYMENT, "scale", *target, "--replicas=0")
    await stage.healed("an added container", DEPLOYMENT, "patch", *target, "-p", SIDECAR)
    await stage.healed("a deleted config map", CONFIG, "delete", "configmap/storefront", "-n", "shop")
    await stage.healed("a deleted deployment", DEPLOYMENT, "delete", *target)
    await stage.healed("a lost label", SERVICE, "label", "service/storefront", "-n", "shop", f"{SYNC_LABEL}-")
    grab = codec.encode({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}).decode()
    await stage.healed("a widened role", ROLE, "patch", "role/storefront", "-n", "shop", "--type=merge", "-p", grab)


async def the_webhook_itself_comes_back(stage: Stage) -> None:
    stage.act("4. The webhook configuration itself")
    arguments = ("delete", "validatingwebhookconfiguration", WEBHOOK.name)
    done = await stage.person(*arguments)
    stage.check("hers it is not", holds=done.returncode != 0 and "Guard's own" in done.stderr)
    await stage.healed("a webhook configuration that an administrator deleted", WEBHOOK, *arguments)
    target = ("deployment/storefront", "-n", "shop")

    # The API server takes a webhook configuration into use some moments after it is stored.
    await asyncio.sleep(WEBHOOK_SECONDS)
    await stage.refused(DEPLOYMENT, "scale", *target, "--replicas=1")


async def a_new_commit_is_applied(stage: Stage) -> None:
    stage.act("5. The way that works: a commit")
    path = f"{FOLDER}/deployment.yaml"
    text = files()[path].replace("replicas: 2", "replicas: 3").replace("storefront:1.4.0", "storefront:1.5.0")
    stage.repository.commit({path: text}, message="Storefront 1.5.0, three replicas")
    stage.output(stage.repository.git("show", "--format=%h %s", "--unified=0", "HEAD"))
    await stage.guard_says("reconcile", "shop")

    async def live() -> bool:
        return holds(await stage.there(DEPLOYMENT), yaml.safe_load(text))

    took = await stage.within(COMMIT_SECONDS, live)
    stage.check(f"the Deployment runs {IMAGE}:1.5.0 with 3 replicas, {took or 0:.1f} s later", holds=took is not None)
    await stage.guard.applied(stage.repository.git("rev-parse", "HEAD"), sync="shop")
    await _controllers_are_done(stage)
    stage.say("  And her own kubectl apply of the very file in Git is no manual change:")
    before = content(await stage.there(DEPLOYMENT))["spec"]
    done = await stage.person("apply", "-n", "shop", "-f", str(stage.repository.directory / path))
    after = content(await stage.there(DEPLOYMENT))["spec"]
    stage.check("accepted, and the spec is as before", holds=done.returncode == 0 and before == after)


async def what_git_drops_is_pruned(stage: Stage) -> None:
    stage.act("6. A file is removed from Git: its object goes")
    before = await stage.there(NOTES)
    stage.check("ConfigMap spring-sale is there", holds=await stage.get(SALE) is not None)
    stage.repository.commit({f"{FOLDER}/sale.yaml": None}, message="The sale is over")
    stage.output(stage.repository.git("log", "--oneline", "--stat", "-1"))

    async def gone() -> bool:
        return await stage.get(SALE) is None

    took = await stage.within(COMMIT_SECONDS, gone)
    stage.check(f"gone {took or 0:.1f} s later, found by polling the repository each second", holds=took is not None)
    await stage.guard.applied(stage.repository.git("rev-parse", "HEAD"), sync="shop")
    after = await stage.get(NOTES)
    version = before["metadata"]["resourceVersion"]
    stage.check(
        f"Ada's own ConfigMap {NOTES.name} is untouched (resourceVersion {version})",
        holds=after is not None and after["metadata"]["resourceVersion"] == version,
    )
    done = await stage.person("delete", "configmap", NOTES.name, "-n", "shop")
    stage.check("and hers to delete", holds=done.returncode == 0 and await stage.get(NOTES) is None)


async def in_an_emergency(stage: Stage) -> None:
    stage.act("7. An emergency: the way out that each refusal names")
    found = re.search(r"^Emergency: guard (break-glass .*)$", stage.refusals[0], re.MULTILINE)
    if found is None:
        stage.check("the refusal names a way out", holds=False)
        return
    git = content(await stage.there(DEPLOYMENT))
    target = ("deployment/storefront", "-n", "shop")
    opened = await stage.guard_says(*shlex.split(found[1].replace("...", "checkout fails")))
    stage.check("open for half an hour, with a reason", holds=opened.returncode == 0)
    done = await stage.person("set", "image", *target, f"web={IMAGE}:1.5.1-hotfix")
    changed = content(await stage.there(DEPLOYMENT))
    stage.check("accepted, with a warning, and it stays", holds=done.returncode == 0 and changed != git)
    differs = await stage.guard_says("diff", "shop")
    stage.check("guard diff shows it and ends with 1", holds=differs.returncode == 1 and "hotfix" in differs.stdout)
    await stage.guard_says("break-glass", "list")
    await stage.guard_says("break-glass", "end", *target)

    async def as_git() -> bool:
        return content(await stage.there(DEPLOYMENT)) == git

    took = await stage.within(COMMIT_SECONDS, as_git)
    stage.check(f"the emergency is over, and {took or 0:.1f} s later Git holds again", holds=took is not None)


async def what_guard_says(stage: Stage) -> None:
    stage.act("8. What Guard says about all of it")

    async def counted() -> bool:
        return (await stage.guard.sync("shop"))["status"]["objects"]["drifted"] == 0

    await stage.within(STATUS_SECONDS, counted)
    status = await stage.guard_says("status")
    stage.check("exit code 0: ready, without drift", holds=status.returncode == 0)
    diff = await stage.guard_says("diff")
    differing = [manifest for manifest, live in await _declared(stage) if live is None or not holds(live, manifest)]
    stage.check("no difference, and the API server agrees", holds=diff.returncode == 0 and not differing)
    await stage.guard_says("audit")
    records: list[JsonObject] = codec.decode((await stage.guard.guard("audit", "-o", "json", "--limit=0")).stdout.encode())
    references = {record["id"] for record in records if record["event"] == "denied"}
    named = [re.search(r"^Reference: (\S+)", refusal, re.MULTILINE) for refusal in stage.refusals]
    stage.check(
        f"each of the {len(named)} refusals is in it under the reference that Ada was given",
        holds=all(found is not None and found[1] in references for found in named),
    )
    healed = sum(record["event"] == "healed" for record in records)
    heals = len(stage.heals) + 1  # what was left when the emergency was over
    stage.check(f"and {heals} heals ({healed} recorded)", holds=healed == heals)
    unwanted = sorted({record["event"] for record in records} & {"fight", "heal-failed", "sync-failed"})
    stage.check(f"and nothing that went wrong{''.join(f', but {event}' for event in unwanted)}", holds=not unwanted)


async def ending(stage: Stage) -> None:
    stage.act("9. Guard is told to stop")
    code = await stage.guard.stop()
    stage.check(f"it does (exit code {code})", holds=code == 0)


async def _declared(stage: Stage) -> list[tuple[JsonObject, JsonObject | None]]:
    """Each manifest in the repository's work tree with the live object."""
    folder = stage.repository.directory / FOLDER
    done = await stage.plane.kubectl("get", "-f", folder, "-o", "json", "--ignore-not-found", identity="admin")
    live = {_identity(item): item for item in done.json()["items"]}
    return [(manifest, live.get(_identity(manifest))) for manifest in _manifests(folder)]


def _manifests(folder: Path) -> Iterator[JsonObject]:
    for path in sorted(folder.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def _identity(body: JsonObject) -> tuple[Json, ...]:
    metadata = child(body, "metadata")
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


async def _controllers_are_done(stage: Stage) -> None:
    """Wait until the Deployment's controller has said its word, so that a moved resourceVersion is nobody else's doing."""
    if "kube-controller-manager" not in stage.plane.pids:
        return

    quiet_since, version = 0.0, ""

    async def quiet() -> bool:
        nonlocal quiet_since, version
        body = await stage.there(DEPLOYMENT)
        now, metadata = asyncio.get_running_loop().time(), body["metadata"]
        if metadata["resourceVersion"] != version:
            quiet_since, version = now, metadata["resourceVersion"]
        seen = child(body, "status").get("observedGeneration") == metadata["generation"]
        return seen and now - quiet_since > QUIET_SECONDS

    await stage.within(COMMIT_SECONDS, quiet)
