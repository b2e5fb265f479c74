"""handshake: TLS as librdkafka would speak it to a broker, by the standard library, and why it fails.

librdkafka has one text for a certificate of an unknown authority, an expired one and one of another host. Here the same
handshake is made once more with the same trust, and the certificate is read. Used by listener.py only.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import ssl
from typing import TYPE_CHECKING, Any, Final

from penstock.names import shown

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "ABOUT_CERTIFICATES",
    "UnusableError",
    "alert",
    "certificate_problem",
    "client_certificate",
    "permissive",
    "secure",
    "trusting",
    "version_problem",
]

_NO_CHECK_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which ssl has no name for
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_IP = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_...
# Self-signed, self-signed at the end of the chain, issuer not found (two of them), signed by another key of that name.
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21, 7})
_FEW: Final = 3  # authorities or names that a sentence lists
# Alerts about a client certificate: none, or one that is refused. The Java broker says "bad certificate" for none.
ABOUT_CERTIFICATES: Final = frozenset({
    "certificate required", "bad certificate", "unknown ca", "certificate expired", "certificate unknown",
    "certificate revoked", "unsupported certificate", "access denied", "decrypt error",
})  # fmt: skip
_ALERTS: Final = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_", "TLSV1_")


class UnusableError(Exception):
    """An option about TLS cannot be used; the text says which and why."""


def secure(context: ssl.SSLContext, connection: socket.socket, host: str) -> ssl.SSLSocket:
    """Make the handshake on a connection, which the returned one replaces. Raises what ssl raises."""
    return context.wrap_socket(connection, server_hostname=host.rstrip(".") or None)


def trusting(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts and presents what librdkafka would with these options.

    Raises UnusableError for certificates and keys that cannot be loaded.
    """
    context = _bare(options)
    with contextlib.suppress(ssl.SSLError):  # librdkafka has taken them, so this OpenSSL is the older one
        context.set_ciphers(options.get("ssl.cipher.suites", "DEFAULT"))
    if options.get("enable.ssl.certificate.verification", "true").lower() in {"false", "f", "0"}:
        context.verify_mode = ssl.CERT_NONE
        return context
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = options.get("ssl.endpoint.identification.algorithm", "https").lower() != "none"
    option, place = _authorities_option(options)
    try:
        if option == "ssl.ca.pem":
            context.load_verify_locations(cadata=place)
        elif place == "probe":
            _trust_system(context)
        elif os.path.isdir(place):  # noqa: PTH112 - as librdkafka asks; a path of any form
            context.load_verify_locations(capath=place)
        else:
            context.load_verify_locations(cafile=place)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = _why_not_loaded(error, "no PEM certificates in it")
        raise UnusableError(f"{option} cannot be used: {why}; give the authorities that sign for the brokers") from None
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    """Trust this system's authorities, and not SSL_CERT_FILE or SSL_CERT_DIR, of which librdkafka takes no notice."""
    found = ssl.get_default_verify_paths()
    file = found.openssl_cafile if os.path.isfile(found.openssl_cafile) else None  # noqa: PTH113 - may be ""
    directory = found.openssl_capath if os.path.isdir(found.openssl_capath) else None  # noqa: PTH112 - as above
    if file is not None or directory is not None:
        context.load_verify_locations(file, directory)


