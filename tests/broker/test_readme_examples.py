"""Examples of the README that need a real Kafka."""

from __future__ import annotations

import contextlib
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

import penstock
from readback import read_topic
from secure_broker import AWS_USER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from fix_broker import Kafka
    from secure_broker import SecureBroker

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _python(number: int) -> str:
    code: str = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[number]
    return code


def test_the_example_of_a_stream_goes_on(kafka: Kafka, new_topic: Callable[..., str]) -> None:
    """As printed, but for broker and topic: ended by its source and run again, each row is there once."""
    name, batches = new_topic(partitions=4), [pa.table({"id": range(at * 1000, at * 1000 + 1000)}) for at in range(6)]
    began: list[int | None] = []

    def changes_since(position: int | None, last: int) -> Iterator[tuple[int, pa.Table]]:
        began.append(position)
        for at in range(position or 0, last):
            yield at + 1, batches[at]
        if last < len(batches):
            raise OSError("the source is gone")

    code = _python(2).replace("import penstock\n", "")
    code = code.replace('topic="orders"', f'topic="{name}", bootstrap_servers="{kafka.bootstrap_servers}"')
    for last in (4, 6):
        source = partial(changes_since, last=last)
        with contextlib.suppress(OSError):
            exec(compile(code, "README.md", "exec"), {"penstock": penstock, "changes_since": source})  # noqa: S102
    assert began[0] is None
    read = read_topic(kafka.bootstrap_servers, name).messages
    assert sorted(json.loads(line)["insert"]["id"] for one in read for line in (one.value or b"").splitlines()) == list(
        range(6000)
    )


def test_the_example_of_aws_msk_writes(
    secure: SecureBroker,
    secure_topic: Callable[..., str],
    aws: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As printed, but for the address and the topic, and with the test's own authority."""
    pq.write_table(pa.table({"id": range(1000)}), tmp_path / "orders.parquet")
    monkeypatch.chdir(tmp_path)
    aws(AWS_USER)
    code = _python(3)
    for printed, here in {
        '"orders"': f'"{secure_topic()}"',
        "localhost:9098": secure.addresses["IAM"][1],
        '"OAUTHBEARER"': f'"OAUTHBEARER", "ssl.ca.location": "{secure.pki["ca"]}"',
    }.items():
        assert code.count(printed) == 1
        code = code.replace(printed, here)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - the point
    assert names["report"].rows == 1000
