"""references: which texts are references, what they give, what is said where they give nothing, where they count."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import penstock
from penstock.config import load
from penstock.config.kafka.login import MskIam
from penstock.config.references import References, is_reference
from penstock.errors import ConfigError

GOLDEN = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "golden" / "secret_references.json").read_text())["cases"]
}
MARKER = "MARKER-7f3a-secret"


def read(text: str) -> Any:
    return References().read(text, "here")


def refusal_of(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(text)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.startswith("here: ")
    return sentence


@pytest.fixture
def secrets_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PENSTOCK_SECRETS_DIR", str(tmp_path))
    return tmp_path


def put(directory: Path, name: str, key: str, content: bytes) -> Path:
    path = directory / "kubernetes" / name / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# The connector's cases.


@pytest.mark.parametrize("text", GOLDEN["plain_strings"]["plain"])
def test_plain_texts_stand_for_themselves(text: str) -> None:
    """What only resembles a reference is left as it is."""
    assert read(text) == text


@pytest.mark.parametrize("case", GOLDEN["kubernetes_valid"]["cases"], ids=lambda case: case.get("text", "longest"))
def test_secrets_are_read_from_their_files(secrets_dir: Path, case: dict[str, str]) -> None:
    """Each reference reads the file that the connector reads, white space and all."""
    if "text_rule" in case:  # 63 and 255 characters are taken, one more is not
        put(secrets_dir, "a" * 63, "b" * 255, b"v")
        assert read(f"${{secret:kubernetes:{'a' * 63}/{'b' * 255}}}") == "v"
        assert "name is" in refusal_of(f"${{secret:kubernetes:{'a' * 64}/b}}")
        assert "data key is" in refusal_of(f"${{secret:kubernetes:a/{'b' * 256}}}")
        return
    path = Path(case["file"].replace("<secrets_dir>", str(secrets_dir)))
    path.parent.mkdir(parents=True)
    path.write_bytes(" vä\n".encode())
    assert read(case["text"]) == " vä\n"


@pytest.mark.parametrize("case", GOLDEN["kubernetes_invalid"]["cases"], ids=lambda case: case["text"])
def test_malformed_secrets_are_refused(secrets_dir: Path, case: dict[str, str]) -> None:  # noqa: ARG001
    """The sentence repeats the reference and says which part is wrong."""
    said = refusal_of(case["text"])
    assert case["text"] in said
    part = case["reason"].removesuffix(" empty").removesuffix(" format")
    assert (part if part in {"name", "data key"} else "is small letters") in said


@pytest.mark.parametrize("name", GOLDEN["env_names"]["valid"])
def test_variables_are_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable gives its text, an empty one too."""
    for value in ("v\n", ""):
        monkeypatch.setenv(name, value)
        assert read(f"${{env:{name}}}") == value


@pytest.mark.parametrize("name", GOLDEN["env_names"]["invalid"])
def test_names_of_variables_are_checked(name: str) -> None:
    """What cannot be a variable's name is not looked up."""
    assert f'"${{env:{name}}}" names no variable' in refusal_of(f"${{env:{name}}}")


def test_the_connectors_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """References name the variables that the connector's cases say, and an empty name is an error."""
    for reference, name in GOLDEN["env_names"]["references"].items():
        with monkeypatch.context() as patch:
            patch.setenv(name, reference)
            assert read(reference) == reference  # what was read is not read again
    assert "names no variable" in refusal_of(GOLDEN["env_names"]["empty_name_error"])


