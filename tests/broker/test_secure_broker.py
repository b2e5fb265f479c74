"""The locks of tools/secure_broker.py are real: each right key opens, each wrong one does not, and the broker says why.

Only confluent_kafka and AWS's own signer are used: what holds here holds without penstock.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from botocore.credentials import CredentialProvider, Credentials
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException, Producer

from pki import KEY_PASSWORD
from secure_broker import AWS_SESSION, AWS_USER, REGION, USERS
from sts_stub import StsStub

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_broker import SecureBroker

Options = dict[str, Any]
DELIVERED = "delivered"
UNTRUSTED = "certificate verify failed"
BAD_CERTIFICATE = "alert bad certificate"
ROLE = "arn:aws:iam::123456789012:role/writer"


def attempt(options: Options, topic: str) -> str:
    """Send one message; return DELIVERED or what the client was told first."""
    told: list[str] = []
    enough = threading.Event()

    def failed(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # follows every other error, and says less
            told.append(error.str())
            enough.set()

    def reported(error: KafkaError | None, _: object) -> None:
        told.append(DELIVERED if error is None else error.name())
        enough.set()

    settings = {"message.timeout.ms": 20000, "linger.ms": 0, "log_level": 0, "error_cb": failed}
    try:
        producer = Producer({**settings, **options})
    except KafkaException as error:
        return str(error.args[0].str())
    producer.produce(topic, b"x", on_delivery=reported)
    while not enough.is_set():
        producer.poll(0.05)
    first = told[0]
    producer.purge()
    producer.flush(1)
    return first


def check(cases: dict[str, tuple[Options, str]], topic: str) -> None:
    """Try all at once; each must come to the text beside it, or to one that has it inside."""
    with ThreadPoolExecutor(len(cases)) as pool:
        came = dict(zip(cases, pool.map(lambda case: attempt(case[0], topic), cases.values()), strict=True))
    assert {name: text for name, text in came.items() if cases[name][1] not in text} == {}


def without(options: Options, *names: str) -> Options:
    return {name: value for name, value in options.items() if name not in names}


def test_nobody_else_reads_passwords(secure: SecureBroker) -> None:
    """Files with passwords and keys are their owner's only, and no password is an argument of the process."""
    assert secure.directory is not None
    secret = [*secure.directory.glob("*.properties"), secure.directory / "format.arguments", *secure.pki.values()]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    command = Path(f"/proc/{secure.pid}/cmdline").read_text()
    assert not [password for password in USERS.values() if password in command]


