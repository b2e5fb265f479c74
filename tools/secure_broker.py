"""A real Kafka with every kind of lock on its doors, for tests of TLS, SASL, tokens, AWS MSK IAM and ACLs.

    with SecureBroker() as secure:
        Producer(secure.options("SASL_SSL", "alice", mechanism="PLAIN"))

    python tools/secure_broker.py     starts it, prints its addresses, ends with Ctrl-C

Its listeners, all of one process:

    PLAINTEXT       open to anybody, with every right; the broker talks to itself here
    SSL             TLS; anybody, with every right
    MTLS            TLS with a client's certificate, issued under the root, which is all that the broker trusts
    SASL_PLAINTEXT  USERS by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
    SASL_SSL        the same over TLS
    OAUTHBEARER     any unsigned JSON web token that has not expired; its `sub` is the user
    EXPIRED         TLS with a server certificate that has expired
    BAD_HOST        TLS with a server certificate for another host
    IAM             over TLS, the login of AWS MSK by IAM: region REGION, the keys AWS_USER and AWS_SESSION
    ASTRAY          as PLAINTEXT, but clients are sent on to a port where nobody listens

Users may do this (the certificates alice and bob count as users, and so do the access keys of AWS):

    admin   everything
    alice   write to topics whose names begin with `open`, see those that begin with `locked`, use transactional ids
            that begin with `alice`; the certificate bob and the access keys: write to `open`
    carol   nothing

Nothing here is a secret of anybody.
"""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from broker import Broker, Listener
from kafka_jars import compile_java
from pki import make_pki

USERS = {"admin": "admin-password-3141", "alice": "alice-password-5926", "carol": "carol-password-5358"}
REGION = "eu-west-1"
# As environment variables of AWS's own tools: a user's key, and a session's, which is what roles give.
AWS_USER = {
    "AWS_ACCESS_KEY_ID": "AKIAPENSTOCKTEST",
    "AWS_SECRET_ACCESS_KEY": "penstock/test+secret/not-a-real-key",
}
AWS_SESSION = {
    "AWS_ACCESS_KEY_ID": "ASIAPENSTOCKTEMP",
    "AWS_SECRET_ACCESS_KEY": "temporarySecret/abc+def",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEBYaDHtest/session+token==",
}
# What a login by token lasts at most before the client has to log in again: short, so that a test sees it happen.
REAUTHENTICATE_MS = 15_000

LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "MTLS": "SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
    "OAUTHBEARER": "SASL_PLAINTEXT",
    "EXPIRED": "SSL",
    "BAD_HOST": "SSL",
    "IAM": "SASL_SSL",
    "ASTRAY": "PLAINTEXT",
}
NOBODYS_PORT = 1

_ALICE = ("alice", "CN=alice")
_WRITERS = (*_ALICE, "CN=bob", AWS_USER["AWS_ACCESS_KEY_ID"], AWS_SESSION["AWS_ACCESS_KEY_ID"])
# On every topic or transactional id that begins with the word.
RIGHTS = (
    (ResourceType.TOPIC, "open", AclOperation.WRITE, _WRITERS),
    (ResourceType.TOPIC, "open", AclOperation.DESCRIBE, _WRITERS),
    (ResourceType.TOPIC, "locked", AclOperation.DESCRIBE, _ALICE),
    (ResourceType.TRANSACTIONAL_ID, "alice", AclOperation.WRITE, _ALICE),
    (ResourceType.TRANSACTIONAL_ID, "alice", AclOperation.DESCRIBE, _ALICE),
)

CERTIFICATES = {"EXPIRED": "expired", "BAD_HOST": "bad_host"}  # all others: server
AWS_KEYS = "aws_keys.properties"  # for the validator
VALIDATOR = Path(__file__).resolve().parent.parent / "tests" / "broker" / "java" / "MskIamValidator.java"

_MODULES = "org.apache.kafka.common.security"
_PASSWORDS = " ".join(f'user_{user}="{password}"' for user, password in USERS.items())
_PLAIN = f"{_MODULES}.plain.PlainLoginModule required {_PASSWORDS};"
_SCRAM = f"{_MODULES}.scram.ScramLoginModule required;"
_OAUTH = f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"'
_UNSECURED = f"{_MODULES}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"


