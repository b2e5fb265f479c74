"""The schema registry: what is asked in which order, what its answers become, and that no secret is repeated."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import penstock
from penstock.config import AvroFormat, load
from penstock.encode import Planner
from penstock.registry import Registry, open_registry, subjects
from registry_server import RegistryServer

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

SCHEMA = '{"type":"record","name":"t","fields":[{"name":"a","type":"long"}]}'
ROWS = pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)]))
SECRETS = ("s3cret-pass", "s3cret-token", "s3cret-header")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plan(members: dict[str, Any], schema: pa.Schema = ROWS.schema, **settings: Any) -> Any:
    """Plan as a writer does: schemas are registered."""
    config = load(for_preview=True, topic="t", format={"name": "avro", "config": members}, **settings)
    return Planner(config, 0, 1, open_registry(config)).plan(schema).layout


def ask(*urls: str, transport: httpx.BaseTransport | None = None, **members: Any) -> int:
    return Registry(AvroFormat(registry_urls=urls, **members), transport=transport).schema_id("t-value", SCHEMA)


# ---- what is asked --------------------------------------------------------------------------------------------------


def test_schemas_are_registered_once():
    """The value's schema is posted, then the key's; plans of the same columns otherwise stored ask nothing more."""
    with RegistryServer() as server:
        config = load(
            for_preview=True,
            topic="t",
            format={"name": "avro", "config": {"registry_urls": [server.url + "/"], "update_format": "confluent_jdbc"}},
        )
        planner = Planner(config, 0, 1, open_registry(config))
        layout = planner.plan(ROWS.schema).layout
        encoded = pa.schema([pa.field("a", pa.run_end_encoded(pa.int16(), pa.int64()), nullable=False)])
        assert planner.plan(encoded).layout.format.prefix == layout.format.prefix == b"\0\0\0\0\1"
    assert [(method, path) for method, path, _, _ in server.requests] == [
        ("POST", "/subjects/t-value/versions"),
        ("POST", "/subjects/t-key/versions"),
    ]
    for _, _, headers, body in server.requests:
        assert headers["content-type"] == "application/vnd.schemaregistry.v1+json"
        assert body == {"schema": SCHEMA, "schemaType": "AVRO"}


@pytest.mark.parametrize(
    ("strategy", "update_format", "keyed", "expected"),
    [
        (None, "raw", False, ("ns.v", None)),
        (None, "raw", True, ("ns.v", "ns.k")),
        (None, "confluent_jdbc", True, ("to-value", "to-key")),
        ("topic_name", "raw", False, ("to", None)),
        ("topic_name", "raw", True, ("to-value", "to-key")),
        (None, "debezium", False, ("to", None)),
        ("record_name", "confluent_jdbc", True, ("ns.v", "ns.k")),
        ("topic_record_name", "raw", False, ("to-ns.v", None)),
        ("topic_record_name", "raw", True, ("to-ns.v-value", "to-ns.v-key")),
    ],
)
def test_subjects(strategy, update_format, keyed, expected):
    """Subjects are named as the connector's, for each strategy, with a key and without."""
    form = AvroFormat(subject_name_strategy=strategy, update_format=update_format)
    assert subjects(form, "to", "ns.v", "ns.k" if keyed else None) == expected


def test_the_users_schema_is_registered_as_given():
    """Its text is posted as it is, white space and all, under its own name."""
    given = SCHEMA.replace(",", " ,\n ").replace('"name":"t"', '"doc":"x","name":"mine"')
    with RegistryServer() as server:
        plan({"registry_urls": [server.url], "schema": given})
    ((_, path, _, body),) = server.requests
    assert path == "/subjects/mine/versions"
    assert body["schema"] == given


def test_skipped_ids_are_registered_too():
    """skip_schema_id leaves the id out of messages, not out of the registry."""
    with RegistryServer() as server:
        assert plan({"registry_urls": [server.url], "skip_schema_id": True}).format.prefix == b""
    assert len(server.requests) == 1


def test_urls_in_order():
    """The first address that answers is taken: one that is down or broken is passed over, a refusal is an answer."""
    with RegistryServer(answer=lambda *_: (503, {})) as broken, RegistryServer() as good, RegistryServer() as last:
        down = f"http://127.0.0.1:{free_port()}"
        assert ask(down, broken.url, good.url, last.url) == 1
        assert [len(server.requests) for server in (broken, good, last)] == [1, 1, 0]
    with RegistryServer(answer=lambda *_: (409, {"message": "no"})) as first, RegistryServer() as second:
        with pytest.raises(penstock.SchemaError):
            ask(first.url, second.url)
        assert not second.requests


