"""Guard's decision without a cluster: a folder of desired state, and reviews or manifests held against it (`guard check`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from guard.admission import Case, Decision, decide, message, review
from guard.admission.review import GroupVersionKind, GroupVersionResource, Operation, Request, Review, UserInfo
from guard.apply import prepare
from guard.base import codec
from guard.base.codec import DecodeError, JsonObject, child, is_object
from guard.base.errors import ConfigError, RenderError
from guard.cluster.builtin import built_in
from guard.inspect.applying import applied, emptied, field_tree
from guard.inspect.desired import LABEL, SYNC, Desired, load
from guard.inspect.kinds import OfflineKinds
from guard.render.decrypt import NO_KEYS
from guard.render.keys import read as read_keys
from guard.render.manifests import Fault, parse
from guard.render.yaml import documents
from guard.state.desired import Declared, View
from guard.state.ids import FIELD_MANAGER, SYNC_LABEL, Kind, Manifest, ObjectKey, Origin
from guard.state.policy import Enforcement, Mode, Policy
from guard.state.requesters import Requester

FAILURE = "Failure"  # the reason of what could not be judged; the webhook counts it under this name
KUBECTL = "kubectl-client-side-apply"  # the field manager of `kubectl apply`


class CheckedField(msgspec.Struct, frozen=True):
    """A field that may not be changed so. `line` is where Git has it, or the nearest thing around it, in the object's file."""

    path: str
    git: str
    asked: str
    line: int


class Verdict(msgspec.Struct, frozen=True, rename="camel"):
    """What Guard says of one request, or of one manifest as `kubectl apply` would send it.

    `where` is the place of what was asked, `origin` that of the declared object (both `file:line`, empty where there is none).
    """

    where: str
    operation: str
    kind: str
    namespace: str
    name: str
    verdict: str
    reason: str
    message: str = ""
    origin: str = ""
    fields: tuple[CheckedField, ...] = ()

    @property
    def is_refused(self) -> bool:
        return self.verdict == "deny"


class Checked(msgspec.Struct, frozen=True):
    """`objects` is how many the folder declares, `faults` what keeps it from being a revision; then nothing else was checked."""

    objects: int
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Question(msgspec.Struct, frozen=True):
    """What to check: AdmissionReviews, or manifests. `namespace` is that of manifests that name none."""

    reviews: tuple[tuple[str, Review], ...] = ()
    manifests: tuple[Manifest, ...] = ()
    namespace: str = "default"


def question(name: str, data: bytes, *, namespace: str = "default") -> Question:
    """What a file asks. Raises ConfigError or RenderError, with the place, for what is neither."""
    # The API server's own JSON takes no YAML parser, which needs 0.2 ms per KB.
    try:
        bodies = [(name, codec.decode(data))]
    except DecodeError:
        bodies = [(f"{name}:{document.line}", document.value) for document in documents(name, data)]
    reviews = [(where, body) for where, body in bodies if is_object(body) and body.get("kind") == "AdmissionReview"]
    if not reviews:
        parsed = parse(name, data)
        if parsed.faults:
            fault = parsed.faults[0]
            raise RenderError(fault.message, where=fault.where, hint=fault.hint)
        if not parsed.manifests:
            raise ConfigError("holds neither an AdmissionReview nor a manifest", where=name)
        manifests = tuple(Manifest(body=found.body, origin=Origin(file=name, line=found.line)) for found in parsed.manifests)
        return Question(manifests=manifests, namespace=namespace)
    if len(reviews) < len(bodies):
        raise ConfigError("holds AdmissionReviews and other things", where=name, hint="check them one after another")
    return Question(reviews=tuple((where, _review(where, body)) for where, body in reviews))


def _review(where: str, body: JsonObject) -> Review:
    try:
        return review.parse(codec.encode(body))
    except DecodeError as error:
        raise ConfigError(f"is no AdmissionReview that Guard reads: {error}", where=where) from error


