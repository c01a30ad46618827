"""Fixtures of the transport's tests."""

from collections.abc import Iterator

import pytest

from telemetry_forwarder.clock import Clock
from telemetry_forwarder.transport.client import Transport
from tests.support.addresses import unresponsive
from tests.support.captured_log import CapturedLog


@pytest.fixture
def transport(captured: CapturedLog) -> Iterator[Transport]:
    transport = Transport(captured.diagnostics(Clock()))
    yield transport
    transport.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    with unresponsive() as port:
        yield port
