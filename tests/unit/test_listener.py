"""listener: every sentence about an address, against small servers that are wrong in one way each."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from penstock import explain as explaining
from penstock import listener
from penstock.explain import Explanation, explain
from penstock.listener import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from pki import KEY_PASSWORD, LOCALHOST, SERVER, issue, make_pki

SECONDS = 5.0  # of patience: no test waits for it
SHORT = 0.1
UNWELL = "is it a Kafka broker, is it well, or is a proxy in between?"


# Servers. A handler has one connection; whatever goes wrong there ends it.


def kafka(*mechanisms: str, knows: tuple[int, ...] = (3, 17, 18)) -> Callable[[socket.socket], None]:
    """Answer ApiVersions and SaslHandshake as a listener with these mechanisms does, close for anything else."""

    def handle(stream: socket.socket) -> None:
        with stream.makefile("rb") as asked:
            while size := int.from_bytes(asked.read(4), "big"):
                if size > 1 << 20:  # such as the beginning of TLS
                    return
                key, _, correlation = struct.unpack_from(">hhi", request := asked.read(size))
                if key == 18:
                    body = struct.pack(">hi", 0, len(knows)) + b"".join(struct.pack(">hhh", one, 0, 4) for one in knows)
                elif key == 17:
                    wanted = request[-int.from_bytes(request[18:20], "big") :].decode()
                    error = 34 if not mechanisms else 0 if wanted in mechanisms else 33
                    names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in mechanisms)
                    body = struct.pack(">hi", error, len(mechanisms)) + names
                else:
                    return
                stream.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)

    return handle


def says(answer: bytes) -> Callable[[socket.socket], None]:
    """Answer the first request with this."""

    def handle(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(answer)

    return handle


def closes(stream: socket.socket) -> None:
    """Close at once."""


def is_silent(stream: socket.socket) -> None:
    """Take everything, answer nothing."""
    while stream.recv(4096):
        pass


class Server:
    """A listener on the loopback, closed by its fixture; `open` counts its connections."""

    def __init__(self, handle: Callable[[socket.socket], None], tls: ssl.SSLContext | None) -> None:
        self.handle, self.tls, self.open = handle, tls, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.address = f"localhost:{self.port}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self.socket.accept()
                self.open += 1
                threading.Thread(target=self.visit, args=(connection,), daemon=True).start()

    def visit(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError, struct.error):
            stream = opened.enter_context(connection)
            connection.settimeout(SECONDS)
            if self.tls is not None:
                stream = opened.enter_context(self.tls.wrap_socket(connection, server_side=True))
            self.handle(stream)
        self.open -= 1


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The certificates of tools/pki.py and odd ones: signed by itself, to come, of authorities that are too old."""
    directory = tmp_path_factory.mktemp("pki")
    paths = make_pki(directory)
    old, renewed = issue("old root", days=(-30, -1)), issue("penstock test root")
    odd = {
        "renewed": renewed,
        "old_ca": old,
        "self_signed": issue("localhost"),
        "early": issue("localhost", renewed, use=SERVER, hosts=LOCALHOST, days=(1, 30)),
        "of_old_ca": issue("localhost", old, use=SERVER, hosts=LOCALHOST),
        "many_names": issue(
            "many", renewed, use=SERVER, hosts=tuple(x509.DNSName(f"b{one}.example") for one in range(5))
        ),
        "unnamed": issue("kafka.example", renewed, use=SERVER),
    }
    for name, one in odd.items():
        paths[name], paths[f"{name}_key"] = directory / f"{name}.pem", directory / f"{name}_key.pem"
        paths[name].write_text(one.pem)
        paths[f"{name}_key"].write_text(one.key_pem())
    (directory / "empty").mkdir()
    return paths | {"directory": directory / "empty"}


