from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guard.telemetry import Metrics


def values(metrics: Metrics) -> dict[str, float]:
    """The samples as `name{label=value,...}`."""
    content, _ = metrics.render()
    return {
        f"{sample.name}{{{','.join(f'{key}={value}' for key, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_admissions_are_counted_by_path_and_decision_and_timed(metrics: Metrics) -> None:
    for _ in range(2):
        metrics.admission(path="/people", decision="denied", seconds=0.0004)
    metrics.admission(path="/people", decision="allowed", seconds=0.004)
    found = values(metrics)
    assert found["guard_admission_requests_total{decision=denied,path=/people}"] == 2
    assert found["guard_admission_requests_total{decision=allowed,path=/people}"] == 1
    assert found["guard_admission_duration_seconds_bucket{le=0.0005}"] == 2
    assert found["guard_admission_duration_seconds_bucket{le=0.005}"] == 3
    assert found["guard_admission_duration_seconds_count{}"] == 3


def test_everything_else_is_counted_under_its_name(metrics: Metrics) -> None:
    metrics.undecoded()
    metrics.healed(cause="edited", result="healed", seconds=0.02)
    metrics.synced(sync="guard-system/apps", result="applied")
    metrics.pushed("refused")
    metrics.declared(sync="guard-system/apps", objects=7)
    metrics.journal_failed()
    metrics.api_request(verb="patch", code="200")
    metrics.certificate_expires(datetime(2027, 1, 1, tzinfo=UTC))
    found = values(metrics)
    assert found["guard_admission_undecoded_total{}"] == 1
    assert found["guard_heals_total{cause=edited,result=healed}"] == 1
    assert found["guard_heal_duration_seconds_count{}"] == 1
    assert found["guard_syncs_total{result=applied,sync=guard-system/apps}"] == 1
    assert found["guard_pushes_total{result=refused}"] == 1
    assert found["guard_declared_objects{sync=guard-system/apps}"] == 7
    assert found["guard_journal_write_failures_total{}"] == 1
    assert found["guard_api_requests_total{code=200,verb=patch}"] == 1
    assert found["guard_certificate_expiry_timestamp_seconds{}"] == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert found["process_resident_memory_bytes{}"] > 0


def test_a_sync_that_is_gone_declares_nothing(metrics: Metrics) -> None:
    metrics.declared(sync="guard-system/apps", objects=7)
    metrics.declared(sync="guard-system/infra", objects=2)
    metrics.forget_sync("guard-system/apps")
    metrics.forget_sync("guard-system/never-seen")
    found = values(metrics)
    assert "guard_declared_objects{sync=guard-system/apps}" not in found
    assert found["guard_declared_objects{sync=guard-system/infra}"] == 2


def test_two_registries_do_not_share_counts(metrics: Metrics) -> None:
    metrics.journal_failed()
    assert values(Metrics())["guard_journal_write_failures_total{}"] == 0


def test_the_content_type_is_what_prometheus_reads(metrics: Metrics) -> None:
    assert metrics.render()[1].startswith("text/plain; version=")
