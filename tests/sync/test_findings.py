"""What is known of the health of objects, by moments that the test gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guard.api import HealthCounts
from guard.state import Declared
from guard.state.health import HEALTHY, Health
from guard.sync.findings import Findings
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, declared_as, object_of

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMEOUT = 60.0
PROGRESSING = Health("progressing", "1 of 3 replicas are available")
FAILED = Health("unhealthy", "the progress deadline is exceeded")


def deployment(name: str, *, replicas: int = 3) -> Declared:
    return declared_as(DEPLOYMENT, object_of(DEPLOYMENT, name=name, spec={"replicas": replicas}))


WEB, API, JOBS = deployment("web"), deployment("api"), deployment("jobs")


@pytest.fixture
def findings() -> Findings:
    """Three deployments, which have been applied at moment 0."""
    found = Findings()
    found.begin(0.0)
    found.declare([WEB, API, JOBS, declared_as(CONFIG_MAP, object_of(CONFIG_MAP))], [])
    assert set(found.release()) == {WEB.key, API.key, JOBS.key}
    return found


def find(findings: Findings, declared: Declared, health: Health, *, now: float = 1.0) -> None:
    findings.found(declared.key, health, look=findings.look(), now=now, at=START + timedelta(seconds=now))


def reason(findings: Findings, now: float = 1.0) -> str:
    return findings.report(now=now, timeout=TIMEOUT).reason


def test_what_was_not_looked_at_yet_is_progressing(findings: Findings) -> None:
    find(findings, WEB, HEALTHY)
    report = findings.report(now=1.0, timeout=TIMEOUT)
    assert (report.reason, report.counts) == ("Progressing", HealthCounts(healthy=1, progressing=2))
    assert report.message == "2 of 3 objects not healthy"
    assert not findings.is_known


def test_all_healthy_is_healthy(findings: Findings) -> None:
    for declared in (WEB, API, JOBS):
        find(findings, declared, HEALTHY)
    report = findings.report(now=1.0, timeout=TIMEOUT)
    assert (report.reason, report.message, report.counts) == ("Healthy", "3 objects healthy", HealthCounts(healthy=3))
    assert findings.is_known


def test_faults_are_named_those_that_failed_first_then_those_that_are_ill_for_longest(findings: Findings) -> None:
    find(findings, WEB, PROGRESSING, now=2.0)
    find(findings, API, PROGRESSING, now=1.0)
    find(findings, JOBS, FAILED, now=3.0)
    report = findings.report(now=3.0, timeout=TIMEOUT)
    assert (report.reason, report.counts) == ("Unhealthy", HealthCounts(progressing=2, unhealthy=1))
    assert report.message == (
        "3 of 3 objects not healthy"
        "; Deployment shop/jobs: the progress deadline is exceeded (unhealthy since 2026-01-02T03:04:08Z)"
        "; Deployment shop/api: 1 of 3 replicas are available (progressing since 2026-01-02T03:04:06Z)"
        "; Deployment shop/web: 1 of 3 replicas are available (progressing since 2026-01-02T03:04:07Z)"
    )


def test_an_object_has_the_timeout_from_the_moment_that_it_fell_ill(findings: Findings) -> None:
    for declared in (WEB, API, JOBS):
        find(findings, declared, HEALTHY)
    find(findings, WEB, PROGRESSING, now=100.0)
    assert findings.next_late(now=110.0, timeout=TIMEOUT) == 50.0
    assert (reason(findings, 159.0), reason(findings, 160.0)) == ("Progressing", "TimedOut")
    assert "not healthy within the timeout; Deployment shop/web" in findings.report(now=160.0, timeout=TIMEOUT).message
    find(findings, WEB, PROGRESSING, now=161.0)
    assert reason(findings, 161.0) == "TimedOut"
    # Another revision: the time starts over.
    findings.begin(170.0)
    assert (reason(findings, 171.0), reason(findings, 230.0)) == ("Progressing", "TimedOut")
    find(findings, WEB, HEALTHY, now=240.0)
    assert reason(findings, 240.0) == "Healthy"


def test_what_nobody_could_look_at_is_never_late(findings: Findings) -> None:
    assert reason(findings, 10_000.0) == "Progressing"


def test_a_look_that_began_before_the_manifest_was_applied_says_nothing(findings: Findings) -> None:
    for declared in (WEB, API, JOBS):
        find(findings, declared, HEALTHY)
    changed = deployment("web", replicas=5)
    early = findings.look()
    findings.declare([changed], [])
    findings.found(WEB.key, HEALTHY, look=early, now=2.0, at=START)
    assert reason(findings) == "Progressing"
    assert findings.release([WEB.key, API.key]) == [WEB.key]
    findings.found(WEB.key, HEALTHY, look=early, now=2.0, at=START)
    assert reason(findings) == "Progressing"
    find(findings, changed, HEALTHY)
    assert reason(findings) == "Healthy"


def test_only_what_changed_is_looked_at_again(findings: Findings) -> None:
    for declared in (WEB, API, JOBS):
        find(findings, declared, HEALTHY)
    findings.declare([WEB], [API.key])
    assert findings.release() == []
    report = findings.report(now=1.0, timeout=TIMEOUT)
    assert (report.reason, report.counts) == ("Healthy", HealthCounts(healthy=2))
    assert findings.of_kind[DEPLOYMENT] == 2


def test_what_can_no_longer_be_unhealthy_counts_no_more() -> None:
    service = DEPLOYMENT.__class__(group="", version="v1", kind="Service", resource="services", namespaced=True)
    findings = Findings()
    findings.declare([declared_as(service, object_of(service, spec={"type": "LoadBalancer"}))], [])
    assert findings.report(now=0.0, timeout=TIMEOUT).reason == "Progressing"
    findings.declare([declared_as(service, object_of(service, spec={"type": "ClusterIP"}))], [])
    report = findings.report(now=0.0, timeout=TIMEOUT)
    assert (report.reason, report.message) == ("Healthy", "nothing is declared that could be unhealthy")
