"""Fixtures that some test modules share, under a name of their own: `collector = fixtures.collector`."""

from collections.abc import Iterator

import pytest

from tests.support.collector import FakeCollector


@pytest.fixture(params=["http/protobuf", "grpc"])
def collector(request: pytest.FixtureRequest) -> Iterator[FakeCollector]:
    """Run an OTLP receiver of each protocol in turn."""
    with FakeCollector(grpc=request.param == "grpc") as collector:
        yield collector
