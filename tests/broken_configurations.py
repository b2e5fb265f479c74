"""Broken configurations, and the one sentence that each of them gets: the data of tests and of a table of the README.

Each is a connector's transport.config for the Kafka of tools/secure_broker.py, right but for one thing. A sentence has
`{names}` for what differs from run to run; PLACEHOLDERS says how these look, and what stands in the README for them.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

PLACEHOLDERS = {
    "file": ("connector.json", r"\S+connector\.json|config"),
    "address": ("broker:9093", r"127\.0\.0\.1:\d+"),
    "host": ("10.0.0.7", r"127\.0\.0\.1"),
    "port": ("9093", r"\d+"),
    "topic": ("orders", r"(?:open|locked|missing)\.[\w.]+"),
    "date": ("2026-11-27 08:00", r"\d{4}-\d\d-\d\d \d\d:\d\d"),
}

Options = dict[str, Any]


class Place(Protocol):
    """What a configuration is made of."""

    topic: str  # that alice may write to
    locked: str  # that she only sees
    tiny: str  # hers too, for messages of at most 100 bytes
    unused_port: int  # where nobody listens
    web_server: int  # a port too

    def options(self, listener: str, user: str = "alice", mechanism: str = "SCRAM-SHA-256") -> Options: ...
    def pem(self, name: str) -> str: ...
    def aws(self, secret: str | None = None) -> None: ...


class Broken(NamedTuple):
    """One configuration.

    what    is wrong, in a few words: the first column of the table, and the name of the test
    make    the transport.config
    said    the sentence
    step    of `penstock check` that fails; configuration means ConfigError, every other ConnectError
    writer  settings of its own
    waited  the sentence of a writer, where it waits first: initialization_timeout_secs, which is 1, or for the topic
    """

    what: str
    make: Callable[[Place], Options]
    said: str
    step: str = "configuration"
    writer: Options = {}  # noqa: RUF012 - never changed
    waited: str = ""

    @property
    def example(self) -> str:
        """The sentence as it may look."""
        return re.sub(r"\{(\w+)\}", lambda found: PLACEHOLDERS[found[1]][0], self.said)

    @property
    def by_environment(self) -> bool:
        """Made by variables of the environment, of which there is one for all threads."""
        return self.what.startswith("AWS")

    @property
    def exit_code(self) -> int:
        return 2 if self.step == "configuration" else 4


def pattern(sentence: str) -> re.Pattern[str]:
    """Return a sentence as a regular expression."""
    parts = re.split(r"\{(\w+)\}", sentence)
    return re.compile(
        "".join(f"(?:{PLACEHOLDERS[part][1]})" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    )


def without(options: Options, *names: str) -> Options:
    return {name: value for name, value in options.items() if name not in names}


def certificate(at: Place, name: str, key: str) -> Options:
    return {**at.options("MTLS"), "ssl.certificate.pem": at.pem(name), "ssl.key.pem": at.pem(key)}


def msk(at: Place, secret: str | None = None) -> Options:
    at.aws(secret)
    return {**at.options("IAM"), "region": "eu-west-1"}


def no_token(_: str) -> tuple[str, float]:
    """An oauth_cb that has a bad day."""
    raise RuntimeError("the identity server is down")


def bad_token(_: str) -> tuple[str, float]:
    """An oauth_cb that makes what is no token."""
    return "TOKEN-of-nobody", time.time() + 60


def expired_token(_: str) -> tuple[str, float]:
    """An oauth_cb whose token is good for a minute more only by its own account, as where the clock is slow."""
    from unittest import mock

    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.credentials import CredentialProvider, Credentials

    from secure_broker import AWS_USER, REGION

    provider = CredentialProvider()
    provider.load = lambda: Credentials(*AWS_USER.values())
    quiet = mock.patch.object(logging.getLogger("botocore.auth"), "disabled", new=True)  # at level debug it tells all
    with quiet, mock.patch.object(MSKAuthTokenProvider, "DEFAULT_TOKEN_EXPIRY_SECONDS", 0):
        token, _ = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(REGION, provider)
    return token, time.time() + 60


HERE = "broken_configurations"

BROKEN = [
    # the address
    Broken(
        "a name that does not resolve",
        lambda _: {"bootstrap.servers": "kafka.invalid:9092"},
        'kafka.invalid:9092: the name "kafka.invalid" does not resolve: Name or service not known; check its '
        "spelling in bootstrap.servers, and the DNS of this machine",
        "address",
        waited='no broker answered at kafka.invalid:9092 within 1 s (initialization_timeout_secs) for topic "{topic}": '
        'kafka.invalid:9092: the name "kafka.invalid" does not resolve: Name or service not known; check its '
        "spelling in bootstrap.servers, and the DNS of this machine",
    ),
    Broken(
        "nobody listens",
        lambda at: {"bootstrap.servers": f"127.0.0.1:{at.unused_port}"},
        "{address}: nobody listens at {host}: connection refused; is the broker running, and is {port} the "
        "port of its listener?",
        "address",
        waited='no broker answered at {address} within 1 s (initialization_timeout_secs) for topic "{topic}": '
        "{address}: nobody listens at {host}: connection refused; is the broker running, and is {port} the "
        "port of its listener?",
    ),
    Broken(
        "not a Kafka",
        lambda at: {"bootstrap.servers": f"127.0.0.1:{at.web_server}"},
        '{address}: no Kafka broker is there: it answers like HTTP, with "HTTP/1.1 400 Bad Request"; give the'
        " address of a Kafka listener",
        "address",
    ),
    Broken(
        "a broker that sends clients on to a wrong address",
        lambda at: at.options("ASTRAY"),
        "{address}: clients are sent on to this address (advertised.listeners), but nobody listens at {host}:"
        " connection refused; is the broker running, and is {port} the port of its listener?",
        "address",
        waited='no broker answered at {address} within 1 s (initialization_timeout_secs) for topic "{topic}": '
        "broker 1, advertised as {address}: nobody listens at {host}: connection refused; is the broker running, and "
        "is {port} the port of its listener?",
    ),
    Broken(
        "plaintext at a listener with TLS",
        lambda at: {"bootstrap.servers": at.options("SSL")["bootstrap.servers"]},
        "{address}: the listener speaks TLS without SASL, but security.protocol is PLAINTEXT; use "
        "security.protocol=SSL",
        "address",
    ),
    Broken(
        "TLS at a plaintext listener",
        lambda at: {**at.options("SSL"), "bootstrap.servers": at.options("PLAINTEXT")["bootstrap.servers"]},
        "{address}: the listener speaks plaintext without SASL, but security.protocol is SSL; use "
        "security.protocol=PLAINTEXT, or the address of a listener that speaks TLS",
        "address",
    ),
    Broken(
        "no SASL at a listener with SASL",
        lambda at: {"bootstrap.servers": at.options("SASL_PLAINTEXT")["bootstrap.servers"]},
        "{address}: the listener speaks plaintext with SASL, but security.protocol is PLAINTEXT; use "
        "security.protocol=SASL_PLAINTEXT and sasl.mechanism=PLAIN, SCRAM-SHA-512 or SCRAM-SHA-256",
        "address",
    ),
    Broken(
        "SASL at a listener without",
        lambda at: {**at.options("SASL_PLAINTEXT"), "bootstrap.servers": at.options("PLAINTEXT")["bootstrap.servers"]},
        "{address}: the listener speaks plaintext without SASL, but security.protocol is SASL_PLAINTEXT; use "
        "security.protocol=PLAINTEXT",
        "address",
    ),
    Broken(
        "a mechanism that the listener has not",
        lambda at: {
            **at.options("SASL_PLAINTEXT"),
            "bootstrap.servers": at.options("OAUTHBEARER")["bootstrap.servers"],
        },
        "{address}: the listener offers SASL OAUTHBEARER, but sasl.mechanism is SCRAM-SHA-256; use "
        "sasl.mechanism=OAUTHBEARER, or enable SCRAM-SHA-256 on the listener",
        "address",
    ),
    # the broker's certificate
    Broken(
        "another authority than the broker's",
        lambda at: {**at.options("SSL"), "ssl.ca.pem": at.pem("other_ca")},
        '{address}: the broker\'s certificate "localhost" is issued by "penstock test root", which does not '
        'lead to any of ssl.ca.pem ("some other root"); add the root certificate of its issuer to ssl.ca.pem',
        "address",
    ),
    Broken(
        "no authority given for a private one",
        lambda at: without(at.options("SSL"), "ssl.ca.pem"),
        '{address}: the broker\'s certificate "localhost" is issued by "penstock test root", which does not '
        "lead to any of this system's authorities (ssl.ca.location=probe); add the root certificate of its "
        "issuer to ssl.ca.pem or ssl.ca.location",
        "address",
    ),
    Broken(
        "the broker's certificate has expired",
        lambda at: at.options("EXPIRED"),
        '{address}: the broker\'s certificate "localhost" expired on {date} UTC; renew it on the broker, or is'
        " the clock of this machine wrong?",
        "address",
    ),
    Broken(
        "the broker's certificate is for another host",
        lambda at: at.options("BAD_HOST"),
        "{address}: the broker's certificate is for kafka.example, not for {host}; use that name in "
        "bootstrap.servers and in the broker's advertised.listeners, or issue a certificate for this one",
        "address",
    ),
    Broken(
        "the file of authorities is missing",
        lambda at: {**without(at.options("SSL"), "ssl.ca.pem"), "ssl.ca.location": "/nowhere/ca.pem"},
        "ssl.ca.location=/nowhere/ca.pem ({file}: transport.config): the file cannot be read, no such file or"
        " directory; check its path and rights",
    ),
    Broken(
        "PEM cut off",
        lambda at: {**at.options("SSL"), "ssl.ca.pem": at.pem("ca")[:300]},
        "ssl.ca.pem=<not shown> ({file}: transport.config): -----BEGIN CERTIFICATE----- has no end; copy the "
        "whole text again",
    ),
    Broken(
        "no PEM at all",
        lambda at: {**at.options("SSL"), "ssl.ca.pem": "my-ca"},
        "ssl.ca.pem=<not shown> ({file}: transport.config): this is not PEM, nothing in it begins with -----BEGIN",
    ),
    # our certificate
    Broken(
        "no client certificate",
        lambda at: without(at.options("MTLS"), "ssl.certificate.pem", "ssl.key.pem"),
        '{address}: the listener demands a client certificate and none is given (TLS alert "bad '
        'certificate"); set ssl.certificate.pem and ssl.key.pem, or their .location forms',
        "address",
    ),
    Broken(
        "a client certificate of an authority that the broker does not know",
        lambda at: certificate(at, "eve", "eve_key"),
        '{address}: the broker refuses the client certificate of ssl.certificate.pem (TLS alert "certificate '
        'unknown"); is it expired, do the intermediate certificates follow it there, and is their root in the'
        " truststore of this listener?",
        "address",
    ),
    Broken(
        "a client certificate without its intermediate",
        lambda at: certificate(at, "alice", "alice_key"),
        '{address}: the broker refuses the client certificate of ssl.certificate.pem (TLS alert "certificate '
        'unknown"); is it expired, do the intermediate certificates follow it there, and is their root in the'
        " truststore of this listener?",
        "address",
    ),
    Broken(
        "an expired client certificate",
        lambda at: certificate(at, "late", "late_key"),
        'ssl.certificate.pem=<not shown> ({file}: transport.config): the certificate of "CN=late" expired on '
        "{date} UTC; have it renewed",
    ),
    Broken(
        "the key of another certificate",
        lambda at: certificate(at, "alice_chain", "bob_key"),
        "ssl.key.pem=<not shown> ({file}: transport.config): the key matches no certificate of "
        'ssl.certificate.pem=<not shown> ({file}: transport.config), whose first is that of "CN=alice"; give '
        "the key that was made for it",
    ),
    Broken(
        "a certificate without a key",
        lambda at: without(at.options("MTLS"), "ssl.key.pem"),
        "ssl.certificate.pem=<not shown> ({file}: transport.config): the certificate has no key, so the "
        "broker will refuse it; give ssl.key.pem or ssl.key.location (the same path, where the file holds "
        "both)",
    ),
    Broken(
        "an encrypted key, no password",
        lambda at: certificate(at, "alice_chain", "alice_key_encrypted"),
        "ssl.key.pem=<not shown> ({file}: transport.config): the key is encrypted; give its password as "
        "ssl.key.password",
    ),
    Broken(
        "an encrypted key, wrong password",
        lambda at: {**certificate(at, "alice_chain", "alice_key_encrypted"), "ssl.key.password": "wrong-key-password"},
        "ssl.key.pem=<not shown> ({file}: transport.config): ssl.key.password does not open this key; check it",
    ),
    # users and passwords
    Broken(
        "a wrong password, PLAIN",
        lambda at: {**at.options("SASL_SSL", mechanism="PLAIN"), "sasl.password": "wrong-password"},
        '{address}: the broker refuses user "alice" with SASL PLAIN: Invalid username or password; check '
        "sasl.username and sasl.password",
        "login",
    ),
    Broken(
        "a wrong password, SCRAM",
        lambda at: {**at.options("SASL_PLAINTEXT"), "sasl.password": "wrong-password"},
        '{address}: the broker refuses user "alice" with SASL SCRAM-SHA-256: Authentication failed during '
        "authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256; check sasl.username and"
        " sasl.password",
        "login",
    ),
    Broken(
        "no user name",
        lambda at: without(at.options("SASL_SSL"), "sasl.username"),
        "sasl.mechanism=SCRAM-SHA-256 ({file}: transport.config): it needs sasl.username and sasl.password, "
        "of which sasl.username is missing",
    ),
    Broken(
        "no sasl.mechanism",
        lambda at: without(at.options("SASL_SSL"), "sasl.mechanism"),
        "security.protocol=SASL_SSL ({file}: transport.config): sasl.mechanism is missing; give one of PLAIN,"
        " SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, GSSAPI",
    ),
    Broken(
        "Kerberos",
        lambda at: {**at.options("SASL_SSL"), "sasl.mechanism": "GSSAPI"},
        "sasl.mechanism=GSSAPI ({file}: transport.config): this librdkafka was built without Kerberos, as all"
        " of confluent-kafka's wheels are; build confluent-kafka on a librdkafka that has libsasl2 (pip "
        "install --no-binary confluent-kafka confluent-kafka), or give another mechanism",
    ),
    Broken(
        "an environment variable that is not set",
        lambda at: {**at.options("SASL_SSL"), "sasl.password": "${env:KAFKA_PASSWORD}"},
        "{file}: transport.config: sasl.password: ${env:KAFKA_PASSWORD}: the environment variable is not set;"
        " set it, or give the value itself",
    ),
    # tokens
    Broken(
        "OAUTHBEARER without a source of tokens",
        lambda at: at.options("IAM"),
        "sasl.mechanism=OAUTHBEARER ({file}: transport.config) with {file}: writer.aws_iam=false: nothing "
        "says where tokens come from; give sasl.oauthbearer.token.endpoint.url for OIDC, oauth_cb for a "
        "function of your own, or enable.sasl.oauthbearer.unsecure.jwt=true",
        writer={"aws_iam": False},
    ),
    Broken(
        "AWS MSK without a region",
        lambda at: at.options("IAM"),
        "sasl.mechanism=OAUTHBEARER ({file}: transport.config) means AWS MSK IAM, which needs the region of "
        "the cluster, and there is none; give it as `region` in the connector's transport.config (region=...,"
        " --region), or in the environment as AWS_REGION",
    ),
    Broken(
        "AWS MSK without credentials",
        lambda at: {**at.options("IAM"), "region": "eu-west-1"},
        "AWS MSK IAM, region eu-west-1: no token to log in with: boto3 finds no AWS credentials, neither in "
        "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) nor in ~/.aws/credentials nor as a "
        "role of this machine",
        "login",
    ),
    Broken(
        "AWS MSK, a wrong secret key",
        lambda at: msk(at, "wrong-secret-access-key"),
        "{address}: the broker refuses the token of AWS MSK IAM for region eu-west-1: signature_mismatch; "
        "check that the cluster is there, the AWS credentials and what their policy allows, and the clock of "
        "this machine",
        "login",
    ),
    Broken(
        "AWS MSK, a wrong region",
        lambda at: {**msk(at), "region": "us-east-1"},
        "{address}: the broker refuses the token of AWS MSK IAM for region us-east-1: "
        "wrong_host:kafka.us-east-1.amazonaws.com; check that the cluster is there, the AWS credentials and "
        "what their policy allows, and the clock of this machine",
        "login",
    ),
    Broken(
        "AWS MSK, a token that has expired",
        lambda at: at.options("IAM"),
        "{address}: the broker refuses the token of SASL OAUTHBEARER: token_expired; check for whom it is "
        "made, how long it is valid, and the clock of this machine",
        "login",
        {"oauth_cb": f"{HERE}:expired_token"},
    ),
    Broken(
        "oauth_cb fails",
        lambda at: at.options("IAM"),
        'oauth_cb "broken_configurations:no_token": no token to log in with: it raised RuntimeError: the '
        "identity server is down",
        "login",
        {"oauth_cb": f"{HERE}:no_token"},
    ),
    Broken(
        "a token that the broker refuses",
        lambda at: at.options("IAM"),
        "{address}: the broker refuses the token of SASL OAUTHBEARER: not_a_presigned_url; check for whom it "
        "is made, how long it is valid, and the clock of this machine",
        "login",
        {"oauth_cb": f"{HERE}:bad_token"},
    ),
    # the topic
    Broken(
        "the topic is missing",
        lambda at: {**at.options("SSL"), "topic": "missing.one"},
        'topic "{topic}" does not exist on {address}; check its name, or have it made: '
        'create_topic={"partitions": …, "replication_factor": …, "config": {…}}',
        "topic",
        waited='topic "{topic}" does not exist on {address}, and the broker did not create it within 5 s; check its '
        'name, or have it made: create_topic={"partitions": …, "replication_factor": …, "config": {…}}',
    ),
    Broken(
        "a topic that this user may not see",
        lambda at: at.options("SASL_SSL", "carol"),
        'topic "{topic}" on {address}: the broker does not let this login see the topic, if it exists; ask '
        "for an ACL that allows WRITE (TOPIC_AUTHORIZATION_FAILED)",
        "rights",
    ),
    Broken(
        "a topic that this user may not write to",
        lambda at: {**at.options("SASL_SSL"), "topic": at.locked},
        'topic "{topic}" on {address}: the broker lets this login see the topic, but not write to it; ask for'
        " an ACL that allows WRITE",
        "rights",
    ),
    Broken(
        "a topic too small for any message",
        lambda at: {**at.options("SSL"), "topic": at.tiny},
        'topic "{topic}" takes at most 100 bytes (its max.message.bytes), which leaves no room for a message; raise it',
        "limit",
    ),
]