def test_base_paths_and_subjects_are_spelled():
    """An address may have a path (Apicurio's /apis/ccompat/v7); a subject's slashes are no path."""
    with RegistryServer(answer=lambda *_: (200, {"id": 7})) as server:
        registry = Registry(AvroFormat(registry_urls=(server.url + "/apis/ccompat/v7",)))
        assert registry.schema_id("a/b c", SCHEMA) == 7
    assert server.paths == ["/apis/ccompat/v7/subjects/a%2Fb%20c/versions"]


def test_auth_and_headers():
    """Basic and bearer authentication and headers of the user's reach the registry."""
    with RegistryServer() as server:
        ask(server.url, registry_username="u", registry_password="s3cret-pass")  # noqa: S106 - ours
        members = {"registry_authorization_token": "s3cret-token", "registry_headers": {"X-Key": "s3cret-header"}}
        ask(server.url, **members)
    first, second = (headers for _, _, headers, _ in server.requests)
    assert first["authorization"] == "Basic " + base64.b64encode(b"u:s3cret-pass").decode()
    assert second["authorization"] == "Bearer s3cret-token"
    assert second["x-key"] == "s3cret-header"


def test_proxy():
    """With registry_proxy the request goes there, with the registry's whole address."""
    with RegistryServer() as proxy:
        assert ask("http://registry.invalid:8081", registry_proxy=proxy.url) == 1
    assert proxy.paths == ["http://registry.invalid:8081/subjects/t-value/versions"]


def test_timeout():
    """An address that does not answer in registry_timeout_secs is passed over."""
    with RegistryServer(delay_secs=1.5) as slow, RegistryServer() as quick:
        assert ask(slow.url, quick.url, registry_timeout_secs=1) == 1
        assert len(quick.requests) == 1


def test_tls(tmp_path: Path, monkeypatch):
    """https certificates are checked; SSL_CERT_FILE says whom to trust."""
    pem = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    pem.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    with RegistryServer(certificate=str(pem)) as server:
        with pytest.raises(penstock.ConnectError, match=r"(?i)certificate"):
            ask(server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert ask(server.url) == 1


# ---- looking up and compatibility -----------------------------------------------------------------------------------


def test_auto_register_off():
    """A schema is looked up and never posted; one that is not there is an error that says what to do."""
    with RegistryServer() as server:
        with pytest.raises(penstock.SchemaError, match='no such schema under subject "t", and auto_register is false'):
            plan({"registry_urls": [server.url]}, auto_register=False)
        assert server.paths == ["/subjects/t"]
        plan({"registry_urls": [server.url]})
        layout = plan({"registry_urls": [server.url]}, auto_register=False)
        assert layout.format.prefix == b"\0\0\0\0\1"
        assert server.paths[-1] == "/subjects/t"


def test_check_compatibility():
    """The latest version is asked first; a subject's first version has nothing to be compatible with."""
    with RegistryServer() as server:
        members = {"registry_urls": [server.url]}
        plan(members, check_compatibility=True)
        plan(members, check_compatibility=True)
        with pytest.raises(penstock.SchemaError, match=r'latest version of subject "t": READER_FIELD_MISSING_DEFAULT'):
            plan(members, pa.schema([("b", pa.int8())]), check_compatibility=True)
    asked, posted = "/compatibility/subjects/t/versions/latest?verbose=true", "/subjects/t/versions"
    assert server.paths == [asked, posted, asked, posted, asked]


def test_preview_registers_nothing():
    """A preview looks ids up: 0 for a schema that is not there, the registry's own once it is."""
    with RegistryServer() as server:
        form = {"name": "avro", "config": {"registry_urls": [server.url]}}
        (message,) = penstock.preview(ROWS, topic="t", format=form)
        assert message.value[:5] == bytes(5)
        assert server.paths == ["/subjects/t"]
        server.versions["t"] = [SCHEMA]
        server.ids[SCHEMA] = 2**31
        (message,) = penstock.preview(ROWS, topic="t", format=form)
        assert message.value[:5] == b"\0\x80\0\0\0"


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (401, {"error_code": 401, "message": "Unauthorized"}, penstock.ConnectError, "HTTP 401: Unauthorized; check"),
        (403, {}, penstock.ConnectError, "HTTP 403; check registry_username"),
        (407, b"", penstock.ConnectError, "check registry_proxy"),
        (409, {"message": "incompatible\n here"}, penstock.SchemaError, "HTTP 409: incompatible here; change"),
        (422, {"error_code": 42201, "message": "Invalid schema"}, penstock.SchemaError, "Invalid schema"),
        (404, b"<html>not here</html>", penstock.ConnectError, "HTTP 404: <html>not here</html>; check registry_urls"),
        (301, {}, penstock.ConnectError, "HTTP 301; check registry_urls"),
        (500, {}, penstock.ConnectError, "no schema registry answers .*HTTP 500"),
        (200, {"id": "1"}, penstock.ConnectError, "no id of a schema"),
        (200, b"hello", penstock.ConnectError, "no id of a schema"),
        (200, [1], penstock.ConnectError, "no id of a schema"),
        (200, {"id": 2**32}, penstock.ConnectError, "no id of a schema"),
    ],
)
def test_answers_that_are_no_id(status, body, error, said):
    """Every other answer is one sentence with what to check."""
    with RegistryServer(answer=lambda *_: (status, body)) as server, pytest.raises(error, match=said) as caught:
        ask(server.url)
    assert "\n" not in str(caught.value)