@pytest.fixture
def serve(pki: dict[str, Path]) -> Iterator[Callable[..., Server]]:
    """Open servers: of a handler, with the certificate of a name of pki, asking for client certificates of `ca`."""
    with contextlib.ExitStack() as opened:

        def start(
            handle: Callable[[socket.socket], None],
            certificate: str | None = None,
            *,
            clients: bool = False,
            **more: Any,
        ) -> Server:
            tls = None
            if certificate is not None:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(pki[certificate], pki[f"{certificate}_key"])
                tls.load_verify_locations(pki["ca"])
                tls.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is tested
                    for name, value in more.items():
                        setattr(tls, name, value)
                    if "maximum_version" in more:
                        tls.set_ciphers("ALL:@SECLEVEL=0")
            server = Server(handle, tls)
            opened.callback(server.socket.close)
            return server

        yield start


def problem(server: Server, options: dict[str, str], timeout_secs: float = SECONDS) -> str | None:
    """Return the sentence without the address that it starts with."""
    found = inspect(server.address, options, timeout_secs)
    assert found.address == server.address
    assert found.resolved == ("127.0.0.1",)
    assert not any(secret in str(found.problem) for secret in ("-----", KEY_PASSWORD))
    return found.problem and found.problem.removeprefix(f"{server.address}: ")


def tls(pki: dict[str, Path], ca: str = "ca", **options: str) -> dict[str, str]:
    """Return options of a TLS client; underscores stand for dots."""
    named = {name.replace("_", "."): value for name, value in options.items()}
    return {"security.protocol": "ssl", "ssl.ca.pem": pki[ca].read_text(), **named}


def presenting(pki: dict[str, Path], name: str, chain: str | None = None) -> dict[str, str]:
    return tls(pki, ssl_certificate_pem=pki[chain or name].read_text(), ssl_key_pem=pki[f"{name}_key"].read_text())


# Protocols.