def test_tls(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """The server's certificate is accepted under its authority, and only when it is in time and for this host."""
    good = secure.options("SSL")
    cases = {
        "authority inline": (good, DELIVERED),
        "authority in a file": ({**without(good, "ssl.ca.pem"), "ssl.ca.location": str(secure.pki["ca"])}, DELIVERED),
        "wrong authority": ({**good, "ssl.ca.pem": secure.pki["other_ca"].read_text()}, UNTRUSTED),
        "expired server": (secure.options("EXPIRED"), UNTRUSTED),
        "wrong host": (secure.options("BAD_HOST"), UNTRUSTED),
        "wrong host, not looked at": (
            {**secure.options("BAD_HOST"), "ssl.endpoint.identification.algorithm": "none"},
            DELIVERED,
        ),
        "TLS at the plain listener": (
            {**good, "bootstrap.servers": secure.bootstrap_servers},
            "connecting to a PLAINTEXT broker listener?",
        ),
        # librdkafka has no text for it
        "plain at the TLS listener": (
            {"bootstrap.servers": good["bootstrap.servers"], "message.timeout.ms": 1000},
            "_MSG_TIMED_OUT",
        ),
    }
    check(cases, secure_topic())


def test_client_certificates(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """A client's certificate is accepted with the chain up to the root, and with nothing less."""
    good, pki = secure.options("MTLS"), secure.pki
    leaf, encrypted = pki["alice"].read_text(), pki["alice_key_encrypted"].read_text()
    no_certificate = without(good, "ssl.certificate.pem", "ssl.key.pem")
    p12 = {"ssl.keystore.location": str(pki["alice_p12"]), "ssl.keystore.password": KEY_PASSWORD}
    cases = {
        "chain": (good, DELIVERED),
        "issued by the root": (secure.options("MTLS", "bob"), DELIVERED),
        "encrypted key": ({**good, "ssl.key.pem": encrypted, "ssl.key.password": KEY_PASSWORD}, DELIVERED),
        "PKCS #12": ({**no_certificate, **p12}, DELIVERED),
        "none": (no_certificate, BAD_CERTIFICATE),
        "leaf without its chain": ({**good, "ssl.certificate.pem": leaf}, BAD_CERTIFICATE),
        "expired": (secure.options("MTLS", "late"), "alert certificate unknown"),
        "of another authority": (secure.options("MTLS", "eve"), BAD_CERTIFICATE),
        "key of somebody else": ({**good, "ssl.key.pem": pki["bob_key"].read_text()}, "key values mismatch"),
        "wrong order": ({**good, "ssl.certificate.pem": pki["alice_reversed"].read_text()}, "key values mismatch"),
    }
    check(cases, secure_topic())


def test_passwords(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """Each mechanism lets the right password in, over both protocols, and no other; one that is off is named."""
    cases: dict[str, tuple[Options, str]] = {}
    for listener in ("SASL_PLAINTEXT", "SASL_SSL"):
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            good = secure.options(listener, mechanism=mechanism)
            refusal = "Invalid username or password" if mechanism == "PLAIN" else "due to invalid credentials"
            cases[f"{listener} {mechanism}"] = (good, DELIVERED)
            cases[f"{listener} {mechanism}, wrong password"] = ({**good, "sasl.password": "wrong"}, refusal)
    plain = secure.options("SASL_PLAINTEXT", mechanism="PLAIN")
    cases["unknown user"] = ({**plain, "sasl.username": "nobody"}, "Invalid username or password")
    off = without(secure.options("OAUTHBEARER"), "bootstrap.servers")
    cases["mechanism that is off"] = (
        {**secure.options("SASL_PLAINTEXT"), **off},
        "supported mechanisms: PLAIN,SCRAM-SHA-512,SCRAM-SHA-256",
    )
    check(cases, secure_topic())


def with_token(options: Options, token: str) -> Options:
    """Log in with a token that the client is told to be good for a minute."""
    kept = without(options, "enable.sasl.oauthbearer.unsecure.jwt", "sasl.oauthbearer.config")
    return {**kept, "oauth_cb": lambda _: (token, time.time() + 60)}


def test_tokens(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """An unsigned JSON web token is let in and its subject is the user; anything else is no token."""
    good = secure.options("OAUTHBEARER")
    cases = {
        "alice": (good, DELIVERED),
        "carol": (secure.options("OAUTHBEARER", "carol"), "TOPIC_AUTHORIZATION_FAILED"),
        "garbage": (with_token(good, "garbage"), '{"status":"invalid_token"}'),
    }
    check(cases, secure_topic())


def aws_token(credentials: dict[str, str], region: str = REGION) -> str:
    class Given(CredentialProvider):
        def load(self) -> Credentials:
            return Credentials(*credentials.values())

    return str(MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(region, Given())[0])


def test_aws_iam(secure: SecureBroker, secure_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of AWS's signer is let in with the right key, region and in time; each refusal has a name."""
    with monkeypatch.context() as patch:
        patch.setattr(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", 0)
        expired = aws_token(AWS_USER)
    cases = {
        "user": (aws_token(AWS_USER), DELIVERED),
        "session": (aws_token(AWS_SESSION), DELIVERED),
        "wrong secret": (aws_token({**AWS_USER, "AWS_SECRET_ACCESS_KEY": "wrong"}), "signature_mismatch"),
        "wrong region": (aws_token(AWS_USER, "us-east-1"), "wrong_host:kafka.us-east-1.amazonaws.com"),
        "unknown key": (aws_token({**AWS_USER, "AWS_ACCESS_KEY_ID": "AKIANOBODY"}), "unknown_access_key"),
        "wrong session": (aws_token({**AWS_SESSION, "AWS_SESSION_TOKEN": "other"}), "wrong_session_token"),
        "expired": (expired, "token_expired"),
        "garbage": ("garbage", "not_a_presigned_url"),
    }
    options = secure.options("IAM")
    check({name: (with_token(options, token), text) for name, (token, text) in cases.items()}, secure_topic())


def test_roles(
    secure: SecureBroker, secure_topic: Callable[..., str], aws: Callable[..., None], tmp_path: Path
) -> None:
    """A role's session, assumed by a web identity or with a key, is let in; a refusal is an error of AWS's client."""
    identity = tmp_path / "identity"
    identity.write_text("a web identity")
    with StsStub(clock_ahead_secs=600) as sts:
        # boto3 does not look at AWS_REGION
        aws(AWS_ENDPOINT_URL_STS=sts.url, AWS_DEFAULT_REGION=REGION)
        aws(AWS_WEB_IDENTITY_TOKEN_FILE=str(identity), AWS_ROLE_ARN=ROLE)
        by_identity, _ = MSKAuthTokenProvider.generate_auth_token(REGION)
        aws(AWS_USER)
        by_key, _ = MSKAuthTokenProvider.generate_auth_token_from_role_arn(REGION, ROLE)
        sts.refusal = ("AccessDenied", "not authorized to perform: sts:AssumeRole")
        with pytest.raises(ClientError, match="AccessDenied") as refused:
            MSKAuthTokenProvider.generate_auth_token_from_role_arn(REGION, ROLE)
    there = parsedate_to_datetime(refused.value.response["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert there.timestamp() - time.time() == pytest.approx(600, abs=30)
    asked = [one["Action"] for one in sts.requests]
    assert asked == ["AssumeRoleWithWebIdentity", "AssumeRole", "AssumeRole"]
    assert {one["RoleArn"] for one in sts.requests} == {ROLE}
    tokens = {"by a web identity": by_identity, "with a key": by_key}
    options = secure.options("IAM")
    check({name: (with_token(options, token), DELIVERED) for name, token in tokens.items()}, secure_topic())


def test_rights(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """What a user may not write, or what is missing and may not be seen, is refused; admin may write everywhere."""
    denied = "TOPIC_AUTHORIZATION_FAILED"
    alice, carol, admin = (secure.options("SASL_PLAINTEXT", user) for user in ("alice", "carol", "admin"))
    certificate = secure.options("MTLS")
    locked = secure_topic("locked")
    check({"carol": (carol, denied), "alice": (alice, DELIVERED)}, secure_topic())
    check({"alice": (alice, denied), "certificate": (certificate, denied), "admin": (admin, DELIVERED)}, locked)
    check({"alice": (alice, denied)}, "elsewhere")


def test_transactional_ids(secure: SecureBroker, secure_topic: Callable[..., str]) -> None:
    """Alice writes transactions under her own ids, and under no other."""
    options = {**secure.options("SASL_SSL"), "log_level": 0}
    topic = secure_topic()
    own = Producer({**options, "transactional.id": "alice-1"})
    own.init_transactions(10)
    own.begin_transaction()
    own.produce(topic, b"x")
    own.commit_transaction(10)
    other = Producer({**options, "transactional.id": "bob-1"})
    with pytest.raises(KafkaException) as refused:
        other.init_transactions(10)
    assert refused.value.args[0].name() == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
