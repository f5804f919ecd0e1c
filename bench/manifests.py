"""A repository of many objects, each in a file of its own, in folders of a hundred; and commits that change one of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import yaml

from bench.objects import NAMESPACE, USUAL, Sample
from tools.guardrun import Repository

IN_FOLDER = 100
# Stands for an object's name in the text of its kind.
_NAME = "NAME"


class Change(msgspec.Struct, frozen=True):
    """Another value for the declared field of one object."""

    sample: Sample
    name: str
    path: str
    text: str
    value: str


class Manifests:
    """The repository `deploy` below a folder; every second object is a ConfigMap, the others are Deployments."""

    def __init__(self, root: Path, *, namespace: str = NAMESPACE) -> None:
        self.repository = Repository(root / "deploy")
        self.count = 0
        self._values = count(2)
        self._texts = {
            kind: yaml.dump(sample.make(_NAME), sort_keys=False, width=1000).replace(
                f"namespace: {NAMESPACE}\n", f"namespace: {namespace}\n"
            )
            for kind, sample in USUAL.items()
        }

    def grow(self, objects: int) -> str:
        """Declare so many objects; returns the commit."""
        files: dict[str, str | None] = {self._path(number): self._text(number) for number in range(self.count, objects)}
        self.count = objects
        commit = self.repository.commit(files)
        # As a host of repositories keeps them: ten thousand loose files make every fetch slower.
        self.repository.git("repack", "-a", "-d", "-q")
        return commit

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """All files with their paths."""
        for number in range(self.count):
            path = self._path(number)
            yield path, (self.repository.directory / path).read_bytes()

    def change(self) -> Change:
        """A change of one object, drawn by chance, to be committed."""
        number = random.randrange(self.count)  # noqa: S311 (no secret)
        _, sample = self._kind(number)
        value = f"{sample.git}-{next(self._values)}"
        path, text = self._path(number), self._text(number).replace(sample.git, value, 1)
        return Change(sample=sample, name=_name(number), path=path, text=text, value=value)

    def commit(self, change: Change) -> str:
        return self.repository.commit({change.path: change.text})

    def _kind(self, number: int) -> tuple[str, Sample]:
        return list(USUAL.items())[number % len(USUAL)]

    def _path(self, number: int) -> str:
        return f"team-{number // IN_FOLDER:03}/{_name(number)}.yaml"

    def _text(self, number: int) -> str:
        return self._texts[self._kind(number)[0]].replace(_NAME, _name(number))


def _name(number: int) -> str:
    return f"object-{number:05}"
