"""What every test may use, and the rule that no test is left out in silence."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from guard.cluster import Client, connect
from tools.controlplane import ControlPlane
from tools.s3client import Bucket, S3Client, connected
from tools.s3server import S3Server

# A property is no timing: these machines are shared, and one that stands still for a second is no fault of the test's.
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: what is new in a run is what was changed. `--hypothesis-profile=exploring` looks for others.
settings.register_profile("repeating", settings.get_profile("exploring"), derandomize=True)
settings.load_profile("repeating")


@pytest.fixture(scope="session")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """One real API server for the session, without controllers: started by the first test that asks for it."""
    async with ControlPlane.start(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    """Guard's own client, with an administrator's rights on the session's API server."""
    found = Client(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    yield found
    await found.close()


@pytest.fixture
async def namespace(control_plane: ControlPlane) -> str:
    """A fresh namespace; it stays, since nobody here would finish its deletion."""
    name = f"test-{secrets.token_hex(4)}"
    await control_plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    return name


@pytest.fixture(scope="session")
async def s3_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    """One real S3 server for the session."""
    async with S3Server.start(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
async def s3_client(s3_server: S3Server) -> AsyncIterator[S3Client]:
    """With all rights, for tests to write with."""
    async with connected(s3_server) as client:
        yield client


@pytest.fixture
async def bucket(s3_client: S3Client) -> Bucket:
    """A fresh one that keeps versions."""
    return await Bucket.make(s3_client, f"test-{secrets.token_hex(4)}")


class NobodyIsExcused:
    """Turns a run in which a test was skipped, or expected to fail, into a failed one, and names the test."""

    def __init__(self) -> None:
        self.excused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or hasattr(report, "wasxfail"):
            self.excused.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.excused.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.excused and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self.excused:
            terminalreporter.write_line(f"ERROR {name}: skipped or expected to fail, which no test may be", red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NobodyIsExcused(), "nobody-is-excused")
