"""Certificates for tests of TLS: authorities, servers and clients, right and wrong in the ways that happen.

    pki = make_pki(directory)      # PEM files of the names below, private keys readable by the owner only
    pki["ca"]                      # Path of ca.pem

Elliptic curves unless a key is given, so that all of it takes milliseconds. Nothing here is a secret of anybody.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEY_PASSWORD = "sesame"  # noqa: S105 - of the encrypted test key
LOCALHOST = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_pem(self, password: str | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
        """Return the private key as PKCS #8 or in OpenSSL's old form, encrypted where a password is given."""
        hide: KeySerializationEncryption = NoEncryption()
        if password is not None:
            hide = BestAvailableEncryption(password.encode())
        return self.key.private_bytes(Encoding.PEM, form, hide).decode()


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    use: x509.ObjectIdentifier | None = None,
    hosts: tuple[x509.GeneralName, ...] = (),
    days: tuple[int, int] = (-1, 30),
    key: PrivateKey | None = None,
) -> Issued:
    """Make a certificate: of an authority without `use`, of its own signature without `issuer`; days from today."""
    key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
    signing = issuer.key if issuer is not None else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = dt.datetime.now(dt.timezone.utc)
    authority = use is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + dt.timedelta(days=days[0]))
        .not_valid_after(today + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    if use is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    return Issued(builder.sign(signing, hashes.SHA256()), key)


def make_pki(directory: Path) -> dict[str, Path]:
    """Write every certificate and key into the directory and return their paths by name.

    ca, other_ca, intermediate          authorities: ca has issued the intermediate, nobody here trusts other_ca
    server, expired, bad_host           of servers, each with its key: <name>_key, <name>_keystore (key, certificate)
    alice, bob, late, eve               of clients, each with <name>_key: alice issued by the intermediate, bob by ca,
                                        late expired, eve issued by other_ca
    alice_chain, alice_reversed         alice and the intermediate, in the right and in the wrong order
    alice_key_encrypted, alice_p12      alice's key, her key and chain, under KEY_PASSWORD
    """
    root, other = issue("penstock test root"), issue("some other root")
    intermediate = issue("penstock test intermediate", root)
    past = (-30, -1)
    servers = {
        "server": issue("localhost", root, use=SERVER, hosts=LOCALHOST),
        "expired": issue("localhost", root, use=SERVER, hosts=LOCALHOST, days=past),
        "bad_host": issue("kafka.example", root, use=SERVER, hosts=(x509.DNSName("kafka.example"),)),
    }
    clients = {
        "alice": issue("alice", intermediate, use=CLIENT),
        "bob": issue("bob", root, use=CLIENT),
        "late": issue("late", root, use=CLIENT, days=past),
        "eve": issue("eve", other, use=CLIENT),
    }
    alice = clients["alice"]
    texts = {
        "ca": root.pem,
        "other_ca": other.pem,
        "intermediate": intermediate.pem,
        "alice_chain": alice.pem + intermediate.pem,
        "alice_reversed": intermediate.pem + alice.pem,
        "alice_key_encrypted": alice.key_pem(KEY_PASSWORD),
    }
    for name, one in (servers | clients).items():
        texts[name] = one.pem
        texts[f"{name}_key"] = one.key_pem()
    for name, one in servers.items():
        texts[f"{name}_keystore"] = one.key_pem() + one.pem
    paths = {}
    for name, text in texts.items():
        paths[name] = directory / f"{name}.pem"
        paths[name].touch(mode=0o600)
        paths[name].write_text(text)
    paths["alice_p12"] = directory / "alice.p12"
    paths["alice_p12"].touch(mode=0o600)
    paths["alice_p12"].write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"alice",
            alice.key,
            alice.certificate,
            [intermediate.certificate],
            BestAvailableEncryption(KEY_PASSWORD.encode()),
        )
    )
    return paths