PROTOCOLS = [
    # of the listener: mechanisms, certificate; configured; sentence
    ((), None, {}, None),
    ((), "server", {"security.protocol": "SSL"}, None),
    (("PLAIN",), None, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}, None),
    (("PLAIN", "SCRAM-SHA-512"), "server", {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512"}, None),
    (
        (),
        "server",
        {},
        "the listener speaks TLS without SASL, but security.protocol is PLAINTEXT; use security.protocol=SSL",
    ),
    (
        ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
        "server",
        {"security.protocol": "plaintext"},
        (
            "the listener speaks TLS with SASL, but security.protocol is PLAINTEXT; use security.protocol=SASL_SSL and "
            "sasl.mechanism=PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
        ),
    ),
    (
        ("PLAIN",),
        "server",
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
        "the listener speaks TLS with SASL, but security.protocol is SASL_PLAINTEXT; use security.protocol=SASL_SSL",
    ),
    (
        ("PLAIN",),
        "server",
        {"security.protocol": "SSL"},
        (
            "the listener speaks TLS with SASL, but security.protocol is SSL; use security.protocol=SASL_SSL and "
            "sasl.mechanism=PLAIN"
        ),
    ),
    (
        ("PLAIN",),
        None,
        {"security.protocol": "PLAINTEXT"},
        (
            "the listener speaks plaintext with SASL, but security.protocol is PLAINTEXT; use "
            "security.protocol=SASL_PLAINTEXT and sasl.mechanism=PLAIN"
        ),
    ),
    (
        (),
        None,
        {"security.protocol": "SSL"},
        (
            "the listener speaks plaintext without SASL, but security.protocol is SSL; use "
            "security.protocol=PLAINTEXT, or the address of a listener that speaks TLS"
        ),
    ),
    (
        ("OAUTHBEARER",),
        None,
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"},
        (
            "the listener speaks plaintext with SASL, but security.protocol is SASL_SSL; use "
            "security.protocol=SASL_PLAINTEXT, or the address of a listener that speaks TLS"
        ),
    ),
    (
        (),
        None,
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
        (
            "the listener speaks plaintext without SASL, but security.protocol is SASL_PLAINTEXT; use "
            "security.protocol=PLAINTEXT"
        ),
    ),
    (
        (),
        "server",
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"},
        "the listener speaks TLS without SASL, but security.protocol is SASL_SSL; use security.protocol=SSL",
    ),
    (
        ("PLAIN", "SCRAM-SHA-512"),
        None,
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"},
        (
            "the listener offers SASL PLAIN, SCRAM-SHA-512, but sasl.mechanism is OAUTHBEARER; use "
            "sasl.mechanism=PLAIN or SCRAM-SHA-512, or enable OAUTHBEARER on the listener"
        ),
    ),
    (
        ("PLAIN",),
        "server",
        {"security.protocol": "SASL_SSL"},
        (
            "the listener offers SASL PLAIN, but sasl.mechanism is GSSAPI, the default; use sasl.mechanism=PLAIN, or "
            "enable GSSAPI on the listener"
        ),
    ),
]


@pytest.mark.parametrize(("mechanisms", "secure", "options", "sentence"), PROTOCOLS)
def test_a_listener_of_another_protocol_is_named(
    serve: Any, pki: Any, mechanisms: tuple[str, ...], secure: str | None, options: dict[str, str], sentence: str | None
) -> None:
    """The sentence has what is configured, what is there, and the options that fit it; nothing where they fit."""
    server = serve(kafka(*mechanisms), secure)
    assert problem(server, {"ssl.ca.location": str(pki["ca"]), **options}) == sentence


def test_a_broker_that_does_not_know_of_sasl_has_none(serve: Any) -> None:
    """A listener that does not list SaslHandshake is not asked for it."""
    assert problem(serve(kafka("PLAIN", knows=(3, 18))), {}) is None


# Certificates of the broker.

BROKER_CERTIFICATES = [
    ("server", {"ssl.ca.location": "ca"}, None),
    ("server", {"ssl.ca.pem": "ca"}, None),
    (
        "server",
        {"ssl.ca.pem": "other_ca"},
        (
            'the broker\'s certificate "localhost" is issued by "penstock test root", which does not lead to any of '
            'ssl.ca.pem ("some other root"); add the root certificate of its issuer to ssl.ca.pem'
        ),
    ),
    (
        "server",
        {"ssl.ca.location": "other_ca"},
        (
            'the broker\'s certificate "localhost" is issued by "penstock test root", which does not lead to any of '
            'ssl.ca.location ("some other root"); add the root certificate of its issuer to ssl.ca.location'
        ),
    ),
    (
        "server",
        {"ssl.ca.location": "directory"},
        (
            'the broker\'s certificate "localhost" is issued by "penstock test root", which does not lead to any of '
            "ssl.ca.location; add the root certificate of its issuer to ssl.ca.location"
        ),
    ),
    (
        "server",
        {"ssl.ca.location": "probe"},
        (
            'the broker\'s certificate "localhost" is issued by "penstock test root", which does not lead to any of '
            "this "
            "system's authorities (ssl.ca.location=probe); add the root certificate of its issuer to ssl.ca.pem or "
            "ssl.ca.location"
        ),
    ),
    (
        "server",
        {"ssl.ca.pem": "renewed"},
        (
            'the broker\'s certificate "localhost" is issued by another "penstock test root" than the one in '
            "ssl.ca.pem: it has the same name and another key; replace the one in ssl.ca.pem by the present one"
        ),
    ),
    (
        "self_signed",
        {"ssl.ca.pem": "ca"},
        (
            'the broker\'s certificate "localhost" is signed by itself and is not among ssl.ca.pem ("penstock test '
            'root"); add that certificate to ssl.ca.pem'
        ),
    ),
    (
        "bad_host",
        {"ssl.ca.pem": "ca"},
        (
            "the broker's certificate is for kafka.example, not for localhost; use that name in bootstrap.servers "
            "and in the broker's advertised.listeners, or issue a certificate for this one"
        ),
    ),
    (
        "many_names",
        {"ssl.ca.pem": "renewed"},
        (
            "the broker's certificate is for b0.example, b1.example, b2.example, …, not for localhost; use one of its "
            "names in bootstrap.servers and in the broker's advertised.listeners, or issue a certificate for this one"
        ),
    ),
    (
        "unnamed",
        {"ssl.ca.pem": "renewed"},
        (
            "the broker's certificate is for kafka.example, not for localhost; use that name in bootstrap.servers "
            "and in the broker's advertised.listeners, or issue a certificate for this one"
        ),
    ),
    ("bad_host", {"ssl.ca.pem": "ca", "ssl.endpoint.identification.algorithm": "none"}, None),
    ("bad_host", {"ssl.ca.pem": "other_ca", "enable.ssl.certificate.verification": "false"}, None),
    (
        "server",
        {"ssl.ca.location": "/nowhere/ca.pem"},
        "ssl.ca.location cannot be used: No such file or directory; give the authorities that sign for the brokers",
    ),
    (
        "server",
        {"ssl.ca.location": "alice_key"},
        "ssl.ca.location cannot be used: no PEM certificates in it; give the authorities that sign for the brokers",
    ),
]


@pytest.mark.parametrize(("certificate", "options", "sentence"), BROKER_CERTIFICATES)
def test_a_refused_certificate_of_the_broker_is_explained(
    serve: Any, pki: Any, certificate: str, options: dict[str, str], sentence: str | None
) -> None:
    """Unknown authority, another host and unusable authorities each have a sentence, with the names at stake."""
    given = {
        name: pki[value].read_text() if name.endswith(".pem") else str(pki.get(value, value))
        for name, value in options.items()
    }
    server = serve(kafka(), certificate)
    found = inspect(server.address, {"security.protocol": "SSL", **given}, SECONDS).problem
    assert found == (sentence and f"{server.address}: {sentence}")


DATES = [
    ("expired", "ca", 'the broker\'s certificate "localhost" expired on {until}; renew it on the broker,'),
    ("early", "renewed", 'the broker\'s certificate "localhost" is valid only from {since}; wait,'),
    (
        "of_old_ca",
        "old_ca",
        'an authority of the broker\'s certificate "localhost" has expired; renew it on the broker,',
    ),
]


@pytest.mark.parametrize(("certificate", "ca", "sentence"), DATES)
def test_a_certificate_out_of_its_time_is_dated(serve: Any, pki: Any, certificate: str, ca: str, sentence: str) -> None:
    """Expired and not yet valid are told with the date that counts, and an expired authority from its leaf."""
    read = x509.load_pem_x509_certificate(pki[certificate].read_bytes())
    since, until = (f"{one:%Y-%m-%d %H:%M} UTC" for one in (read.not_valid_before_utc, read.not_valid_after_utc))
    found = problem(serve(kafka(), certificate), tls(pki, ca))
    assert found == sentence.format(since=since, until=until) + " or is the clock of this machine wrong?"


# Certificates of ours.

DEMAND = (
    "the listener demands a client certificate and none is given (TLS alert {}); set ssl.certificate.pem and "
    "ssl.key.pem, or their .location forms"
)
REFUSAL = (
    "the broker refuses the client certificate of ssl.certificate.pem (TLS alert {}); is it expired, do the "
    "intermediate certificates follow it there, and is their root in the truststore of this listener?"
)


@pytest.mark.parametrize(
    ("name", "chain", "sentence"),
    [
        ("bob", "bob", None),
        ("alice", "alice_chain", None),
        ("alice", "alice", REFUSAL.format('"unknown ca"')),
        ("late", "late", REFUSAL.format('"certificate expired"')),
        ("eve", "eve", REFUSAL.format('"unknown ca"')),
        (
            "alice",
            "bob",
            (
                "ssl.certificate.pem and its key cannot be used: the key is of another certificate; do they belong "
                "together, and is ssl.key.password right?"
            ),
        ),
    ],
)
def test_a_refused_certificate_of_ours_is_told_by_the_alert(
    serve: Any, pki: Any, name: str, chain: str, sentence: str | None
) -> None:
    """TLS 1.3 tells only after the handshake whether the broker takes our certificate, and it is heard then."""
    assert problem(serve(kafka(), "server", clients=True), presenting(pki, name, chain)) == sentence


LOCKED = (
    "ssl.certificate.location and its key cannot be used: a PEM part is missing, or locked; do they belong together, "
    "and is ssl.key.password right?"
)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [({"ssl.key.password": KEY_PASSWORD}, None), ({"ssl.key.password": "wrong"}, LOCKED), ({}, LOCKED)],
)
def test_an_encrypted_key_is_opened_with_its_password(
    serve: Any, pki: Any, password: dict[str, str], sentence: str | None
) -> None:
    """A key of a file takes ssl.key.password; without one nobody is asked for it."""
    files = {"ssl_certificate_location": str(pki["alice_chain"]), "ssl_key_location": str(pki["alice_key_encrypted"])}
    assert problem(serve(kafka(), "server", clients=True), tls(pki, **files) | password) == sentence


