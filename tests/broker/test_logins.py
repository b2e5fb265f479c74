"""Every right way in connects and delivers: TLS, passwords, tokens, AWS MSK IAM, and the examples of the page."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

import penstock
from broken_configurations import without
from fix_secure import unsigned_token
from penstock.cli import main
from pki import KEY_PASSWORD
from readback import read_topic, rows_of
from secure_broker import AWS_SESSION, AWS_USER, REGION
from serving import serving
from sts_stub import StsStub

if TYPE_CHECKING:
    from collections.abc import Callable

    from fix_broker import Kafka
    from secure_broker import SecureBroker

Options = dict[str, Any]

EXAMPLES = Path(__file__).parents[1] / "golden" / "connectors"
ROLE = "arn:aws:iam::123456789012:role/writer"


def write(number: int, topic: str, options: Options, **settings: Any) -> None:
    """Write one row that says which way it came."""
    rows = pa.table({"id": [number]})
    report = penstock.write(
        rows, topic=topic, kafka_options=options, **{"workers": 0, "initialization_timeout_secs": 20, **settings}
    )
    assert report.rows == 1


def write_all(ways: dict[str, Options], topic: str, kafka: Kafka, **settings: Any) -> None:
    """Write a row by each way, all at once, and read all of them back."""
    with ThreadPoolExecutor(len(ways)) as pool:
        done = [pool.submit(write, at, topic, options, **settings) for at, options in enumerate(ways.values())]
    failed = {name: str(one.exception()) for name, one in zip(ways, done, strict=True) if one.exception() is not None}
    assert failed == {}
    assert ids(kafka, topic) == list(range(len(ways)))


def ids(kafka: Kafka, topic: str) -> list[int]:
    log = read_topic(kafka.bootstrap_servers, topic)
    return sorted(row[0] for message in log.messages for row in rows_of(message))


def test_tls_and_passwords(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """TLS with the authority inline or in a file, and each mechanism of passwords over both protocols."""
    tls = secure.options("SSL")
    ways = {"authority inline": tls}
    ways["authority in a file"] = {**without(tls, "ssl.ca.pem"), "ssl.ca.location": str(secure.pki["ca"])}
    for listener in ("SASL_PLAINTEXT", "SASL_SSL"):
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            ways[f"{mechanism} at {listener}"] = secure.options(listener, mechanism=mechanism)
    write_all(ways, secure_topic(), secure_kafka)


def certificate_ways(secure: SecureBroker) -> dict[str, Options]:
    good, pki = secure.options("MTLS"), secure.pki
    bare = without(good, "ssl.certificate.pem", "ssl.key.pem")
    on_one_line = {name: value.replace("\n", "\\n") if name.endswith(".pem") else value for name, value in good.items()}
    encrypted = pki["alice_key_encrypted"]
    password = {"ssl.key.password": KEY_PASSWORD}
    p12 = {"ssl.keystore.location": str(pki["alice_p12"]), "ssl.keystore.password": KEY_PASSWORD}
    places = {"ssl.certificate.location": str(pki["alice_chain"]), "ssl.key.location": str(pki["alice_key"])}
    return {
        "leaf and intermediate": good,
        "the line ends written as \\n": on_one_line,
        "text between the certificates": {**good, "ssl.certificate.pem": "leaf\n" + good["ssl.certificate.pem"]},
        "the intermediate first": {**good, "ssl.certificate.pem": pki["alice_reversed"].read_text()},
        "an encrypted key": {**good, "ssl.key.pem": encrypted.read_text(), **password},
        "files": {**bare, **places},
        "a file with an encrypted key": {**bare, **places, "ssl.key.location": str(encrypted), **password},
        "PKCS #12": {**bare, **p12},
    }


def test_client_certificates(
    secure: SecureBroker,
    secure_topic: Callable[..., str],
    secure_kafka: Kafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root, intermediate, client, where the broker trusts the root alone, in every form; and no file is written."""
    monkeypatch.chdir(tmp_path)
    write_all(certificate_ways(secure), secure_topic(), secure_kafka)
    write(0, secure_topic(), secure.options("MTLS"), workers=2)
    assert list(tmp_path.rglob("*")) == []  # that of temporary files is looked at after every test