def policy(*, mode: Mode = "Deny", additions: Literal["Deny", "Allow"] = "Deny") -> Policy:
    """The enforcement to judge by; without options the strictest."""
    return Policy(syncs={SYNC: Enforcement(mode=mode, additions=additions)})


async def check(directory: Path, asked: Question, *, policy: Policy, now: datetime, keys: Path | None = None) -> Checked:
    """Check a folder, and what is asked of it; `keys` is a folder of private keys that open what SOPS has encrypted in it. Raises
    ConfigError where a folder cannot be read, RenderError for what is no key.
    """
    opened = read_keys(_files(keys), place=keys.as_posix()) if keys is not None else None
    loaded = await load(directory, known=_kinds_of(asked.reviews), keys=opened)
    if loaded.desired is None:
        return Checked(objects=0, faults=tuple(map(_offline, loaded.faults)), warnings=loaded.warnings)
    kinds = OfflineKinds(asked.manifests, known=loaded.desired.kinds())
    judge = _Judge(loaded.desired, kinds=kinds, policy=policy, now=now)
    verdicts = [judge.review(where, found) for where, found in asked.reviews]
    verdicts += [judge.manifest(manifest, namespace=asked.namespace) for manifest in asked.manifests]
    objects = len(loaded.desired.view(LABEL).state)
    return Checked(objects=objects, warnings=(*loaded.warnings, *kinds.warnings), verdicts=tuple(verdicts))


def _offline(fault: Fault) -> Fault:
    """There is no Sync here that could name a Secret."""
    if fault.hint != NO_KEYS:
        return fault
    return msgspec.structs.replace(fault, hint="give its private key in a folder by --decryption-keys")


def _files(folder: Path) -> dict[str, bytes]:
    """As a Secret made of the folder has them."""
    try:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(error.filename or folder)) from error


