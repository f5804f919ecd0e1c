"""What Guard counts, in a registry of its own, so that one process can hold several."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

# Seconds. From half a millisecond, about what a decision costs, to the API server's time-out of 3 s.
ADMISSION_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0)
# From one watch event and one apply, about 10 ms, to what a backed-off fight takes.
HEAL_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Metrics:
    """Label values come from closed sets (paths that are served, reason codes, Syncs), never from a request's own text, or
    a caller could grow the registry without bound.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        registry = self._registry
        self._requests = Counter(
            "guard_admission_requests", "Admission reviews answered.", ("path", "decision"), registry=registry
        )
        # Bound once per pair: looking labels up takes a lock and builds a tuple of texts each time.
        self._bound: dict[tuple[str, str], Counter] = {}
        self._duration = Histogram(
            "guard_admission_duration_seconds",
            "Time from a review read to its answer.",
            buckets=ADMISSION_BUCKETS,
            registry=registry,
        )
        self._undecoded = Counter(
            "guard_admission_undecoded", "Reviews answered without decoding the objects in them.", registry=registry
        )
        self._rejected = Counter(
            "guard_admission_rejected", "Requests and connections that got no review back.", ("reason",), registry=registry
        )
        self._heals = Counter("guard_heals", "Repairs of declared objects.", ("cause", "result"), registry=registry)
        self._heal_duration = Histogram(
            "guard_heal_duration_seconds", "Time from noticing a drift to its repair.", buckets=HEAL_BUCKETS, registry=registry
        )
        self._fights = Gauge("guard_fights", "Objects that keep being changed back.", ("sync",), registry=registry)
        self._syncs = Counter("guard_syncs", "Attempts to apply a revision.", ("sync", "result"), registry=registry)
        self._pushes = Counter("guard_pushes", "Requests to the push receiver.", ("result",), registry=registry)
        self._declared = Gauge("guard_declared_objects", "Objects that Git declares.", ("sync",), registry=registry)
        self._break_glass = Gauge("guard_break_glass_active", "BreakGlass objects in force.", registry=registry)
        self._journal_failures = Counter(
            "guard_journal_write_failures", "Records that could not be written to the journal.", registry=registry
        )
        self._api_requests = Counter("guard_api_requests", "Requests to the API server.", ("verb", "code"), registry=registry)
        self._certificate_expiry = Gauge(
            "guard_certificate_expiry_timestamp_seconds", "When the serving certificate expires, in Unix time.", registry=registry
        )

    def admission(self, *, path: str, decision: str, seconds: float) -> None:
        bound = self._bound.get((path, decision))
        if bound is None:
            bound = self._bound[path, decision] = self._requests.labels(path, decision)
        bound.inc()
        self._duration.observe(seconds)

    def undecoded(self) -> None:
        self._undecoded.inc()

    def admission_rejected(self, *, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def healed(self, *, cause: str, result: str, seconds: float) -> None:
        self._heals.labels(cause, result).inc()
        self._heal_duration.observe(seconds)

    def synced(self, *, sync: str, result: str) -> None:
        self._syncs.labels(sync, result).inc()

    def pushed(self, result: str) -> None:
        self._pushes.labels(result).inc()

    def declared(self, *, sync: str, objects: int) -> None:
        self._declared.labels(sync).set(objects)

    def fights(self, *, sync: str, objects: int) -> None:
        self._fights.labels(sync).set(objects)

    def forget_sync(self, sync: str) -> None:
        """The Sync is gone, and with it the objects it declared; what it did stays counted."""
        for gauge in (self._declared, self._fights):
            gauge.remove_by_labels({"sync": sync})

    def break_glass(self, active: int) -> None:
        self._break_glass.set(active)

    def journal_failed(self) -> None:
        self._journal_failures.inc()

    def api_request(self, *, verb: str, code: str) -> None:
        """`code` is the HTTP status, or `error` where no answer came."""
        self._api_requests.labels(verb, code).inc()

    def certificate_expires(self, moment: datetime) -> None:
        self._certificate_expiry.set(moment.timestamp())

    def render(self) -> tuple[bytes, str]:
        """The metrics as Prometheus reads them, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
