"""Reads a decrypted file beside the encrypted one of Git, which knows the lines and what was encrypted. For the child."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from msgspec import Struct

from guard.base.codec import is_object
from guard.base.errors import RenderError
from guard.render.encrypted import Format, holds_values, is_value, values_of
from guard.render.manifests import Fault, Found, Parsed, fault_of, item_at, line_at, objects_in
from guard.render.yaml import Document, documents
from guard.state.snapshot import File

_METADATA = "sops"
_ASSIGNED = re.compile(r"([^=\s][^=]*?)\s*=\s*(.*)")
# Of these there is only the text.
_BY_LINE: tuple[Format, ...] = ("dotenv", "ini")


class Opened(Struct, frozen=True):
    """A file as Git has it, and what sops makes of it."""

    file: File
    format: Format
    data: bytes


def parse(opened: Opened) -> Parsed:
    """The manifests of a decrypted file, in the lines that they have in Git; confidential where a value was encrypted.

    A fault says nothing of what the file holds but names of fields.
    """
    path = opened.file.path
    manifests: list[Found] = []
    faults: list[Fault] = []
    try:
        for before, after in _documents(opened):
            for found in _objects(before, after):
                if isinstance(found, Found):
                    manifests.append(found)
                else:
                    line, message, hint = found
                    faults.append(Fault(where=f"{path}:{line}", message=message, hint=hint))
    except RenderError as error:
        faults.append(Fault(where=error.where, message=error.message, hint=error.hint))
    return Parsed(manifests=manifests, faults=faults)


def secrets_of(opened: Opened) -> list[str]:
    """What the encrypted values of a file stand for, and all of it as a Secret's data has it. Raises RenderError where it cannot
    be read.
    """
    return [base64.b64encode(opened.data).decode(), *_values_in(opened)]


def _values_in(opened: Opened) -> list[str]:
    if opened.format == "binary":
        return [opened.data.decode(errors="replace")]
    if opened.format in _BY_LINE:
        before, after = (dict(_assigned(text)) for text in (opened.file.data, opened.data))
        # The line of a file counts, too: sops writes line ends of a value as `\n`.
        found = [value for key, value in after.items() if is_value(before.get(key, ""))]
        return [*found, *(value.replace("\\n", "\n") for value in found)]
    return [text for before, after in _documents(opened) for text in values_of(before.value, after.value)]


def _assigned(text: bytes) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.decode(errors="replace").split("\n"):
        if line.startswith("["):
            section = line
        elif found := _ASSIGNED.fullmatch(line):
            yield f"{section}{found[1]}", found[2]


def _documents(opened: Opened) -> list[tuple[Document, Document]]:
    """The documents of both that hold more than sops's metadata."""
    path = opened.file.path
    try:
        after = [document for document in documents(path, opened.data) if _holds_something(document)]
    except RenderError:
        # What is wrong with a text may quote it.
        raise RenderError("is no YAML that kubectl could read, once it is decrypted", where=path) from None
    before = [document for document in documents(path, opened.file.data) if _holds_something(document)]
    if len(before) != len(after):
        raise RenderError("holds other documents once it is decrypted", where=path, hint="encrypt it again with sops")
    return list(zip(before, after, strict=True))


def _holds_something(document: Document) -> bool:
    return not is_object(document.value) or bool(document.value.keys() - {_METADATA})


def _objects(before: Document, after: Document) -> Iterator[Found | tuple[int, str, str]]:
    """The objects of a document, or what is wrong with them."""
    for body, at in objects_in(after.value):
        line = line_at(before, at)
        if (fault := fault_of(body)) is not None:
            yield line, fault[0], fault[1]
        elif is_object(body):
            encrypted = {key: value for key, value in before.value.items() if key != _METADATA}
            for index in at:
                encrypted = item_at(encrypted, index)
            yield Found(body=body, line=line, confidential=holds_values(encrypted))