class _Judge:
    def __init__(self, desired: Desired, *, kinds: OfflineKinds, policy: Policy, now: datetime) -> None:
        self._desired = desired
        self._kinds = kinds
        self._policy = policy
        self._now = now

    def review(self, where: str, asked: Review) -> Verdict:
        try:
            return self._review(where, asked)
        except Exception as error:  # noqa: BLE001 (as the webhook: whatever fails inside, the answer is no, and says so)
            return self._failed(where, asked.request, error)

    def _review(self, where: str, asked: Review) -> Verdict:
        both = (asked.request.old_sections, asked.request.new_sections)
        label = next((found for sections in both if (found := sections.labels.get(SYNC_LABEL))), LABEL)
        return self._verdict(where, asked, self._desired.view(label))

    def manifest(self, manifest: Manifest, *, namespace: str) -> Verdict:
        """As a person's `kubectl apply`."""
        body, where = manifest.body, str(manifest.origin)
        metadata = child(body, "metadata")
        kind = self._kinds.taken(str(body["apiVersion"]), str(body["kind"]))
        within = str(metadata.get("namespace") or namespace) if kind.namespaced else ""
        key = ObjectKey(group=kind.group, kind=kind.kind, namespace=within, name=str(metadata["name"]))
        creation = _request(key, kind, operation="CREATE", new=body)
        try:
            label = str(child(metadata, "labels").get(SYNC_LABEL) or LABEL)
            view = self._desired.view(label)
            declared = view.state.get(key)
            asked = creation if declared is None else self._update(declared, body, kind=kind, label=label, view=view)
            return self._verdict(where, asked, view)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._failed(where, creation.request, error)

    def _update(self, declared: Declared, body: JsonObject, *, kind: Kind, label: str, view: View) -> Review:
        """An apply of `body` to the object as Git has it, both as they are stored, as far as that can be told."""
        builtin = bool(built_in().versions(kind.group, kind.kind))
        git = view.git(declared)
        prepared = prepare(body, label=label)
        given = emptied(view.git(msgspec.structs.replace(declared, body=prepared)), prepared)
        new = applied(git, given, builtin=builtin)
        entry = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": declared.kind.api_version}
        ours = {**entry, "fieldsV1": field_tree(git, builtin=builtin)}
        theirs = {**entry, "manager": KUBECTL, "operation": "Update", "fieldsV1": field_tree(given, builtin=builtin)}
        return _request(declared.key, kind, operation="UPDATE", old=_managed(git, [ours]), new=_managed(new, [ours, theirs]))

    def _failed(self, where: str, request: Request, error: Exception) -> Verdict:
        """The control plane is never refused, whatever fails."""
        requester = self._policy.requester(request.user_info.username)
        free = requester in {Requester.SYNC, Requester.CONTROL_PLANE}
        said = "passes" if free else "is refused"
        # As the webhook has it: the text of other errors may hold a value.
        what = f"{type(error).__name__}: {error}" if isinstance(error, DecodeError) else type(error).__name__
        return Verdict(
            where=where,
            operation=request.operation,
            kind=request.kind.kind,
            namespace=request.object_namespace,
            name=request.name,
            verdict="allow" if free else "deny",
            reason=FAILURE,
            message=f"Guard could not judge this change, so it {said} ({what}).",
        )

    def _verdict(self, where: str, asked: Review, view: View) -> Verdict:
        decision = decide(review=asked, view=view, policy=self._policy, now=self._now)
        case = Case(asked.request, view=view, policy=self._policy, now=self._now)
        return Verdict(
            where=where,
            operation=asked.request.operation,
            kind=case.key.kind,
            namespace=case.key.namespace,
            name=case.key.name,
            verdict=decision.verdict,
            reason=decision.reason,
            message=_said(case, decision),
            origin=str(decision.declared.origin) if decision.declared else "",
            fields=self._fields(case, decision),
        )

    def _fields(self, case: Case, decision: Decision) -> tuple[CheckedField, ...]:
        shown = message.field_changes(case, decision)
        paths = tuple(change.path for change in decision.changes[: len(shown)])
        lines = self._desired.lines(decision.declared, paths) if decision.declared else (0,) * len(shown)
        return tuple(
            CheckedField(path=field.path, git=field.git, asked=field.asked, line=line)
            for field, line in zip(shown, lines, strict=True)
        )


def _said(case: Case, decision: Decision) -> str:
    if decision.reason == "OtherVersion" and decision.declared is not None:
        return f"Git declares it in {decision.declared.kind.api_version}; what another version says is not compared offline."
    return "" if decision.verdict == "allow" else message.headline(case, decision)


def _managed(body: JsonObject, entries: list[JsonObject]) -> JsonObject:
    return {**body, "metadata": {**child(body, "metadata"), "managedFields": entries}}


def _request(key: ObjectKey, kind: Kind, *, operation: Operation, new: JsonObject, old: JsonObject | None = None) -> Review:
    request = Request(
        uid="",
        kind=GroupVersionKind(group=kind.group, version=kind.version, kind=kind.kind),
        resource=GroupVersionResource(group=kind.group, version=kind.version, resource=kind.resource),
        operation=operation,
        user_info=UserInfo(username="a person"),
        name=key.name,
        namespace=key.namespace,
        object=_top(new),
        old_object=_top(old),
        options=msgspec.Raw(codec.encode({"fieldManager": KUBECTL})),
    )
    return Review(request=request)


def _top(body: JsonObject | None) -> dict[str, msgspec.Raw] | None:
    return None if body is None else {name: msgspec.Raw(codec.encode(value)) for name, value in body.items()}


def _kinds_of(reviews: Iterable[tuple[str, Review]]) -> Iterator[Kind]:
    """What reviews tell of their kinds. Those of subresources may carry another kind than their object's."""
    for _, found in reviews:
        request = found.request
        if not request.sub_resource:
            kind, resource = request.kind, request.resource
            namespaced = bool(request.object_namespace)
            yield Kind(kind.group, kind.version, kind.kind, resource.resource, namespaced)
