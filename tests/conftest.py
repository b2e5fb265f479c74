"""Fixtures stand in files by theme; what each gives is in its first lines.

fix_broker     a real Apache Kafka, a fresh topic per test; the header of the run and what was left out of it
fix_secure     the same with TLS, logins and rights; a machine with no AWS credentials but those of the test
fix_broken     what broken configurations of the same Kafka are made of
fix_connect    Kafka Connect and Debezium as readers of a topic
fix_jobs       a job with its topics, its many lives, and what readers see of it
fix_mock       librdkafka's mock cluster: a topic in a millisecond, slow or failing on request
fix_leftovers  after every test of process/ and broker/ nothing that it opened may remain
fix_command    the installed `penstock` command
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = [
    "strategies",
    "fix_broker",
    "fix_secure",
    "fix_broken",
    "fix_connect",
    "fix_mock",
    "fix_leftovers",
    "fix_command",
    "fix_jobs",
]


def pytest_configure() -> None:
    """Refuse to run with another core than the sanitized one where that was asked for (tools/test --sanitize)."""
    if not os.environ.get("PENSTOCK_TEST_SANITIZED"):
        return
    from penstock import _core

    if "sanitized" not in Path(_core.__file__).parts:
        pytest.exit(f"the core under test is {_core.__file__}, not the one built with sanitizers", returncode=1)