def test_a_listener_that_demands_a_certificate_says_so(serve: Any, pki: Any) -> None:
    """No certificate, a certificate without its key, and plaintext, each at a listener that demands one."""
    server = serve(kafka(), "server", clients=True)
    assert problem(server, tls(pki)) == DEMAND.format('"certificate required"')
    assert problem(server, tls(pki, ssl_certificate_pem="of nobody")) == DEMAND.format('"certificate required"')
    plain = "the listener speaks TLS and demands a client certificate, but security.protocol is {}; use "
    with_one = " with ssl.certificate.pem and ssl.key.pem"
    assert problem(server, {}) == plain.format("PLAINTEXT") + "security.protocol=SSL" + with_one
    found = problem(server, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"})
    assert found == plain.format("SASL_PLAINTEXT") + "security.protocol=SASL_SSL" + with_one


def test_a_keystore_is_left_to_librdkafka(serve: Any, pki: Any) -> None:
    """What a broker says to a visit without the certificate of ssl.keystore.location is no problem of the client."""
    server = serve(kafka(), "server", clients=True)
    assert problem(server, tls(pki, ssl_keystore_location=str(pki["alice_p12"]))) is None


def test_inline_keys_touch_no_disk(serve: Any, pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is given inline goes to ssl through memory that has no name in any directory."""
    given: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def note(self: ssl.SSLContext, certificate: Any, key: Any, password: Any) -> None:
        given.extend(str(Path(path).readlink()) for path in (certificate, key))
        load(self, certificate, key, password)

    server = serve(kafka(), "server", clients=True)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", note)
    assert problem(server, presenting(pki, "bob")) is None
    assert given == ["/memfd:pem (deleted)"] * 2


# Versions of TLS, and alerts that are about nothing else.


@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="this OpenSSL is too new to play an old listener")
def test_a_listener_of_old_tls_is_told(serve: Any, pki: Any) -> None:
    """No version in common: the one that the listener speaks is named."""
    old = serve(
        kafka(), "server", minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED, maximum_version=ssl.TLSVersion.TLSv1_1
    )
    assert problem(old, tls(pki)) == (
        'the TLS handshake ends with the alert "protocol version"; the listener offers TLSv1.1 with '
        "ECDHE-ECDSA-AES256-SHA, librdkafka takes TLSv1.2 or later with strong cipher suites; allow more in the "
        "broker's ssl.enabled.protocols and ssl.cipher.suites"
    )


def test_a_listener_of_another_cipher_suite_is_told(serve: Any, pki: Any) -> None:
    """No cipher suite in common: the one that the listener takes, and ours."""
    server = serve(kafka(), "server", maximum_version=ssl.TLSVersion.TLSv1_2)
    assert problem(server, tls(pki, ssl_cipher_suites="ECDHE-RSA-AES128-GCM-SHA256")) == (
        'the TLS handshake ends with the alert "handshake failure"; the listener offers TLSv1.2 with '
        "ECDHE-ECDSA-AES256-GCM-SHA384, librdkafka takes TLSv1.2 or later with "
        "ssl.cipher.suites=ECDHE-RSA-AES128-GCM-SHA256; allow more in the broker's ssl.enabled.protocols and "
        "ssl.cipher.suites"
    )


def test_an_old_listener_that_demands_a_certificate(serve: Any, pki: Any) -> None:
    """TLS 1.2 has one alert for several reasons: the sentence asks about the likely one."""
    server = serve(kafka(), "server", clients=True, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert problem(server, tls(pki)) == (
        'the TLS handshake ends with the alert "handshake failure"; see the broker\'s log, or does it demand a client '
        "certificate (ssl.certificate.pem, ssl.key.pem)?"
    )


# No Kafka there.

FOREIGN = [
    (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", 'like HTTP, with "HTTP/1.1 400 Bad Request"'),
    (b"SSH-2.0-OpenSSH_9.2\r\n", 'like SSH, with "SSH-2.0-OpenSSH_9.2"'),
    (b"-ERR", 'with "-ERR"'),
    (b"\x00\x01\xff", "with the bytes 00 01 ff"),
    (struct.pack(">ii", 4, 0x50454E53), "with the bytes 00 00 00 04 50 45 4e 53"),
]


@pytest.mark.parametrize(("answer", "seen"), FOREIGN)
@pytest.mark.parametrize("secure", [None, "server"])
def test_what_is_no_kafka_is_shown(serve: Any, pki: Any, answer: bytes, seen: str, secure: str | None) -> None:
    """A server of another kind is shown by its first bytes, in plaintext or within TLS, whichever is configured."""
    server = serve(says(answer), secure)
    sentence = f"no Kafka broker is there: it answers {seen}; give the address of a Kafka listener"
    assert problem(server, {}) == sentence
    assert problem(server, tls(pki)) == sentence


CLOSES = f"it closes every connection, in plaintext as with TLS; {UNWELL}"


def test_a_listener_that_closes_is_told(serve: Any, pki: Any) -> None:
    """Closing at once is told for both transports, and after the handshake from before it."""
    plain, secure = serve(closes), serve(closes, "server")
    assert problem(plain, {}) == CLOSES
    assert problem(plain, tls(pki)) == CLOSES
    assert problem(secure, tls(pki)) == (
        "it closes the connection after the TLS handshake; see the broker's log, or does it demand a client "
        "certificate (ssl.certificate.pem, ssl.key.pem)?"
    )
    assert (
        problem(secure, presenting(pki, "bob"))
        == "it closes the connection after the TLS handshake; see the broker's log"
    )


def test_a_silent_listener_takes_bounded_time(serve: Any, pki: Any) -> None:
    """Who takes connections and says nothing is told so, within three times the patience."""
    plain, secure = serve(is_silent), serve(is_silent, "server")
    started = time.monotonic()
    assert problem(plain, {}, SHORT) == f"it takes connections but answers neither plaintext nor TLS; {UNWELL}"
    assert problem(plain, tls(pki), SHORT) == f"it takes connections but answers neither plaintext nor TLS; {UNWELL}"
    assert problem(secure, tls(pki), SHORT) == f"it speaks TLS, but does not answer within 0.1 s; {UNWELL}"
    assert time.monotonic() - started < 3 * 3 * SHORT + 1


# No connection.


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str | OSError) -> None:
    """Let every name have these addresses, or fail to have any."""

    def resolve(_host: str, port: int, _family: int, kind: int) -> list[Any]:
        for one in answers:
            if isinstance(one, OSError):
                raise one
        return [(socket.AF_INET, kind, 6, "", (one, port)) for one in answers]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


def test_nobody_listens(port: int) -> None:
    """A refused connection is told with the IP address."""
    assert inspect(f"127.0.0.1:{port}", {}, SECONDS) == listener.Listener(
        f"127.0.0.1:{port}",
        ("127.0.0.1",),
        connected=False,
        problem=f"127.0.0.1:{port}: nobody listens at 127.0.0.1: connection refused; is the broker running, and is "
        f"{port} the port of its listener?",
        passing=True,
    )


def test_every_address_of_a_name_is_tried(serve: Any, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address that answers is enough; where none does, each is named with its reason."""
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    server = serve(kafka())
    assert inspect(server.address, {}, SECONDS) == listener.Listener(
        server.address, ("127.0.0.1", "127.0.0.2"), connected=True, problem=None
    )
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1", "224.0.0.1")
    assert inspect(f"kafka:{port}", {}, SECONDS).problem == (
        f"kafka:{port}: nobody listens at 127.0.0.2 and 127.0.0.1: connection refused; 224.0.0.1 cannot be "
        f"reached: Network is unreachable; is the broker running, and is {port} the port of its listener?"
    )


def test_a_black_hole_takes_bounded_time() -> None:
    """An address that drops packets, such as a listener with a full queue, is told after the patience given."""
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        opened.enter_context(socket.create_connection(address))
        started = time.monotonic()
        found = inspect(f"127.0.0.1:{address[1]}", {}, SHORT)
    assert time.monotonic() - started < SHORT + 1
    assert found.problem == (
        f"127.0.0.1:{address[1]}: no answer from 127.0.0.1 within 0.1 s: perhaps a firewall is in between; is the "
        f"broker running, and is {address[1]} the port of its listener?"
    )


UNKNOWN = "; check its spelling in bootstrap.servers, and the DNS of this machine"


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own words, the restriction to a family that may be the cause, and no endless wait."""
    resolving(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    start = 'kafka.invalid:9092: the name "kafka.invalid" does not resolve'
    assert inspect("kafka.invalid", {}, SECONDS) == listener.Listener(
        "kafka.invalid:9092", problem=f"{start}: Name or service not known{UNKNOWN}", passing=True
    )
    found = inspect("kafka.invalid", {"broker.address.family": "v6"}, SECONDS)
    assert found.problem == f"{start} with broker.address.family=v6: Name or service not known{UNKNOWN}"
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: released.wait(SECONDS) and [])
    assert inspect("kafka.invalid", {}, SHORT).problem == f"{start}: no answer within 0.1 s{UNKNOWN}"
    released.set()


@pytest.mark.parametrize(
    ("address", "name", "asked"),
    [
        ("localhost", "localhost:9092", ("localhost", 9092)),
        ("b.example:1", "b.example:1", ("b.example", 1)),
        (" plaintext://b:2/path", "b:2", ("b", 2)),
        ("PLAINTEXT://b", "b:9092", ("b", 9092)),
        ("[::1]:3", "[::1]:3", ("::1", 3)),
        ("[::1]", "[::1]:9092", ("::1", 9092)),
        (":4", "localhost:4", ("localhost", 4)),
    ],
)
def test_an_address_is_read_as_librdkafka_reads_it(
    monkeypatch: pytest.MonkeyPatch, address: str, name: str, asked: tuple[str, int]
) -> None:
    """With and without protocol, port and brackets."""
    seen: list[tuple[str, int]] = []

    def resolve(host: str, port: int, *_: int) -> list[Any]:
        seen.append((host, port))
        raise socket.gaierror(socket.EAI_NONAME, "none")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert inspect(address, {}, SECONDS).address == name
    assert seen == [asked]


def test_an_address_of_another_protocol_is_not_visited() -> None:
    """librdkafka passes over an address whose protocol is not the one of security.protocol."""
    assert inspect("SASL_SSL://b:1", {"security.protocol": "ssl"}, SECONDS).problem == (
        "b:1: the address begins with SASL_SSL://, but security.protocol is SSL, and so librdkafka passes over it; use "
        "security.protocol=SASL_SSL, or leave the beginning out"
    )


@pytest.mark.parametrize("secure", [None, "server", "expired"])
def test_no_connection_stays_open(serve: Any, pki: Any, secure: str | None) -> None:
    """Whatever is found, every connection has been closed when the answer is there."""
    server = serve(is_silent, secure)
    for options in ({}, tls(pki), tls(pki, "other_ca")):
        inspect(server.address, options, SHORT)
    deadline = time.monotonic() + SECONDS / 2  # until the server has seen it; it gives up by itself after SECONDS
    while server.open and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not server.open


# What is said of a client that could not connect.

CREDENTIALS = {
    "bootstrap.servers": "localhost:9094,b:1",
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "alice",
    "sasl.password": "a password",
}
REFUSED = (
    "SASL authentication error: Authentication failed: Invalid username or password (after 304ms in state AUTH_REQ)"
)
SCRAM = (
    "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL "
    "mechanism SCRAM-SHA-256"
)


@pytest.mark.parametrize(
    ("options", "text", "hidden", "sentence"),
    [
        (
            {},
            f"sasl_ssl://b:1/bootstrap: {REFUSED}",
            frozenset(),
            (
                'b:1: the broker refuses user "alice" with SASL PLAIN: Invalid username or password; check '
                "sasl.username and sasl.password"
            ),
        ),
        (
            {},
            REFUSED,
            frozenset({"sasl.username"}),
            (
                "b:1: the broker refuses the user of sasl.username with SASL PLAIN: Invalid username or "
                "password; check sasl.username and sasl.password"
            ),
        ),
        (
            {"sasl.mechanism": "scram-sha-256"},
            f"sasl_ssl://b:1/3: {SCRAM}",
            frozenset(),
            (
                'b:1: the broker refuses user "alice" with SASL SCRAM-SHA-256: Authentication failed during '
                "authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256; check sasl.username "
                "and sasl.password"
            ),
        ),
        (
            {"sasl.mechanism": "OAUTHBEARER"},
            'sasl_ssl://b:1/bootstrap: SASL authentication error: {"status":"invalid_token"} (after 3ms in state X)',
            frozenset(),
            (
                "b:1: the broker refuses the token of SASL OAUTHBEARER: invalid_token; check for whom it is made, "
                "how long it is valid, and the clock of this machine"
            ),
        ),
        (
            {"sasl.mechanism": "OAUTHBEARER"},
            "Failed to acquire SASL OAUTHBEARER token: no region",
            frozenset(),
            "b:1: there is no token for SASL OAUTHBEARER: no region",
        ),
    ],
)
def test_refused_credentials_need_no_visit(
    options: dict[str, str], text: str, hidden: frozenset[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka says who was refused: the sentence adds the user, where it may be shown, and what to check."""
    monkeypatch.setattr(explaining, "inspect", lambda *_: pytest.fail("visited"))
    errors = [("_TRANSPORT", "before it"), ("_AUTHENTICATION", text), ("_ALL_BROKERS_DOWN", "2/2 brokers are down")]
    only = {"bootstrap.servers": "b:1"}
    assert explain(CREDENTIALS | options | only, errors, SECONDS, hidden=hidden) == Explanation(sentence, lasting=True)


def test_one_refusal_is_not_the_last_word(serve: Any) -> None:
    """While another address may still let us in, a refusal explains, but nothing is lost by waiting."""
    server = serve(kafka("PLAIN"))
    options = CREDENTIALS | {"security.protocol": "SASL_PLAINTEXT", "bootstrap.servers": f"{server.address},b:1"}
    errors = [
        ("_AUTHENTICATION", "sasl_plaintext://b:1/bootstrap: SASL authentication error: no (after 3ms in state X)")
    ]
    why = explain(options, errors, SECONDS)
    assert why.text is not None
    assert why.text.startswith('b:1: the broker refuses user "alice"')
    assert not why.lasting


DOWN = [("_ALL_BROKERS_DOWN", "1/1 brokers are down")]


def test_the_most_telling_address_is_chosen(serve: Any, pki: Any, port: int) -> None:
    """A listener that answers wrongly tells more than one that is down; where all are well, nothing is said."""
    server = serve(kafka("PLAIN"), "server")
    options = {"bootstrap.servers": f"127.0.0.1:{port}, {server.address}", "ssl.ca.location": str(pki["ca"])}
    assert explain(options, DOWN, SECONDS).text == (
        f"{server.address}: the listener speaks TLS with SASL, but security.protocol is PLAINTEXT; use "
        "security.protocol=SASL_SSL and sasl.mechanism=PLAIN"
    )
    fits = {"bootstrap.servers": server.address, "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
    assert explain(options | fits, DOWN, SECONDS).text is None
    handshake = "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism"
    assert explain(
        options | fits | {"sasl.mechanism": "SCRAM-SHA-512"}, [("_AUTHENTICATION", handshake)], SECONDS
    ).text == (
        f"{server.address}: the listener offers SASL PLAIN, but sasl.mechanism is SCRAM-SHA-512; use "
        "sasl.mechanism=PLAIN, or enable SCRAM-SHA-512 on the listener"
    )


def test_an_advertised_address_is_visited_too(serve: Any, port: int) -> None:
    """Where the given address is well and the one that the broker advertises is not, that one is named."""
    server = serve(kafka())
    text = (
        f"127.0.0.1:{port}/7: Connect to ipv4#127.0.0.1:{port} failed: Connection refused (after 0ms in state CONNECT)"
    )
    assert explain({"bootstrap.servers": server.address}, [("_TRANSPORT", text)], SECONDS).text == (
        f"broker 7, advertised as 127.0.0.1:{port}: nobody listens at 127.0.0.1: connection refused; is the broker "
        f"running, and is {port} the port of its listener?"
    )