def test_tokens(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """librdkafka's own unsigned tokens, and the user's function, itself or by its name, with and without workers."""
    topic, own = secure_topic(), secure.options("OAUTHBEARER")
    ours = without(own, "enable.sasl.oauthbearer.unsecure.jwt")
    write(0, topic, own)
    write(1, topic, own, workers=2)
    write(2, topic, ours, oauth_cb=unsigned_token)
    write(3, topic, ours, oauth_cb="fix_secure:unsigned_token", workers=2)
    assert ids(secure_kafka, topic) == [0, 1, 2, 3]


def test_aws_msk_iam(
    secure: SecureBroker,
    secure_topic: Callable[..., str],
    secure_kafka: Kafka,
    aws: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the environment, a session, a profile of ~/.aws/credentials, a role; each with another place of the region."""
    topic, options = secure_topic(), secure.options("IAM")
    aws(AWS_USER)
    write(0, topic, options, region=REGION, workers=2)
    aws(AWS_REGION="us-west-2")
    write(1, topic, options, region=REGION)  # the one that is written down wins
    aws(AWS_SESSION, AWS_REGION=REGION)
    write(2, topic, options)
    with StsStub() as sts:
        aws(AWS_ENDPOINT_URL_STS=sts.url)
        write(3, topic, options, aws_role_arn=ROLE)
    assert [one["RoleArn"] for one in sts.requests] == [ROLE]
    for name in (*AWS_SESSION, "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    names = {name: name.lower() for name in AWS_USER}
    profile = "\n".join(f"{names[name]} = {value}" for name, value in AWS_USER.items())
    (tmp_path / ".aws" / "credentials").write_text(f"[kafka]\n{profile}\n")
    (tmp_path / ".aws" / "config").write_text(f"[profile kafka]\nregion = {REGION}\n")
    aws(AWS_PROFILE="kafka")
    write(4, topic, options)
    assert ids(secure_kafka, topic) == [0, 1, 2, 3, 4]


# --- the examples of the original's page ---


def pasted(name: str, replaced: dict[str, str]) -> str:
    """Return an example with these texts replaced, each of which is in it, and nothing else."""
    text = (EXAMPLES / name).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return text


def examples(secure: SecureBroker, topic: str) -> dict[str, str]:
    def inline(name: str) -> str:
        return json.dumps(secure.pki[name].read_text())[1:-1]

    def placeholder(number: int) -> str:
        return f"-----BEGIN CERTIFICATE-----TOPSECRET{number}\\n-----END CERTIFICATE-----\\n"

    def addresses(listener: str) -> str:
        return secure.addresses[listener][1]

    pem = dict(zip(map(placeholder, range(3)), map(inline, ("ca", "alice_key", "alice_chain")), strict=True))
    return {
        "plain": pasted("total_sales.sql", {"example.com:9092": addresses("PLAINTEXT"), "total-sales": topic}),
        "certificates": pasted(
            "ssl_pem.json", {"example.com:9092": addresses("MTLS"), "book-fair-sales": topic, **pem}
        ),
        # The page leaves out what stands before it there: the authority and the key.
        "a file": pasted(
            "ssl_location.json",
            {
                "example.com:9092": addresses("MTLS"),
                "book-fair-sales": topic,
                "path/to/certificate.pem": f'{secure.pki["alice_chain"]}",\n"ssl.ca.pem": "{inline("ca")}",\n'
                f'"ssl.key.location": "{secure.pki["alice_key"]}',
            },
        ),
        "AWS": pasted(
            "msk_iam.sql",
            {
                "broker-1.kafka.region.amazonaws.com:9098,broker-2.kafka.region.amazonaws.com:9098": addresses("IAM"),
                "<AWS_REGION>": REGION,
                "<TOPIC>": topic,
            },
        ),
        "tutorial": json.dumps(
            {
                "transport": {
                    "name": "kafka_output",
                    "config": {
                        "bootstrap.servers": addresses("PLAINTEXT"),
                        "auto.offset.reset": "earliest",
                        "topic": topic,
                    },
                }
            }
        ),
    }


@pytest.mark.parametrize("name", ["plain", "certificates", "a file", "AWS", "tutorial"])
def test_the_examples_deliver(
    name: str,
    secure: SecureBroker,
    secure_topic: Callable[..., str],
    secure_kafka: Kafka,
    aws: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Each example, pasted whole into a file with addresses and keys replaced, connects and delivers."""
    topic = secure_topic()
    aws(AWS_USER)
    config = tmp_path / "pasted"
    config.write_text(examples(secure, topic)[name])
    source = tmp_path / "rows.jsonl"
    source.write_text('{"id": 7}\n')
    # Amazon's authority is among those of every system, so the example has no place for ours.
    more = ["-X", f"ssl.ca.location={secure.pki['ca']}"] if name == "AWS" else []
    assert main(["write", str(source), "--workers", "0", "--config", str(config), *more]) == 0
    assert ids(secure_kafka, topic) == [7]


class _TokenServer(BaseHTTPRequestHandler):
    """An identity server that gives everybody a token, and remembers who asked for what."""

    asked: ClassVar[list[tuple[str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Authorization"], body))
        token, _ = unsigned_token("admin")
        answer = json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 60}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_oidc(secure: SecureBroker, secure_topic: Callable[..., str], secure_kafka: Kafka) -> None:
    """librdkafka gets the tokens itself from an identity server; the address alone says that it is OIDC."""
    topic = secure_topic()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TokenServer)
    with serving(server):
        protocol, address = secure.addresses["OAUTHBEARER"]
        oidc = {
            "bootstrap.servers": address,
            "security.protocol": protocol,
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{server.server_port}/token",
            "sasl.oauthbearer.client.id": "me",
            "sasl.oauthbearer.client.secret": "a secret",
            "sasl.oauthbearer.scope": "kafka",
        }
        write(7, topic, oidc, workers=1)
    assert ids(secure_kafka, topic) == [7]
    basic = f"Basic {base64.b64encode(b'me:a secret').decode()}"
    assert set(_TokenServer.asked) == {(basic, b"grant_type=client_credentials&scope=kafka")}
