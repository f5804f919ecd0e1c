"""What is wrong with a resource, in the words of its user."""

from __future__ import annotations

import re

import msgspec.inspect as inspecting

PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
NAMED = re.compile(r"Object (?P<problem>contains unknown|missing required) field `(?P<field>[^`]*)`")
CHOICE = re.compile(r"Invalid enum value (?P<value>.+)")


def explained(problem: str, kind: type) -> str:
    """Msgspec's text for a value that is no `kind`, with the field's path first and what is allowed there."""
    found = PLACE.fullmatch(problem)
    what, path = (found["what"], found["path"] or "") if found else (problem, "")
    if named := NAMED.fullmatch(what):
        field = f"{path}.{named['field']}".lstrip(".")
        if named["problem"].startswith("missing"):
            return f"{field} is missing"
        return f"{field} is not known; allowed: {', '.join(_allowed(kind, path))}"
    if choice := CHOICE.fullmatch(what):
        return f"{path}: {choice['value']} is not one of {', '.join(_allowed(kind, path))}"
    text = what[:1].lower() + what[1:]
    return f"{path}: {text}" if path else text


def _allowed(kind: type, path: str) -> list[str]:
    """The fields of the object at `path`, or the values of the choice there."""
    current = _plain(inspecting.type_info(kind))
    for step in filter(None, re.split(r"\.|\[[^\]]*\]", path)):
        fields = current.fields if isinstance(current, inspecting.StructType) else ()
        current = next((_plain(field.type) for field in fields if field.encode_name == step), inspecting.AnyType())
        if isinstance(current, inspecting.VarTupleType):
            current = _plain(current.item_type)
    match current:
        case inspecting.StructType(fields=fields):
            return [field.encode_name for field in fields]
        case inspecting.LiteralType(values=values):
            return [str(value) for value in values]
        case _:
            return []


def _plain(kind: inspecting.Type) -> inspecting.Type:
    """Without annotations and without the null that makes a field optional."""
    if isinstance(kind, inspecting.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspecting.UnionType):
        return next(_plain(member) for member in kind.types if not isinstance(member, inspecting.NoneType))
    return kind
