"""TPC-H lineitem, written exactly once by `penstock write --job`, killed ten times at random moments."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

from exactly_once import differences

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from fix_broker import Kafka

KILLS = 10
KEY = ["l_orderkey", "l_linenumber"]


def test_lineitem_arrives_exactly_once(
    kafka: Kafka, new_topic: Callable[..., str], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Whenever it dies: every row is there once, which `penstock verify` says, and a consumer of somebody else's."""
    scripts = Path(sysconfig.get_path("scripts"))
    made = [str(scripts / "tpchgen-cli"), "parquet", "-s", "0.1", "--tables=lineitem", f"--output-dir={tmp_path}"]
    subprocess.run(made, check=True, capture_output=True)
    topic, servers, seed = new_topic(partitions=5), kafka.bootstrap_servers, random.randrange(2**32)
    command = [
        sys.executable, "-m", "penstock", "write", str(tmp_path / "lineitem.parquet"), "--topic", topic,
        "--bootstrap-servers", servers, "--job", topic, "--delivery", "exactly_once", "--epoch-rows", "10000",
        "--key", ",".join(KEY), "--key-format", "json", "--audit", "true", "--json",
    ]  # fmt: skip
    rnd = random.Random(seed)
    killed = 0
    while killed < KILLS:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=pytestconfig.rootpath
        )
        time.sleep(rnd.uniform(0.4, 1.2))
        process.kill()
        killed += process.wait() != 0
        process.stdout.close()  # type: ignore[union-attr]
    done = subprocess.run(command, capture_output=True, check=True, cwd=pytestconfig.rootpath)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(done.stdout)
    told = json.loads(done.stdout)
    assert told["job"]["finished"], seed
    assert sum(part["messages"] for part in told["job"]["partitions"]) == told["job"]["total_rows"], seed

    assert differences(str(tmp_path / "lineitem.parquet"), topic, servers, KEY) == [], seed
    verify = [sys.executable, "-m", "penstock", "verify", str(receipt), "--whole", "--bootstrap-servers", servers]
    said = subprocess.run(verify, capture_output=True, check=False, text=True, cwd=pytestconfig.rootpath)
    assert (said.returncode, said.stdout.splitlines()[-1]) == (0, "agrees"), (seed, said)
