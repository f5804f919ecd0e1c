"""What kustomize's error output means, in one line.

Its errors are long chains, which quote patches, literals of generators and whole configurations: values of Secrets among them. So
only what is known is told, and of that only parts that hold no content.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from guard.base.errors import RenderError
from guard.render.quoting import in_one_line, readable, without_quotes

MOST = 8 * 1024  # characters that are looked at: some of the patterns take the square of it

_PATH = r"[\w./@+,=~-]+"
_ID = r"[\w.\[\]~-]+/[\w.\[\]-]+"
_FIELD = r"[\w./\[\]=*~-]+"
_NETWORK = "wants something from the network"

# The last place that it went to, and where there is none, the folder that it was given.
_WENT_TO = re.compile(rf"(?:recursed accumulation of path|couldn't make target for path) '({_PATH})'")

# The first pattern that is found names the fault; `{0}` and on are what it found.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        rf"MalformedYAMLError: (?:yaml: )?(?P<words>.*?) in File: (?P<file>{_PATH})",
        "is no YAML that kustomize can read: {words}",
        "",
    ),
    (
        r"external plugins disabled; unable to load external plugin '(?P<kind>[\w.-]+)'",
        "{kind} would have to be run as a program, which Guard never does",
        "put what it makes into the repository",
    ),
    (
        r"must specify --enable-helm",
        "Guard does not run Helm from within Kustomize",
        "make the chart the path of a Sync of its own",
    ),
    (
        r"dial (?:tcp|udp)|socket: permission denied|no 'git' program on path|\"git\": executable file not found|git fetch",
        _NETWORK,
        "copy it into the repository, or set spec.kustomize.remoteBases: Allow",
    ),
    (
        rf"may not add resource with an already registered id: (?P<id>{_ID})",
        "{id} is there twice",
        "",
    ),
    (
        r"Kind:\"(?P<kind>\w*)\", isClusterScoped:\w+\}, Name:\"(?P<name>[\w.-]*)\"[^{}]*\} exists; can not use behavior",
        "{kind} {name} is generated, and is there already",
        "set the generator's behavior to merge or replace, or give it another name",
    ),
    (
        rf"no resource matches strategic merge patch \"(?P<id>{_ID})\"",
        "no object matches the patch for {id}",
        "",
    ),
    (rf"multiple matches for Id (?P<id>{_ID})", "more than one object matches {id}", ""),
    (rf"no matches for Id (?P<id>{_ID})", "no object matches {id}", ""),
    (
        rf"unable to parse SM or JSON patch from \[path: \"(?P<file>{_PATH})\"\]",
        "is neither a strategic merge patch nor a JSON patch",
        "",
    ),
    (r"unable to parse SM or JSON patch", "a patch is neither a strategic merge patch nor a JSON patch", ""),
    (r"builtin (?P<kind>PatchJson6902)Transformer with config", "a patch of patchesJson6902 cannot be read", ""),
    (
        r"builtin PatchStrategicMergeTransformer with config",
        "an entry of patchesStrategicMerge is neither a file nor a patch of an object",
        "",
    ),
    (
        rf"(?P<op>\w+) operation does not apply: doc is missing (?:key|path): \"?(?P<field>{_FIELD})",
        "a JSON patch wants to {op} {field}, which is not there",
        "",
    ),
    (rf"error in (?P<op>\w+) for path: '(?P<field>{_FIELD})'", "a JSON patch wants to {op} {field}, which is not there", ""),
    (
        r"wrong node kind: expected (?P<wanted>\w+) but got (?P<got>\w+)",
        "a patch has a {got} where the object has a {wanted}",
        "",
    ),
    (rf"testing value (?P<field>{_FIELD}) failed", "a JSON patch's test of {field} fails", ""),
    (
        rf"fieldPath `(?P<field>{_FIELD})` is missing for replacement source (?P<id>{_ID})",
        "a replacement takes {field} of {id}, which has none",
        "",
    ),
    (rf"unable to find field \"(?P<field>{_FIELD})\" in replacement target", "a replacement's target has no field {field}", ""),
    (rf"nothing selected by (?P<id>{_ID})", "a replacement's source {id} is not there", ""),
    (r"var '\{(?P<name>[\w-]+) ", "the var {name} stands for a field of an object that is not there", ""),
    (
        rf"accumulating resources from '(?P<file>{_PATH})': missing metadata\.name in object \{{\{{\S+ (?P<kind>\w+)\}}",
        "a {kind} has no metadata.name",
        "",
    ),
    (
        r"json: cannot unmarshal (?P<got>\w+) into Go struct field \w+\.(?P<field>[\w.]+) of type (?P<wanted>[\w.\[\]*]+)",
        "the field {field} is of the wrong type: {got}",
        "kustomize wants {wanted}",
    ),
    (r"invalid Kustomization: json: unknown field \"(?P<field>[\w.-]+)\"", "the field {field} is unknown", ""),
    (
        rf"cycle detected: candidate root '(?P<above>{_PATH})' contains visited root '(?P<below>{_PATH})'",
        "{above} is a base of {below}, which is part of it",
        "",
    ),
    (
        rf"expected kind (?P<wanted>'Component'|!= 'Component') for path '(?P<path>{_PATH})'",
        "{path} should be of kind {wanted}",
        "components are listed in components, others in resources",
    ),
    (
        rf"security; file '(?P<path>{_PATH})' is not in or below '(?P<root>{_PATH})'",
        "{path} is not at or below {root}",
        "kustomize reads files only at and below the kustomization's own folder",
    ),
    (
        r"invalid literal source .*, expected key=value",
        "a literal of a generator is not of the form key=value",
        "",
    ),
    (rf"lstat (?P<path>{_PATH}): no such file or directory", "{path} is not in the repository", ""),
    (rf"open (?P<path>{_PATH}): no such file or directory", "{path} is not in the repository", ""),
    (r"kustomization.yaml is empty", "the kustomization is empty", ""),
    (r"(?P<words>(?:apiVersion for \w+|kind) should be [\w ./]+)", "{words}", ""),
    (r"is neither|must resolve to a file", "something is referred to that is neither a file nor a base", ""),
)

_SHOWN: dict[str, Callable[[str], str]] = {"id": readable, "words": without_quotes}


def failure(told: bytes, *, root: Path, folder: str, file: str) -> RenderError:
    """The error for kustomize's stderr, when it was given `folder` below `root`, whose kustomization is `file`."""
    text = told[-MOST:].decode(errors="replace").replace(f"{root}/", "").replace(str(root), ".")
    # Chains of components are quoted once more with each step.
    text = re.sub(r"\\+(?=[\"'`])", "", text)
    last = [found[1] for found in _WENT_TO.finditer(text)]
    place = posixpath.normpath(last[-1]) if last else folder
    hint = f"`kustomize build {folder or '.'}` in the repository says more"
    for pattern, message, advice in _KNOWN:
        found = re.search(pattern, text)
        if found:
            parts = {name: _SHOWN.get(name, in_one_line)(part) for name, part in found.groupdict().items() if part is not None}
            inner = parts.get("file", "")
            where = posixpath.normpath(posixpath.join(place, inner)) if inner else file if place == folder else place
            return RenderError(message.format(**parts), where=where, hint=advice.format(**parts) or hint)
    return RenderError("kustomize cannot build it", where=file, hint=hint)
