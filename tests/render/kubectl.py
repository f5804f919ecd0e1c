"""What the real kubectl makes of files.

`kubectl patch --local` with a patch that changes nothing reads files as `kubectl apply` does, and prints the objects without
asking a server. One process reads a folder of many files; an object of its own behind each file tells which came from it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from guard.base import codec
from guard.base.codec import Json, is_array, is_object
from tools import binaries
from tools.controlplane.processes import clean_environment

_SECONDS = 120
_MARK = "Mark-of-the-end"
# Every object is printed alone, indented, between braces in the first column.
_PRINTED = re.compile(r"^\{\}$|^\{$.*?^\}$", re.MULTILINE | re.DOTALL)
_COMPLAINT = re.compile(r"/(\d{6})\.yaml")


class Reading(Struct, frozen=True):
    """The objects of a file, and what kubectl complains of: nothing where it takes the file."""

    objects: list[Json]
    complaint: str = ""


@cache
def _binary() -> Path:
    return binaries.locate(["kubectl"])["kubectl"]


def read(files: Sequence[bytes]) -> list[Reading]:
    """What kubectl makes of each file; `null` documents are none, and the items of lists are objects."""
    with TemporaryDirectory(prefix="guard-kubectl-") as name:
        folder = Path(name)
        for number, data in enumerate(files):
            (folder / f"{number:06}.yaml").write_bytes(data)
            (folder / f"{number:06}.z.yaml").write_text(f"apiVersion: v1\nkind: {_MARK}\n")
        done = subprocess.run(
            [_binary(), "patch", "--local", "--filename", name, "--type", "json", "--patch", "[]", "--output", "json"],
            env=clean_environment(folder, KUBECONFIG="/dev/null"),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    objects: list[list[Json]] = [[]]
    for found in _PRINTED.finditer(done.stdout.decode()):
        printed = codec.decode(found[0].encode())
        if printed.get("kind") == _MARK:
            objects.append([])
        else:
            objects[-1].append(printed)
    if len(files) == 1:
        return [Reading(objects=objects[0], complaint=done.stderr.decode().strip())]
    complaints = {int(found[1]): line for line in done.stderr.decode().splitlines() if (found := _COMPLAINT.search(line))}
    # A mark for each file, and one list more than marks.
    assert len(objects) == len(files) + 1, done.stderr.decode()[-2000:]
    return [Reading(objects=read, complaint=complaints.get(number, "")) for number, read in enumerate(objects[:-1])]


def typed(value: Json) -> Json:
    """A value that equals another only if the API server would read the same from both: numbers past 64 bits are floats there,
    and Python takes 1 for True.
    """
    if is_object(value):
        return {name: typed(each) for name, each in value.items()}
    if is_array(value):
        return [typed(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        value = float(value)
    return type(value), value
