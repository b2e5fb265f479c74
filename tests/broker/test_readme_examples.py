"""Examples of the README that need a login."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from secure_broker import AWS_USER

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from secure_broker import SecureBroker

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


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
    code = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[2]
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
