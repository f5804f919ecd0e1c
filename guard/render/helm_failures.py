"""What Helm's error output means, in one line.

It quotes values, and what templates make of them: values of Secrets among them. So only what is known is told, of that only parts
that hold no content, and from what a chart's author has it say in `fail` and `required` all values are taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from guard.base.errors import RenderError
from guard.render.quoting import in_one_line, without, without_quotes

MOST = 8 * 1024  # characters that are looked at: some of the patterns take the square of it

_TEMPLATE = r"(?P<template>[\w./@+,=~-]+)"
_AT = rf"{_TEMPLATE}:(?P<line>\d+)(?::\d+)?"
_DEBUG = "Use --debug flag"

# Where it went wrong: in steps from the outer template to the inner, or in one line.
_STEP = re.compile(rf"(?:^|template: ){_AT}:?\s+executing \"[^\"\n]*\" at <(?P<expression>[^\n]*?)>:", re.MULTILINE)
_PLAIN = re.compile(r"[$.\w]+")

# What Go's templates say without quoting what they were given; the first that is found.
_REASONS = tuple(
    re.compile(pattern)
    for pattern in (
        r"nil pointer evaluating [\w{} .*]+\.[\w-]+",
        r"can't evaluate field [\w-]+ in type [\w.*{}\[\] ]+",
        r"map has no entry for key \"[\w.-]+\"",
        r"no template \"[\w./-]+\" associated with template \"[\w./-]+\"",
        r"rendering template has a nested reference name: [\w./-]+",
        r"wrong type for value; expected [\w.*{}\[\] ]+; got [\w.*{}\[\] ]+",
        r"invalid value; expected [\w.*{}\[\] ]+",
        r"range can't iterate over",
        r"can't give argument to non-function",
        r"incompatible types for comparison",
        r"exceeded maximum template depth",
        r"wrong number of args for \w+: want [\w ]+ got \d+",
        r"error calling \w+",
    )
)

_ARCHIVE = (
    r"(?P<words>chart illegally (?:contains absolute paths|references parent directory|contains content outside)"
    r"|chart contains illegally named files|chart yaml not in base directory"
    r"|(?:decompressed chart is larger than the maximum size|chart exceeds maximum decompressed size of) \d+"
    r"|decompressed chart file \S+ is larger than the maximum file size \d+|no files in chart archive"
    r"|gzip: invalid header|unexpected EOF|archive/tar: invalid tar header)"
)

_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"missing in charts/ directory: (?P<names>[\w., -]+)",
        "the chart's dependencies are missing: {names}",
        "run `helm dependency build` and commit charts/",
    ),
    (
        r"chart requires kubeVersion: (?P<wanted>[\w.<>=~^|, *-]+) which is incompatible with Kubernetes (?P<got>\S+)",
        "the chart is for Kubernetes {wanted}, the cluster is {got}",
        "",
    ),
    (r"library charts are not installable", "is a library, which makes no objects", "use a chart that depends on it"),
    (
        rf"YAML parse error on {_TEMPLATE}: error converting YAML to JSON: yaml: (?:line \d+: )?(?P<words>[^\n]*)",
        "what the template makes is no YAML: {words}",
        "",
    ),
    (
        rf"YAML parse error on {_TEMPLATE}: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal (?P<got>\w+)",
        "what the template makes is no object: {got}",
        "",
    ),
    (rf"YAML parse error on {_TEMPLATE}", "what the template makes is no YAML", ""),
    (
        rf"parse error at \({_AT}\): (?:function \"(?P<function>\w+)\" not defined)",
        "the template calls {function}, which Helm does not have",
        "",
    ),
    (rf"parse error at \({_AT}\): (?P<words>[^\n]*)", "the template cannot be read: {words}", ""),
    (
        r"failed to parse (?P<file>[\w./-]+): .*?yaml: line (?P<line>\d+): (?P<words>[^\n]*)",
        "is no YAML: {words}",
        "",
    ),
    (r"failed to parse (?P<file>[\w./-]+): ", "is no file of values", "values are fields of one object"),
    (
        r"cannot load (?P<chartfile>[\w.]+): .*?(?:yaml: line (?P<line>\d+): )(?P<words>[^\n]*)",
        "{chartfile} is no YAML: {words}",
        "",
    ),
    (r"cannot load (?P<chartfile>[\w.]+): ", "{chartfile} is not what Helm wants there", ""),
    (
        r"chart\.metadata\.(?P<field>\w+) (?P<words>is required|\"[^\"\n]*\" is (?:invalid|not allowed))",
        "the chart's {field} {words}",
        "",
    ),
    (
        _ARCHIVE,
        "an archive in charts/ is refused: {words}",
        "pack it anew with `helm dependency build`",
    ),
    (
        r"unable to detect chart|Chart\.yaml file is missing|unsupported chart version",
        "Chart.yaml is not what Helm wants there",
        "",
    ),
)

_SCHEMA = re.compile(r"values don't meet the specifications of the schema")
_FIELD = re.compile(r"^- at '(?P<field>[\w./~-]*)':", re.MULTILINE)
_MOST_FIELDS = 5


def failure(
    told: bytes,
    *,
    root: Path,
    names: Mapping[str, str],
    place: Callable[[str], str],
    values: Collection[str] | None,
    hint: str,
) -> RenderError:
    """The error for Helm's stderr. `names` are the repository's of files below `root`, `place` knows the file of a template by
    Helm's name for it, `values` are what is not told (None: they are not known), and `hint` is for failures without one of their
    own.
    """
    text = told[-MOST:].decode(errors="replace").replace(f"{root}/", "").partition(_DEBUG)[0]
    # Warnings stand before it.
    text = text[found.end() :] if (found := re.search(r"^Error: ", text, re.MULTILINE)) else text
    chart = place("")
    # What an author says is said in his words.
    if found := re.search(rf"execution error at \({_AT}\): (?P<words>.*)", text, re.DOTALL):
        where = f"{place(found['template'])}:{found['line']}"
        if values is None:
            return RenderError("the template has it fail, and may quote values in what it says of that", where=where, hint=hint)
        return RenderError(without(found["words"], values), where=where)
    if _SCHEMA.search(text) and "failing loading" in text:
        hint = "a schema may refer only to what is in it"
        return RenderError("the chart's schema refers to something elsewhere", where=chart, hint=hint)
    if _SCHEMA.search(text):
        fields = sorted({found["field"] or "/" for found in _FIELD.finditer(text)})[:_MOST_FIELDS]
        at = f" at {', '.join(fields)}" if fields else ""
        return RenderError(f"the values do not fit the chart's schema{at}", where=chart, hint=hint)
    if steps := list(_STEP.finditer(text)):
        return _template_error(text, steps, place=place, hint=hint)
    for pattern, message, advice in _KNOWN:
        if found := re.search(pattern, text, re.DOTALL if "failed to parse" in pattern else 0):
            parts = {name: part for name, part in found.groupdict().items() if part is not None}
            shown = {name: without_quotes(part) if name == "words" else in_one_line(part) for name, part in parts.items()}
            where = place(parts["template"]) if "template" in parts else names.get(parts.get("file", ""), chart)
            if "line" in parts and "chartfile" not in parts:
                where = f"{where}:{parts['line']}"
            return RenderError(message.format(**shown), where=where, hint=advice or hint)
    return RenderError("helm cannot render it", where=chart, hint=hint)


def _template_error(text: str, steps: list[re.Match[str]], *, place: Callable[[str], str], hint: str) -> RenderError:
    last = steps[-1]
    rest = text[last.end() :]
    reason = next((found[0] for pattern in _REASONS if (found := pattern.search(rest))), "it fails")
    expression = f" at {last['expression']}" if _PLAIN.fullmatch(last["expression"]) else ""
    return RenderError(
        in_one_line(f"the template cannot be rendered{expression}: {reason}"),
        where=f"{place(last['template'])}:{last['line']}",
        hint=hint,
    )