def _config() -> dict[str, str]:
    """Return the properties of the broker; files are named from its directory, where it starts."""
    found = {
        "num.network.threads": "1",  # of each listener
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.oauthbearer.oauthbearer.sasl.jaas.config": f"{_OAUTH};",
        "listener.name.oauthbearer.oauthbearer.sasl.server.callback.handler.class": _UNSECURED,
        "listener.name.iam.oauthbearer.sasl.jaas.config": f'{_OAUTH} mskRegion="{REGION}" mskKeys="{AWS_KEYS}";',
        "listener.name.iam.oauthbearer.sasl.server.callback.handler.class": "MskIamValidator",
    }
    for name, protocol in LISTENERS.items():
        prefix = f"listener.name.{name.lower()}"
        if protocol.endswith("SSL"):
            found[f"{prefix}.ssl.keystore.type"] = "PEM"
            found[f"{prefix}.ssl.keystore.location"] = f"pki/{CERTIFICATES.get(name, 'server')}_keystore.pem"
            found[f"{prefix}.ssl.truststore.type"] = "PEM"
            found[f"{prefix}.ssl.truststore.location"] = "pki/ca.pem"
        if name in {"OAUTHBEARER", "IAM"}:
            found[f"{prefix}.sasl.enabled.mechanisms"] = "OAUTHBEARER"
            found[f"{prefix}.connections.max.reauth.ms"] = str(REAUTHENTICATE_MS)
        elif protocol.startswith("SASL"):
            found[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
            found[f"{prefix}.plain.sasl.jaas.config"] = _PLAIN
            found[f"{prefix}.scram-sha-256.sasl.jaas.config"] = _SCRAM
            found[f"{prefix}.scram-sha-512.sasl.jaas.config"] = _SCRAM
    return found


class SecureBroker(Broker):
    """A Broker with the listeners above. It makes no topic on demand; `start` also grants what users may do.

    pki     paths of certificates and keys, by the names that pki.make_pki gives
    Raises  BrokerError as Broker does, and when the validator cannot be compiled
    """

    def __init__(self) -> None:
        super().__init__(
            listeners=[
                Listener(name, protocol, advertised=NOBODYS_PORT if name == "ASTRAY" else None)
                for name, protocol in LISTENERS.items()
            ],
            partitions=1,
            retention_bytes=16 << 20,
            heap="256m",
            auto_create=False,
            scram=USERS,
            classpath=[compile_java(VALIDATOR)],
            config=_config(),
        )
        self.pki: dict[str, Path] = {}

    def write_files(self) -> None:
        """Write the certificates and the keys of AWS too."""
        super().write_files()
        directory = Path(self._path("pki"))
        directory.mkdir()
        self.pki = make_pki(directory)
        keys = "".join(
            f"{one['AWS_ACCESS_KEY_ID']}.secret={one['AWS_SECRET_ACCESS_KEY']}\n" for one in (AWS_USER, AWS_SESSION)
        )
        token = f"{AWS_SESSION['AWS_ACCESS_KEY_ID']}.token={AWS_SESSION['AWS_SESSION_TOKEN']}\n"
        self.write_file(AWS_KEYS, keys + token)

    def start(self, *, timeout_secs: float = 90) -> None:
        """Start as Broker does, and grant."""
        super().start(timeout_secs=timeout_secs)
        try:
            self._grant()
        except BaseException:
            self.stop()
            raise

    def _grant(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        granted = [
            AclBinding(
                kind, prefix, ResourcePatternType.PREFIXED, f"User:{user}", "*", operation, AclPermissionType.ALLOW
            )
            for kind, prefix, operation, users in RIGHTS
            for user in users
        ]
        for done in admin.create_acls(granted, request_timeout=20).values():
            done.result()

    @property
    def addresses(self) -> dict[str, tuple[str, str]]:
        """(security.protocol, host:port) of each listener by name."""
        return {one.name: (one.protocol, f"{self.host}:{one.port}") for one in self.listeners}

    def options(self, listener: str, user: str = "alice", *, mechanism: str = "SCRAM-SHA-256") -> dict[str, str]:
        """Return librdkafka's options with which a user gets in; at IAM all but the token, which comes from elsewhere.

        user       of USERS; at MTLS one of the client certificates of make_pki, alice with her chain; at OAUTHBEARER
                   any name
        mechanism  at SASL_PLAINTEXT and SASL_SSL
        """
        protocol, address = self.addresses[listener]
        found = {"bootstrap.servers": address, "security.protocol": protocol}
        if protocol.endswith("SSL"):
            found["ssl.ca.pem"] = self.pki["ca"].read_text()
        if listener == "MTLS":
            found["ssl.certificate.pem"] = self.pki["alice_chain" if user == "alice" else user].read_text()
            found["ssl.key.pem"] = self.pki[f"{user}_key"].read_text()
        elif listener == "OAUTHBEARER":
            found["sasl.mechanism"] = "OAUTHBEARER"
            found["enable.sasl.oauthbearer.unsecure.jwt"] = "true"
            found["sasl.oauthbearer.config"] = f"principal={user}"
        elif listener == "IAM":
            found["sasl.mechanism"] = "OAUTHBEARER"
        elif protocol.startswith("SASL"):
            found |= {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": USERS[user]}
        return found


def main() -> None:
    """Start one and keep it until Ctrl-C."""
    try:
        with SecureBroker() as secure:
            for name, (protocol, address) in secure.addresses.items():
                print(f"{name:15} {protocol:15} {address}")
            print(f"certificates in {secure.directory}/pki, users and keys in {__file__}", flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