def permissive(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context for looking only: it accepts any certificate, any version and any cipher suite."""
    context = _bare(options)
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _bare(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that presents our certificate; whom it trusts is not decided yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.hostname_checks_common_name = True  # as OpenSSL does for librdkafka
    if client_certificate(options) is None:
        return context
    with _as_file(options, "ssl.certificate") as certificate, _as_file(options, "ssl.key") as key:
        try:
            # Always with a password: without one OpenSSL would ask for it on the terminal.
            context.load_cert_chain(certificate, key, options.get("ssl.key.password", ""))
        except (OSError, ValueError) as error:
            why = _why_not_loaded(error, "a PEM part is missing, or locked")
            raise UnusableError(
                f"{client_certificate(options)} and its key cannot be used: {why}; "
                "do they belong together, and is ssl.key.password right?"
            ) from None
    return context


def _why_not_loaded(error: OSError | ValueError, otherwise: str) -> str:
    """Return what is known of a failure to load a file; OpenSSL's words name no cause but one."""
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return "the key is of another certificate" if _reason(error) == "KEY_VALUES_MISMATCH" else otherwise
    return error.strerror or otherwise


def client_certificate(options: Mapping[str, str]) -> str | None:
    """Return the option that holds our certificate, where it is given together with a key."""
    if not {"ssl.key.pem", "ssl.key.location"} & options.keys():
        return None
    return next((name for name in ("ssl.certificate.pem", "ssl.certificate.location") if options.get(name)), None)


@contextlib.contextmanager
def _as_file(options: Mapping[str, str], name: str) -> Iterator[str]:
    """Give inline PEM the path that ssl asks for: of memory that has no name in any directory."""
    pem = options.get(f"{name}.pem")
    if pem is None:
        yield options[f"{name}.location"]
        return
    with open(os.memfd_create("pem"), "w", encoding="utf-8") as memory:  # noqa: PTH123 - there is no path
        memory.write(pem)
        memory.flush()
        yield f"/proc/self/fd/{memory.fileno()}"


# What went wrong.


def alert(error: Exception) -> str | None:
    """Return the TLS alert by which the other side ended the connection, in words, or None."""
    reason = _reason(error)
    start = next((start for start in _ALERTS if reason.startswith(start)), None)
    return reason.removeprefix(start).replace("_", " ").lower() if start is not None else None


def _reason(error: Exception) -> str:
    """Return OpenSSL's symbol of an error, such as CERTIFICATE_VERIFY_FAILED, "" for errors of others."""
    return (error.reason or "") if isinstance(error, ssl.SSLError) else ""


def version_problem(options: Mapping[str, str], connect: Callable[[], socket.socket], host: str) -> str | None:
    """Say which TLS the listener would speak with somebody who takes any, None where it speaks with nobody."""
    try:
        with connect() as connection, secure(permissive(options), connection, host) as found:
            version, cipher = found.version(), (found.cipher() or ("no cipher",))[0]
    except OSError:
        return None
    suites = options.get("ssl.cipher.suites")
    limited = f"with ssl.cipher.suites={suites}" if suites else "with strong cipher suites"
    return (
        f"the listener offers {version} with {cipher}, librdkafka takes TLSv1.2 or later {limited}; "
        "allow more in the broker's ssl.enabled.protocols and ssl.cipher.suites"
    )


def certificate_problem(
    refusal: ssl.SSLCertVerificationError,
    options: Mapping[str, str],
    connect: Callable[[], socket.socket],
    host: str,
) -> str:
    """Say why the broker's certificate is refused.

    refusal   of a handshake with `trusting(options)`
    connect   makes another connection to the same listener, to read the certificate without trusting it
    """
    certificate = _peer_certificate(options, connect, host)
    subject = _name_of(certificate, "subject")
    whose = f"the broker's certificate {shown(subject)}" if subject else "the broker's certificate"
    code = refusal.verify_code
    if code in {_OTHER_HOST, _OTHER_IP}:
        names = _names_in(certificate)
        return (
            f"the broker's certificate is for {', '.join(names) or 'another name'}, not for {host}; use "
            f"{'that name' if len(names) == 1 else 'one of its names'} in bootstrap.servers and in the broker's "
            "advertised.listeners, or issue a certificate for this one"
        )
    if code in _UNKNOWN_AUTHORITY:
        return f"{whose} {_authority_problem(certificate, options)}"
    now = dt.datetime.now(dt.timezone.utc)
    if code == _EXPIRED:
        until = _date_of(certificate, "notAfter")
        what = f"{whose} expired on {until:%Y-%m-%d %H:%M} UTC" if until and until < now else None
        what = what or f"an authority of {whose} has expired"
        return f"{what}; renew it on the broker, or is the clock of this machine wrong?"
    if code == _NOT_YET_VALID:
        since = _date_of(certificate, "notBefore")
        what = f"{whose} is valid only from {since:%Y-%m-%d %H:%M} UTC" if since and since > now else None
        what = what or f"an authority of {whose} is not valid yet"
        return f"{what}; wait, or is the clock of this machine wrong?"
    return f"{whose} is refused: {refusal.verify_message}; give the broker another one"


def _authority_problem(certificate: Mapping[str, Any], options: Mapping[str, str]) -> str:
    option, place = _authorities_option(options)
    issuer, held = _name_of(certificate, "issuer"), _authorities_held(options)
    if option == "ssl.ca.location" and place == "probe":
        held_by, remedy = "this system's authorities (ssl.ca.location=probe)", "ssl.ca.pem or ssl.ca.location"
    else:
        listed = ", ".join(shown(name) for name in held) if len(held) <= _FEW else f"{len(held)} authorities"
        held_by, remedy = option + (f" ({listed})" if held else ""), option
    if issuer and certificate["issuer"] == certificate["subject"]:
        return f"is signed by itself and is not among {held_by}; add that certificate to {remedy}"
    if issuer in held:
        return (
            f"is issued by another {shown(issuer)} than the one in {option}: it has the same name and another key; "
            f"replace the one in {option} by the present one"
        )
    by = f"is issued by {shown(issuer)}, which" if issuer else "is issued by an authority that"
    return f"{by} does not lead to any of {held_by}; add the root certificate of its issuer to {remedy}"


def _authorities_option(options: Mapping[str, str]) -> tuple[str, str]:
    """Return the option that says whom to trust, and its value."""
    if options.get("ssl.ca.pem"):
        return "ssl.ca.pem", options["ssl.ca.pem"]
    return "ssl.ca.location", options.get("ssl.ca.location") or "probe"


def _authorities_held(options: Mapping[str, str]) -> list[str]:
    return [_name_of(dict(one), "subject") for one in trusting(options).get_ca_certs()]


def _peer_certificate(options: Mapping[str, str], connect: Callable[[], socket.socket], host: str) -> Mapping[str, Any]:
    """Return the listener's certificate, decoded, empty where it cannot be had.

    ssl decodes only what it has verified: so it is taken as it is first, and then asked for again with itself as the
    one authority that is trusted, at any date.
    """
    try:
        with connect() as connection, secure(permissive(options), connection, host) as looked:
            encoded = looked.getpeercert(binary_form=True)
        context = permissive(options)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
        context.load_verify_locations(cadata=encoded)
        with connect() as connection, secure(context, connection, host) as looked:
            return looked.getpeercert() or {}
    except (OSError, ValueError):
        return {}


def _name_of(certificate: Mapping[str, Any], whose: str) -> str:
    """Return the common name of subject or issuer, else the last of what names it, such as an organisation."""
    parts = {name: value for group in certificate.get(whose, ()) for name, value in group}
    return str(parts.get("commonName") or next(reversed(parts.values()), ""))


def _names_in(certificate: Mapping[str, Any]) -> list[str]:
    """Return the hosts that a certificate is for; the common name counts where no other is given."""
    names = [value for _, value in certificate.get("subjectAltName", ())] or [_name_of(certificate, "subject")]
    return [*names[:_FEW], "…"] if len(names) > _FEW else [name for name in names if name]


def _date_of(certificate: Mapping[str, Any], which: str) -> dt.datetime | None:
    text = certificate.get(which)
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), dt.timezone.utc) if text else None
