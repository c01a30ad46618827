"""Fixtures of the transport's tests."""

from collections.abc import Iterator

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.transport.client import Transport
from tests.support.addresses import unresponsive
from tests.support.captured_log import CapturedLog
from tests.support.certificates import Certificates, issue_certificates


@pytest.fixture
def transport(captured: CapturedLog) -> Iterator[Transport]:
    transport = Transport(captured.diagnostics(Clock()))
    yield transport
    transport.close()


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def silent_port() -> Iterator[int]:
    with unresponsive() as port:
        yield port