def test_what_cannot_be_read(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the connector's failures names the reference and the cause, and so does a file without rights."""
    assert [case["situation"] for case in GOLDEN["failures"]["cases"]] == [
        "path is a directory", "path missing", "file is not UTF-8", "environment variable unset",
    ]  # fmt: skip
    reference = "${secret:kubernetes:a/b}"
    path = secrets_dir / "kubernetes" / "a" / "b"
    assert f"{reference}: the file {path} does not exist" in refusal_of(reference)
    path.mkdir(parents=True)
    assert f"{reference}: {path} is not a regular file" in refusal_of(reference)
    path.rmdir()
    path.write_bytes(MARKER.encode() + b"\xff")
    assert f"{reference}: {path} is not UTF-8 text" in refusal_of(reference)
    path.unlink()
    path.symlink_to(path)  # a ring: as unreadable for root as for others
    assert f"{reference}: {path} cannot be read: " in refusal_of(reference)
    monkeypatch.delenv("PENSTOCK_NOT_THERE", raising=False)
    assert "${env:PENSTOCK_NOT_THERE}: the environment variable is not set" in refusal_of("${env:PENSTOCK_NOT_THERE}")
    os.environb[b"PENSTOCK_NOT_UTF8"] = MARKER.encode() + b"\xff"
    try:
        assert "not UTF-8 text" in refusal_of("${env:PENSTOCK_NOT_UTF8}")
    finally:
        del os.environb[b"PENSTOCK_NOT_UTF8"]
    assert "provider that is not known" in refusal_of("${secret:vault:a/b}")
    assert "names no variable" in refusal_of("${env:${env:HOME}}")  # the connector unpacks it


def test_without_a_directory_named_the_connectors_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked for where the connector has them."""
    monkeypatch.delenv("PENSTOCK_SECRETS_DIR", raising=False)
    assert "/etc/feldera-secrets/kubernetes/no-such-secret/k does not" in refusal_of(
        "${secret:kubernetes:no-such-secret/k}"
    )


_ANY = st.text(alphabet="ab0_-:/.{}$ \n\0🙂A", max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(text=st.one_of(_ANY, _ANY.map(lambda t: f"${{env:{t}}}"), _ANY.map(lambda t: f"${{secret:kubernetes:{t}}}")))
def test_any_text_is_kept_or_read_or_refused(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A text stands for itself, or gives exactly what it names, or is refused without that."""
    put(secrets_dir, "a", "b", MARKER.encode())
    for name in ("A", "_", "a0"):
        monkeypatch.setenv(name, MARKER)
    if not is_reference(text):
        assert read(text) == text
        return
    try:
        found = read(text)
    except ConfigError as error:
        found = MARKER if MARKER not in f"{error!r} {error}" else "shown"
    assert found == MARKER


# Where they count.


def connector(**transport: Any) -> dict[str, Any]:
    return {"transport": {"name": "kafka_output", "config": {"topic": "t", **transport}}}


def test_they_count_in_transport_format_and_headers(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of transport and format are read, names and all that stands elsewhere are not, and nothing is put back."""
    put(secrets_dir, "kafka", "password", b"pass\n")
    for name, value in (("T", "orders"), ("U", "me"), ("B", "h:1"), ("N", "ns"), ("H", "value"), ("L", "debug")):
        monkeypatch.setenv(name, value)
    given = connector(
        **{
            "topic": "${env:T}",
            "bootstrap.servers": "${env:B}",
            "sasl.username": "${env:U}",
            "sasl.password": "${secret:kubernetes:kafka/password}",
            "log_level": "${env:L}",
            "region": "${env:U}",
            "headers": [{"key": "${env:H}", "value": "${env:H}"}, {"key": "k"}, {"key": "l", "value": [1]}],
        }
    )
    given["format"] = {
        "name": "avro",
        "config": {
            "namespace": "${env:N}",
            "registry_urls": ["http://${env:B}", "${env:H}"],
            "registry_headers": {"${env:H}": "${env:H}"},
        },
    }
    given["index"] = "${env:I}"
    given["writer"] = {
        "relation": {"name": "${env:T}", "indexes": {"${env:I}": ["id"]}},
        "op_column": "${env:U}",
    }
    before = copy.deepcopy(given)
    config = load(given)
    assert given == before
    assert config.topic == "orders"
    assert config.kafka["bootstrap.servers"] == "h:1"
    assert config.kafka["sasl.username"] == "me"
    assert config.kafka["sasl.password"] == "pass\n"
    assert (config.log_level, config.writer.region) == ("debug", "me")
    assert config.headers == (("value", b"value"), ("k", None), ("l", b"\1"))
    assert config.format.namespace == "ns"
    assert config.format.registry_urls == ("http://${env:B}", "value")
    assert config.format.registry_headers == {"${env:H}": "value"}
    assert config.format.referenced == ("namespace", "registry_urls", "registry_headers")
    assert (config.index, config.writer.relation.name) == ("${env:I}", "${env:T}")
    assert config.writer.op_column == "${env:U}"
    assert config.hidden == {
        "me": "${env:U}", "pass\n": "${secret:kubernetes:kafka/password}", "ns": "${env:N}", "value": "${env:H}",
    }  # fmt: skip


def test_they_count_in_keywords_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """topic, headers, bootstrap_servers, region, format and options are read by whatever way they were given."""
    for name, value in (("T", "orders"), ("B", "h:1"), ("H", "value"), ("D", ";"), ("R", "arn:aws:iam::1:role/r")):
        monkeypatch.setenv(name, value)
    config = load(
        topic="${env:T}",
        bootstrap_servers=["${env:B}", "i:2"],
        headers={"a": "${env:H}"},
        format={"name": "csv", "config": {"delimiter": "${env:D}"}},
        kafka_options={"client.id": "${env:H}"},
        log_level="info",
        op_column="${env:H}",
    )
    assert config.topic == "orders"
    assert config.kafka["bootstrap.servers"] == "h:1,i:2"
    assert config.kafka["client.id"] == "value"
    assert config.headers == (("a", b"value"),)
    assert config.format.delimiter == ";"
    assert config.writer.op_column == "${env:H}"
    for headers in (iter([("a", "${env:H}")]), {"a": "${env:H}"}.items(), {("a", "${env:H}")}):
        assert load(topic="t", headers=headers).headers == (("a", b"value"),)
    for region, role in ((connector(region="${env:H}"), {}), (None, {"region": "${env:H}"})):
        login = {"sasl.mechanism": "OAUTHBEARER", "security.protocol": "SASL_SSL"}
        config = load(region, topic="t", kafka_options=login, aws_role_arn="${env:R}", **role)
        assert config.tokens == MskIam("value", "arn:aws:iam::1:role/r")


def test_they_count_in_a_properties_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file without a tree names has no other places than the connector's object."""
    monkeypatch.setenv("L", "debug")
    file = tmp_path / "a.properties"
    file.write_text("topic=t\nlog_level=${env:L}\nregion=${env:L}\nwriter.op_column=${env:L}\n")
    config = load(file)
    assert (config.log_level, config.writer.region, config.writer.op_column) == ("debug", "debug", "${env:L}")


def test_only_what_counts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that a higher place replaces is not read; a malformed one is refused even there."""
    monkeypatch.delenv("NOT_SET", raising=False)
    lower = connector(**{"topic": "${env:NOT_SET}", "sasl.password": "${env:NOT_SET}", "acks": "${env:NOT_SET}"})
    config = load(lower, topic="t", kafka_options={"sasl.password": "p", "request.required.acks": "1"})
    assert (config.topic, config.kafka["sasl.password"], config.kafka["acks"]) == ("t", "p", "1")
    with pytest.raises(ConfigError, match=r"transport.config: sasl.password: \$\{env:NOT_SET\}: the env"):
        load(lower, topic="t", kafka_options={"acks": "all"})
    with pytest.raises(ConfigError, match="names no variable"):
        load(connector(**{"sasl.password": "${env:}"}), kafka_options={"sasl.password": "p"})
    lower = connector(**{"metadata.broker.list": "${env:NOT_SET}", "group.id": "${env:NOT_SET}"})
    assert load(lower, bootstrap_servers="h:1").kafka["bootstrap.servers"] == "h:1"
    with pytest.raises(ConfigError, match=r"metadata.broker.list: \$\{env:NOT_SET\}: the env"):
        load(lower)


def test_the_name_of_a_mechanism_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be taken out of every PLAINTEXT in the log."""
    monkeypatch.setenv("M", "PLAIN")
    login = {"sasl.mechanisms": "${env:M}", "security.protocol": "SASL_SSL", "sasl.username": "u", "sasl.password": "p"}
    assert load(connector(**login)).hidden == {}


def test_a_preview_needs_no_secrets_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview reads what its messages are made of and checks the form of the others."""
    monkeypatch.delenv("NOT_SET", raising=False)
    for name, value in (("T", "orders"), ("H", "value"), ("D", ";"), ("M", "2000")):
        monkeypatch.setenv(name, value)
    given = connector(
        **{
            "topic": "${env:T}", "headers": [{"key": "k", "value": "${env:H}"}], "region": "${env:NOT_SET}",
            "sasl.password": "${env:NOT_SET}", "bootstrap.servers": "${env:NOT_SET}", "message.max.bytes": "${env:M}",
        }
    )  # fmt: skip
    given["format"] = {"name": "csv", "config": {"delimiter": "${env:D}"}}
    rows = [{"a": 1, "b": 2}]
    import pyarrow as pa

    (message,) = penstock.preview(pa.Table.from_pylist(rows), config=given, bootstrap_servers=["${env:NOT_SET}"])
    assert (message.topic, message.value, message.headers) == ("orders", b"1;2;1\n", (("k", b"value"),))
    assert load(given, for_preview=True).kafka["message.max.bytes"] == "2000"
    for wrong in ({"sasl.password": "${env:}"}, {"region": "${env:}"}):
        with pytest.raises(ConfigError, match="names no variable"):
            load(connector(**wrong), for_preview=True)
    given["format"]["config"]["delimiter"] = "${env:NOT_SET}"
    with pytest.raises(ConfigError, match=r"format\.config\.delimiter"):
        load(given, for_preview=True)
