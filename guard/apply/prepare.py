"""From what Git says to what Guard applies."""

from __future__ import annotations

import base64

from guard.base.codec import JsonObject, child, is_object
from guard.state.ids import SYNC_LABEL


def prepare(body: JsonObject, *, label: str) -> JsonObject:
    """The manifest as applied: our label on it, and nothing that an apply would trip over.

    A Secret's `stringData` becomes `data` (it never shows in managedFields, so its keys would be nobody's); empty label and
    annotation maps and null timestamps are dropped (an owned empty leaf is lost as soon as a controller annotates); status is
    the cluster's.
    """
    applied = _tidied({name: value for name, value in body.items() if name != "status"})
    metadata = {name: value for name, value in child(applied, "metadata").items() if name != "managedFields"}
    metadata["labels"] = {**child(metadata, "labels"), SYNC_LABEL: label}
    applied["metadata"] = metadata
    if body.get("kind") == "Secret" and body.get("apiVersion") == "v1" and is_object(body.get("stringData")):
        given = body["stringData"]
        # Null is empty to the API server, and what is no text stays for it to refuse: `None` or `True` is nobody's password.
        texts = {
            name: base64.b64encode((text or "").encode()).decode()
            for name, text in given.items()
            if text is None or isinstance(text, str)
        }
        applied["stringData"] = {name: value for name, value in given.items() if name not in texts}
        if not applied["stringData"]:
            del applied["stringData"]
        applied["data"] = {**child(body, "data"), **texts}
    if is_object(body.get("aggregationRule")):
        applied.pop("rules", None)
    return applied


# Where the metadata of templates stands below an object: pod templates, and the job template of a CronJob.
_TEMPLATES = ("spec", "template", "jobTemplate")


def _tidied(body: JsonObject) -> JsonObject:
    """The object, and the templates in it, without empty label and annotation maps and without nulls in metadata."""
    tidy = dict(body)
    if is_object(body.get("metadata")):
        tidy["metadata"] = {
            name: value
            for name, value in body["metadata"].items()
            if value is not None and not (name in {"annotations", "labels"} and not value)
        }
    for name in _TEMPLATES:
        if is_object(body.get(name)):
            tidy[name] = _tidied(body[name])
    return tidy
