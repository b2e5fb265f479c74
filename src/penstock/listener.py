"""listener: what a broker address really speaks, and why a client configured in a certain way is refused there.

librdkafka has one text for several causes, and none for a plaintext client at a TLS listener. So once something went
wrong, or for `penstock check`, each address is visited by the standard library:

    address ──resolve──▶ IP addresses ──connect──▶ TLS as configured ──▶ ApiVersions ──▶ SaslHandshake
                                                        │ fails               │ no answer of Kafka
                                                        ▼                     ▼
                                            whose certificate, which   the other one of TLS and plaintext
                                            version, whose alert?

SaslHandshake is the question that every listener answers: with its mechanisms, or that there is no SASL here. No user,
password or token is ever sent. handshake.py has what concerns TLS alone.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import msgspec

from penstock import ask, handshake
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DEFAULT_MECHANISM", "Listener", "host_and_port", "inspect"]

_PORT: Final = 9092
DEFAULT_MECHANISM: Final = "GSSAPI"  # librdkafka's
_FAMILIES: Final = {"v4": socket.AF_INET, "v6": socket.AF_INET6}
_TLS_ALERT: Final = b"\x15\x03"  # how TLS begins to complain about plaintext
_WORDS: Final = {
    "PLAINTEXT": "plaintext without SASL",
    "SSL": "TLS without SASL",
    "SASL_PLAINTEXT": "plaintext with SASL",
    "SASL_SSL": "TLS with SASL",
}


class Listener(msgspec.Struct, frozen=True):
    """What is at an address.

    address    host:port
    resolved   its IP addresses
    connected  something takes connections there
    problem    one sentence why it cannot be used as configured, with what to try; None: nothing was found
    passing    the problem may be gone in a while: nobody listens yet, no name, no answer
    """

    address: str
    resolved: tuple[str, ...] = ()
    connected: bool = False
    problem: str | None = None
    passing: bool = False


class _FoundError(Exception):
    """The problem of this address, as text; without a text: it cannot be judged from here."""


class _UnwellError(_FoundError):
    """It answers, but not as a broker in good health does."""


class _End(NamedTuple):
    """One address of a name: what socket.connect wants."""

    family: int
    place: tuple[Any, ...]


def inspect(address: str, options: Mapping[str, str], timeout_secs: float) -> Listener:
    """Visit an address as a client with these options would, and say what is wrong.

    address       host, host:port or [IPv6]:port, with or without protocol:// in front; the port defaults to 9092
    options       librdkafka's, by name, as in Config.kafka; only those of TLS, SASL and addresses are read
    timeout_secs  for each connection; the whole takes up to three times as long

    Trouble of the network is an answer, not an exception. Credentials are not sent, and not shown.
    """
    visit = _Visit(address, options, timeout_secs)
    try:
        visit.resolve()
        visit.compare()
    except _UnwellError as found:
        return visit.listener(f"{found}; is it a Kafka broker, is it well, or is a proxy in between?", passing=True)
    except (_FoundError, handshake.UnusableError) as found:
        return visit.listener(str(found) if found.args else None, passing=not visit.connected)
    except OSError as error:  # what nobody foresaw, such as no free descriptor
        return visit.listener(f"cannot be visited: {error.strerror or error}", passing=True)
    return visit.listener(None)


class _Visit:
    """One address under inspection; `compare` reads like the drawing above."""

    def __init__(self, address: str, options: Mapping[str, str], timeout_secs: float) -> None:
        prefix, _, bare = address.strip().rpartition("://")
        self.prefix = prefix.upper()
        self.name, self.host, self.port = host_and_port(bare)
        self.options, self.patience = options, timeout_secs
        self.until = time.monotonic() + 3 * timeout_secs
        self.protocol = options.get("security.protocol", "plaintext").upper()
        self.tls, self.sasl = self.protocol.endswith("SSL"), self.protocol.startswith("SASL_")
        # Without SASL only the list of mechanisms is wanted: the broker holds its answer back for one that it lacks.
        self.mechanism = options.get("sasl.mechanism", DEFAULT_MECHANISM).upper() if self.sasl else "PLAIN"
        self.ends: list[_End] = []
        self.connected = False

    def listener(self, problem: str | None, *, passing: bool = False) -> Listener:
        """Return what was found."""
        resolved = tuple(dict.fromkeys(str(end.place[0]) for end in self.ends))
        said = None if problem is None else f"{self.name}: {problem}"
        return Listener(self.name, resolved, self.connected, said, passing)

    def seconds(self) -> float:
        """Return how long the next step may take."""
        return max(min(self.patience, self.until - time.monotonic()), 0.001)

    def resolve(self) -> None:
        """Ask for the addresses of the name, which has no time limit of its own and so runs beside us."""
        if self.prefix and self.prefix != self.protocol:
            raise _FoundError(
                f"the address begins with {self.prefix}://, but security.protocol is {self.protocol}, and so "
                f"librdkafka passes over it; use security.protocol={self.prefix}, or leave the beginning out"
            )
        wanted = self.options.get("broker.address.family", "any").lower()
        answer: list[list[_End] | str] = []

        def look() -> None:
            family = _FAMILIES.get(wanted, socket.AF_UNSPEC)
            try:
                found = socket.getaddrinfo(self.host, self.port, family, socket.SOCK_STREAM)
                answer.append([_End(family, place) for family, _, _, _, place in found])
            except (OSError, UnicodeError) as error:  # UnicodeError: no name could be like that
                answer.append(getattr(error, "strerror", None) or "it is not a name")

        asking = threading.Thread(target=look, daemon=True)
        asking.start()
        asking.join(self.seconds())
        said = answer[0] if answer else f"no answer within {self.patience:.3g} s"
        if isinstance(said, str):
            only = f" with broker.address.family={wanted}" if wanted in _FAMILIES else ""
            raise _FoundError(
                f"the name {shown(self.host)} does not resolve{only}: {said}; "
                "check its spelling in bootstrap.servers, and the DNS of this machine"
            )
        self.ends = said

    def connect(self) -> socket.socket:
        """Connect to the first address that answers; later calls go there first."""
        failed: dict[str, list[str]] = {}
        for tried, end in enumerate(self.ends):
            connection = socket.socket(end.family, socket.SOCK_STREAM)
            connection.settimeout(self.seconds() / (len(self.ends) - tried))
            try:
                connection.connect(end.place)
            except OSError as error:
                connection.close()
                failed.setdefault(self._refusal(error), []).append(str(end.place[0]))
                continue
            self.ends.insert(0, self.ends.pop(tried))
            self.connected = True
            connection.settimeout(self.seconds())
            return connection
        whys = "; ".join(why.format(" and ".join(addresses)) for why, addresses in failed.items())
        raise _FoundError(f"{whys}; is the broker running, and is {self.port} the port of its listener?")

    def _refusal(self, error: OSError) -> str:
        if isinstance(error, ConnectionRefusedError):
            return "nobody listens at {}: connection refused"
        if isinstance(error, TimeoutError):
            return f"no answer from {{}} within {self.patience:.3g} s: perhaps a firewall is in between"
        return f"{{}} cannot be reached: {error.strerror or error}"

    def compare(self) -> None:
        """Connect as configured and raise _FoundError for what is different there."""
        try:
            mechanisms = self._talk_tls() if self.tls else self._talk_plain()
        except ask.ForeignError as foreign:
            if self.tls or not foreign.first.startswith(_TLS_ALERT):
                raise _FoundError(str(foreign)) from None
            self._speak_otherwise(foreign)
        except OSError as error:
            self._speak_otherwise(error)
        else:
            self._check_sasl(mechanisms)

    def _talk_plain(self) -> tuple[str, ...]:
        with self.connect() as connection:
            return ask.mechanisms(connection, self.mechanism, self.seconds())

    def _talk_tls(self) -> tuple[str, ...]:
        """Make the handshake as configured; what the broker finds wrong with us may come only after it."""
        context = handshake.trusting(self.options)
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(self.connect())
            try:
                stream = opened.enter_context(handshake.secure(context, connection, self.host))
            except ssl.SSLCertVerificationError as refusal:
                problem = handshake.certificate_problem(refusal, self.options, self.connect, self.host)
                raise _FoundError(problem) from None
            except ssl.SSLError as error:
                self._check_alert(error)
                raise
            try:
                return ask.mechanisms(stream, self.mechanism, self.seconds())
            except ssl.SSLError as error:
                self._check_alert(error)
                raise
            except TimeoutError:
                raise _UnwellError(f"it speaks TLS, but does not answer within {self.patience:.3g} s") from None
            except ConnectionError:
                raise _FoundError(
                    f"it closes the connection after the TLS handshake; {self._or_no_certificate()}"
                ) from None

    def _check_alert(self, error: ssl.SSLError) -> None:
        """Raise what a TLS alert of the listener says; return where there was none."""
        why = handshake.alert(error)
        if why is None:
            return
        if why not in handshake.ABOUT_CERTIFICATES:
            problem = handshake.version_problem(self.options, self.connect, self.host) or self._or_no_certificate()
            raise _FoundError(f"the TLS handshake ends with the alert {shown(why)}; {problem}")
        if "ssl.keystore.location" in self.options:
            raise _FoundError  # ssl cannot read it, so the refusal says nothing about librdkafka
        mine = handshake.client_certificate(self.options)
        if mine is None:
            raise _FoundError(
                f"the listener demands a client certificate and none is given (TLS alert {shown(why)}); "
                "set ssl.certificate.pem and ssl.key.pem, or their .location forms"
            )
        raise _FoundError(
            f"the broker refuses the client certificate of {mine} (TLS alert {shown(why)}); is it expired, do the "
            "intermediate certificates follow it there, and is their root in the truststore of this listener?"
        )

    def _or_no_certificate(self) -> str:
        presented = {"ssl.keystore.location", handshake.client_certificate(self.options)} & self.options.keys()
        demand = ", or does it demand a client certificate (ssl.certificate.pem, ssl.key.pem)?"
        return "see the broker's log" + ("" if presented else demand)

    def _speak_otherwise(self, error: Exception) -> NoReturn:
        """Try TLS instead of plaintext, or the reverse, and raise what is there."""
        if self.tls:
            self._look_for_plaintext()
        else:
            self._look_for_tls()
        if self.tls and isinstance(error, ssl.SSLError):
            problem = handshake.version_problem(self.options, self.connect, self.host)
            if problem is not None:
                raise _FoundError(f"the TLS handshake fails; {problem}")
        if isinstance(error, TimeoutError):
            raise _UnwellError("it takes connections but answers neither plaintext nor TLS")
        raise _UnwellError("it closes every connection, in plaintext as with TLS")

    def _look_for_plaintext(self) -> None:
        try:
            mechanisms = self._talk_plain()
        except ask.ForeignError as foreign:
            if not foreign.first.startswith(_TLS_ALERT):
                raise _FoundError(str(foreign)) from None
        except OSError:
            pass
        else:
            raise _FoundError(self._mismatch(mechanisms, tls=False))

    def _look_for_tls(self) -> None:
        context = handshake.permissive(self.options)
        mechanisms: tuple[str, ...] = ()
        demands = False
        with contextlib.ExitStack() as opened:
            try:
                connection = opened.enter_context(self.connect())
                stream = opened.enter_context(handshake.secure(context, connection, self.host))
            except OSError as error:
                demands = handshake.alert(error) is not None
                if not demands:
                    return
            else:
                try:
                    mechanisms = ask.mechanisms(stream, self.mechanism, self.seconds())
                except ask.ForeignError as foreign:
                    raise _FoundError(str(foreign)) from None
                except OSError as error:
                    demands = handshake.alert(error) is not None
        raise _FoundError(self._mismatch(mechanisms, tls=True, demands=demands))

    def _mismatch(self, mechanisms: tuple[str, ...], *, tls: bool, demands: bool = False) -> str:
        """Return the sentence about a listener of another protocol. demands: a client certificate, before any SASL."""
        sasl = self.sasl if demands else bool(mechanisms)
        found = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
        what = "TLS and demands a client certificate" if demands else _WORDS[found]
        remedy = f"security.protocol={found}"
        if mechanisms and not (self.sasl and self.mechanism in mechanisms):
            remedy += f" and sasl.mechanism={_either(mechanisms)}"
        if demands:
            remedy += " with ssl.certificate.pem and ssl.key.pem"
        if self.tls and not tls:
            remedy += ", or the address of a listener that speaks TLS"
        return f"the listener speaks {what}, but security.protocol is {self.protocol}; use {remedy}"

    def _check_sasl(self, mechanisms: tuple[str, ...]) -> None:
        """Compare what a listener of our transport says about SASL with what is configured."""
        if self.sasl != bool(mechanisms):
            raise _FoundError(self._mismatch(mechanisms, tls=self.tls))
        if self.sasl and self.mechanism not in mechanisms:
            default = "" if "sasl.mechanism" in self.options else ", the default"
            raise _FoundError(
                f"the listener offers SASL {', '.join(mechanisms)}, but sasl.mechanism is {self.mechanism}{default}; "
                f"use sasl.mechanism={_either(mechanisms)}, or enable {self.mechanism} on the listener"
            )


def host_and_port(bare: str) -> tuple[str, str, int]:
    """Return how to show an address, its host and its port, taken apart as librdkafka does."""
    bare = bare.partition("/")[0]
    host, colon, port = bare.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or not port.isdigit():
        host, port = bare, str(_PORT)
    return f"{host or 'localhost'}:{port}", host.strip("[]") or "localhost", int(port)


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
