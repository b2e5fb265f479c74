"""librdkafka's mock cluster inside the test process: real sockets, made in a millisecond, slow or failing on request.

It keeps about 4 MB per partition; a test that reads back must write less than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock._core import MockCluster

PRODUCE = 0  # api key of a produce request, for push_request_errors


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    """One mock broker with topic `orders` of four partitions."""
    from penstock._core import MockCluster
    from penstock.config.kafka.options import load_librdkafka

    load_librdkafka()
    cluster = MockCluster(brokers=1)
    cluster.create_topic("orders", 4)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def mock_once() -> Iterator[MockCluster]:
    """As `mock`, one for all examples of a Hypothesis test: nothing is read back."""
    from penstock._core import MockCluster
    from penstock.config.kafka.options import load_librdkafka

    load_librdkafka()
    cluster = MockCluster(brokers=1)
    cluster.create_topic("orders", 4)
    yield cluster
    cluster.close()
