"""Each broken configuration gets its one sentence and exit code, from `penstock check` and before the first row."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from broken_configurations import BROKEN, Broken, pattern
from penstock.cli import main
from penstock.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fix_broken import Place

ROW = pa.table({"id": [1]})


def failures(output: str) -> list[dict[str, Any]]:
    return [step for step in json.loads(output)["steps"] if step["ok"] is False]


@pytest.mark.parametrize("broken", BROKEN, ids=[broken.what for broken in BROKEN])
def test_check_names_the_cause(
    broken: Broken, connector_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The step that fails is the one that is wrong, and its text is the sentence; no later step fails as well."""
    path = connector_file(broken, initialization_timeout_secs=20)
    assert main(["check", "--json", "--config", str(path)]) == broken.exit_code
    (failed,) = failures(capsys.readouterr().out)
    sentence = f"{failed['about']}: {failed['text']}" if failed["step"] == "address" else failed["text"]
    assert pattern(broken.said).fullmatch(sentence), sentence
    assert failed["step"] == broken.step


def test_nothing_is_written(place: Place) -> None:
    """A writer ends with the same sentence and the class of the exit code, at once where waiting would not help."""

    def refused(broken: Broken, connector: dict[str, Any]) -> str:
        began = time.monotonic()
        with pytest.raises(penstock.PenstockError) as error:
            penstock.write(ROW, config=connector, workers=0)
        assert type(error.value).__name__ == ("ConfigError" if broken.exit_code == 2 else "ConnectError"), broken
        assert broken.waited or time.monotonic() - began < 5, broken
        return str(error.value)

    def connector(broken: Broken) -> dict[str, Any]:
        return place.connector(broken, initialization_timeout_secs=1 if broken.waited else 60)

    came: dict[str, str] = {}
    others = {broken.what: (broken, connector(broken)) for broken in BROKEN if not broken.by_environment}
    with ThreadPoolExecutor(8) as pool:
        came |= zip(others, pool.map(lambda one: refused(*one), others.values()), strict=True)
    came |= {broken.what: refused(broken, connector(broken)) for broken in BROKEN if broken.by_environment}
    sentences = {broken.what: broken.waited or broken.said for broken in BROKEN}
    assert {what: said for what, said in came.items() if not pattern(sentences[what]).fullmatch(said)} == {}


def test_a_topic_that_may_not_be_made(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where create_topic is refused by the broker the error says so, and check only says what would be tried."""
    options = {**place.options("SASL_SSL"), "topic": "open.never.made"}
    config = {"transport": {"name": "kafka_output", "config": options}, "writer": {"create_topic": {"partitions": 1}}}
    with pytest.raises(ConnectError, match="could not be made") as refused:
        penstock.write(ROW, config=config, workers=0)
    assert str(refused.value) == (
        f'topic "open.never.made" on {options["bootstrap.servers"]} does not exist, and could not be made: the '
        "broker does not let this login; ask for an ACL that allows CREATE, or for the topic itself "
        "(TOPIC_AUTHORIZATION_FAILED)"
    )
    path = tmp_path / "connector.json"
    path.write_text(json.dumps(config))
    assert main(["check", "--json", "--config", str(path)]) == 0
    (topic,) = [step for step in json.loads(capsys.readouterr().out)["steps"] if step["step"] == "topic"]
    assert (topic["ok"], topic["text"]) == (None, "does not exist yet; create_topic makes it when a writer opens")