def test_nobody_answers():
    """Each address is named with its reason; the error is worth a retry."""
    ports = free_port(), free_port()
    with pytest.raises(penstock.ConnectError, match="no schema registry answers") as caught:
        ask(*(f"http://127.0.0.1:{port}" for port in ports))
    assert all(str(port) in str(caught.value) for port in ports)
    assert caught.value.retriable


def test_secrets_are_never_repeated():
    """Whatever goes wrong: no password, token or header value, and no user of an address, is in an error or a repr."""

    def answer(_: str, headers: dict[str, str]) -> tuple[int, Any]:
        return 403, {"message": f"no {headers.get('authorization')} {headers.get('x-key')} {SECRETS}"}

    with RegistryServer(answer=answer) as server:
        address = server.url.replace("http://", "http://user:s3cret-pass@")
        down = f"http://user:s3cret-pass@127.0.0.1:{free_port()}/?token=s3cret-token"
        ways: list[tuple[tuple[str, ...], dict[str, Any]]] = [
            ((server.url,), {"registry_authorization_token": "s3cret-token"}),
            ((server.url,), {"registry_username": "u", "registry_password": "s3cret-pass"}),
            ((address,), {}),
            ((down,), {}),
            (("s3cret-pass@:x",), {}),
            ((server.url,), {"registry_proxy": "s3cret-pass"}),
            ((server.url,), {"registry_proxy": down}),
        ]
        for urls, members in ways:
            given = {**members, "registry_headers": {"X-Key": "s3cret-header"}}
            with pytest.raises(penstock.PenstockError) as caught:
                ask(*urls, **given)
            for secret in SECRETS:
                if secret in str(given) + str(urls):
                    assert secret not in str(caught.value), (urls, members)
            form = AvroFormat(registry_urls=(server.url,), **given)
            assert not any(secret in repr(form) + repr(Registry(form)) for secret in SECRETS)


@pytest.mark.parametrize("headers", [{"X": "é"}, {"X": "a\nb"}, {"é": "x"}, {"a b": "x"}])
def test_headers_that_http_does_not_take(headers):
    """A header that cannot be sent is an error of ours, not of a library, and its value stays unsaid."""
    with RegistryServer() as server, pytest.raises(penstock.PenstockError) as caught:
        ask(server.url, registry_headers=headers)
    assert "é" not in str(caught.value)


def test_without_httpx(monkeypatch):
    """Without the extra the error says what to install, and nothing else needs httpx."""
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(penstock.ConfigError, match=r"penstock\[avro\]"):
        list(penstock.preview(ROWS, topic="t", format={"name": "avro", "config": {"registry_urls": ["http://h"]}}))
    assert list(penstock.preview(ROWS, topic="t", format="avro"))


def test_a_writer_asks_before_it_connects():
    """A registry that refuses ends open() before any process is started or broker is asked."""
    with RegistryServer(answer=lambda *_: (403, {})) as server, pytest.raises(penstock.ConnectError, match="403"):
        penstock.open(
            topic="t",
            bootstrap_servers="127.0.0.1:1",
            schema=ROWS.schema,
            format={"name": "avro", "config": {"registry_urls": [server.url]}},
        )


@pytest.mark.parametrize(
    "members",
    [
        {"registry_password": ["s3cret-pass"]},
        {"registry_authorization_token": {"s3cret-token": 1}},
        {"registry_headers": {"X": ["s3cret-header"]}},
        {"registry_proxy": ["http://u:s3cret-pass@p"]},
        {"registry_urls": "http://u:s3cret-pass@r"},
    ],
)
def test_secrets_of_a_wrong_type(members):
    """A secret that is not given as it must be is refused by its name alone."""
    with pytest.raises(penstock.ConfigError) as caught:
        load(for_preview=True, format={"name": "avro", "config": members})
    assert re.match(rf"format\.config\.{next(iter(members))}: found an? (text|array|object); give ", str(caught.value))
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_secrets_are_not_logged(caplog):
    """The user of an address asks as such, and httpx does not log his password with it."""
    caplog.set_level(1)
    with RegistryServer() as server:
        ask(server.url.replace("http://", "http://user:s3cret%2Dpass@"))
        ((_, _, headers, _),) = server.requests
    assert headers["authorization"] == "Basic " + base64.b64encode(b"user:s3cret-pass").decode()
    assert "POST" in caplog.text
    assert "s3cret" not in caplog.text
