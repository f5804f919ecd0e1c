"""The file of Syncs that `guard run --config` takes."""

from __future__ import annotations

from pathlib import Path

import yaml
from msgspec import Struct

from guard.api.sync import Sync, parse_sync
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.base.errors import ConfigError


class ConfiguredSync(Struct, frozen=True):
    """A Sync of a file: typed, and as the file has it, to be applied (without status, always with a namespace)."""

    sync: Sync
    manifest: JsonObject
    where: str


def load_config(*paths: Path) -> list[ConfiguredSync]:
    """Every Sync document of the files, in order.

    Raises ConfigError naming file and line: for a file that cannot be read or is no YAML, one without documents, a
    document that is no good Sync, and a Sync that is there twice.
    """
    found: dict[str, ConfiguredSync] = {}
    for path in paths:
        for configured in _load(path):
            other = found.setdefault(configured.sync.key, configured)
            if other is not configured:
                raise ConfigError(f"Sync {configured.sync.key} is already defined at {other.where}", where=configured.where)
    return list(found.values())


def _load(path: Path) -> list[ConfiguredSync]:
    documents = [document for document in _documents(path) if document[1] is not None]
    if not documents:
        raise ConfigError("holds no document", where=str(path), hint="write at least one Sync into it")
    return [_configured(body, where=f"{path}:{line}") for line, body in documents]


def _configured(body: Json, *, where: str) -> ConfiguredSync:
    if not codec.is_object(body):
        raise ConfigError("expected a Sync, not a list or a single value", where=where)
    sync = parse_sync(body, where=where)
    if sync.key in sync.dependencies:
        raise ConfigError("dependsOn names the Sync itself", where=where)
    manifest = {key: value for key, value in body.items() if key != "status"}
    manifest["metadata"] = {**codec.child(body, "metadata"), "namespace": sync.metadata.namespace}
    return ConfiguredSync(sync=sync, manifest=manifest, where=where)


def _documents(path: Path) -> list[tuple[int, Json]]:
    """Each document with the line that it begins in."""
    try:
        text = path.read_text(encoding="utf-8")
        return list(zip(_first_lines(text), yaml.safe_load_all(text), strict=True))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not a text file in UTF-8", where=str(path)) from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"is no valid YAML: {error.problem}", where=f"{path}{line}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise ConfigError(f"is no valid YAML: {error}", where=str(path)) from error


def _first_lines(text: str) -> list[int]:
    loader = yaml.SafeLoader(text)
    lines: list[int] = []
    while loader.check_node():
        node = loader.get_node()
        lines.append(node.start_mark.line + 1 if node else 1)
    return lines
