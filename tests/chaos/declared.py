"""What Git declares while everything breaks, and whether the cluster is like it."""

from __future__ import annotations

import base64
import random
import time

import msgspec

from guard.base.codec import JsonObject, child
from guard.state.ids import SYNC_LABEL
from tests.chaos.hands import RESOURCES, Hands
from tools.guardrun import Repository

CORE = {"ConfigMap": 12, "Deployment": 6, "Service": 4, "Secret": 4}
LABELS = f"{SYNC_LABEL}=guard-system.chaos"

_TEXTS = {
    "ConfigMap": "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{v: {value}}}\n",
    "Secret": "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\nstringData: {{v: {value}}}\n",
    "Service": """apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  selector: {{v: {value}}}
  ports: [{{name: http, port: 80}}]
""",
    "Deployment": """apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: "example.com/web:{value}"}}]}}
""",
}


class Object(msgspec.Struct, frozen=True):
    kind: str
    name: str
    value: str

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.name

    @property
    def file(self) -> str:
        return f"chaos/{self.kind.lower()}-{self.name}.yaml"

    @property
    def text(self) -> str:
        return _TEXTS[self.kind].format(name=self.name, value=self.value)

    def differs(self, live: JsonObject | None) -> str:
        """What of a live object is not as Git has it; empty where all is."""
        if live is None:
            return "is missing"
        if child(child(live, "metadata"), "labels").get(SYNC_LABEL) != "guard-system.chaos":
            return "has lost its label"
        found, wanted = _shown(self, live), _wanted(self)
        return "" if found == wanted else f"has {found}, Git has {wanted}"


def _wanted(one: Object) -> object:
    match one.kind:
        case "ConfigMap":
            return {"v": one.value}
        case "Secret":
            return {"v": base64.b64encode(one.value.encode()).decode()}
        case "Service":
            return {"v": one.value}
        case _:
            return (2, [f"example.com/web:{one.value}"])


def _deployment(live: JsonObject) -> object:
    spec = child(live, "spec")
    containers = child(child(spec, "template"), "spec").get("containers", [])
    return spec.get("replicas"), [container["image"] for container in containers]


def _shown(one: Object, live: JsonObject) -> object:
    match one.kind:
        case "Deployment":
            return _deployment(live)
        case "Service":
            return child(child(live, "spec"), "selector")
        case _:
            return live.get("data")


class History:
    """The repository. A core of objects stays in it; others come and go, under names that never come back."""

    def __init__(self, repository: Repository, chance: random.Random) -> None:
        self.repository = repository
        self.objects: dict[tuple[str, str], Object] = {}
        # When objects were taken out of Git, in Unix time: Guard may not delete them before.
        self.removed: dict[tuple[str, str], float] = {}
        self.head = ""
        self.commits = 0
        self._chance = chance
        self._number = 0

    def begin(self) -> None:
        for kind, count in CORE.items():
            for number in range(count):
                one = Object(kind, f"core-{number}", "v0")
                self.objects[one.key] = one
        self.head = self.repository.commit({one.file: one.text for one in self.objects.values()})

    @property
    def core(self) -> list[Object]:
        return [one for one in self.objects.values() if one.name.startswith("core-")]

    def go_on(self) -> None:
        """One commit that changes, adds or removes an object or two."""
        files: dict[str, str | None] = {}
        for _ in range(self._chance.randint(1, 3)):
            self._number += 1
            what = self._chance.choice(("change", "change", "add", "remove"))
            others = [one for one in self.objects.values() if not one.name.startswith("core-") and one.file not in files]
            if what == "remove" and others:
                gone = self._chance.choice(others)
                files[gone.file] = None
                del self.objects[gone.key]
                self.removed[gone.key] = time.time()
                continue
            one = self._chance.choice([found for found in self.objects.values() if found.file not in files])
            name = one.name if what == "change" else f"other-{self._number}"
            kind = one.kind if what == "change" else self._chance.choice(list(CORE))
            new = Object(kind, name, f"v{self._number}")
            self.objects[new.key] = new
            files[new.file] = new.text
        self.head = self.repository.commit(files)
        self.commits += 1


async def differences(history: History, hands: Hands) -> list[str]:
    """Where the cluster is not as the newest commit says: empty where it is."""
    found: list[str] = []
    for kind in RESOURCES:
        live = {str(item["metadata"]["name"]): item for item in await hands.list(kind, labels=LABELS)}
        declared = {one.name: one for one in history.objects.values() if one.kind == kind}
        found += [f"{kind} {name} {fault}" for name, one in declared.items() if (fault := one.differs(live.get(name)))]
        found += [f"{kind} {name} is there, and not in Git" for name in live.keys() - declared.keys()]
    return found
