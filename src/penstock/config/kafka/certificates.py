"""What certificates and keys say of themselves: who, until when, issued by whom, which belong together.

Imports cryptography, so it is imported only where a certificate or key is given; tls.py says which.
"""

from __future__ import annotations

import datetime as dt
import warnings
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID

from penstock.errors import ConfigError
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from penstock.config.kafka.pem import Block

__all__ = ["chain_of", "check_authorities", "check_dates", "open_key", "open_keystore", "read_certificates"]

_FEW = 3  # names in a warning


class Certificate(NamedTuple):
    """What the checks need of a certificate. key: its public half, None where it is of no known kind."""

    whole: x509.Certificate
    name: str
    begins: dt.datetime
    ends: dt.datetime
    key: bytes | None

    def wrong_now(self) -> str | None:
        """Return what its dates say against it, None where it is valid."""
        now = dt.datetime.now(dt.timezone.utc)
        if now > self.ends:
            return f"the certificate of {self.name} expired on {self.ends:%Y-%m-%d %H:%M} UTC; have it renewed"
        if now < self.begins:
            return (
                f"the certificate of {self.name} is not valid before {self.begins:%Y-%m-%d %H:%M} UTC; "
                "wait, or set this machine's clock"
            )
        return None

    def has_issued(self, other: Certificate) -> bool:
        """Tell whether this one's key has signed the other: names alone are not enough after a renewal."""
        try:
            other.whole.verify_directly_issued_by(self.whole)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def read_certificates(blocks: Sequence[Block], where: str) -> list[Certificate]:
    """Parse certificates; ConfigError naming the first that is none."""
    return [_read(block.der, f"{where}: certificate {place}") for place, block in enumerate(blocks, 1)]


def _read(der: bytes, where: str) -> Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later cryptography will refuse is no news for our user
            whole = x509.load_der_x509_certificate(der)
        names = whole.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = shown(f"CN={names[0].value!s}" if names else whole.subject.rfc4514_string())
    except (ValueError, x509.InvalidVersion):
        raise ConfigError(f"{where}: it cannot be read, although it is base64; it was cut or damaged") from None
    try:
        key = _public(whole.public_key())
    except (UnsupportedAlgorithm, ValueError):
        key = None
    return Certificate(whole, name, whole.not_valid_before_utc, whole.not_valid_after_utc, key)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_dates(chain: Sequence[Certificate], where: str) -> list[str]:
    """Refuse a chain whose first is not valid today, as the broker would; return warnings about the others.

    A broker needs none of those that it has itself, or that only lead to an authority which another has replaced.
    """
    wrong, *others = [certificate.wrong_now() for certificate in chain]
    if wrong is not None:
        raise ConfigError(f"{where}: {wrong}")
    return [f"{where}: {wrong}, or left out where brokers do without it" for wrong in others if wrong is not None]


def check_authorities(blocks: Sequence[Block], where: str, *, inline: bool) -> list[str]:
    """Refuse what is trusted where not one of it can be used today; return a warning about those that cannot.

    inline  one that cannot be read is refused: librdkafka would leave it and all after it out, in silence. A file with
            one is for librdkafka to judge, which refuses the damaged, but reads some of old bundles that we cannot.
    """
    unusable, reason = [], ""
    for place, block in enumerate(blocks, 1):
        try:
            one = _read(block.der, f"{where}: certificate {place}")
        except ConfigError as error:
            if inline:
                raise
            said, name = str(error), f"certificate {place}"
        else:
            wrong = one.wrong_now()
            if wrong is None:
                continue
            said, name = f"{where}: {wrong}", one.name
        unusable.append(name)
        reason = reason or said
    if len(unusable) == len(blocks):
        raise ConfigError(reason)
    if not unusable:
        return []
    more = f" and {len(unusable) - _FEW} more" if len(unusable) > _FEW else ""
    what = f"{where}: {len(unusable)} of {len(blocks)} authorities are not valid today or cannot be read here"
    return [f"{what}, so a broker that they vouch for may be refused: {', '.join(unusable[:_FEW])}{more}"]


def chain_of(certificates: Sequence[Certificate], key: bytes) -> list[int] | None:
    """Return the places of the certificates, that of the key first, then its issuer, and so on; None without it.

    What is no part of the chain keeps its order at the end: a broker may know another way from there.
    """
    own = [place for place, one in enumerate(certificates) if one.key == key]
    if not own:
        return None
    order = [max(own, key=lambda place: certificates[place].ends)]  # the newest, where it was renewed for the same key
    rest = [place for place in range(len(certificates)) if place != order[0]]
    for child in order:  # which grows
        issuers = [place for place in rest if certificates[place].has_issued(certificates[child])]
        order += sorted(issuers, key=lambda place: certificates[place].ends, reverse=True)
        rest = [place for place in rest if place not in order]
    return order + rest


def open_key(block: Block, password: str, where: str) -> bytes | None:
    """Return the public half of a private key; None where this package knows not how, while librdkafka may.

    Raises ConfigError for an encrypted key without password, a wrong password, and a key that cannot be read.
    """
    if block.is_encrypted and not password:
        raise ConfigError(f"{where}: the key is encrypted; give its password as ssl.key.password")
    secret = password.encode() if block.is_encrypted else None
    try:
        return _half(load_pem_private_key(block.pem.encode(), secret))
    except UnsupportedAlgorithm:
        return None
    except (ValueError, TypeError) as error:
        if block.is_encrypted and "nknown" in str(error):  # "Key encrypted with unknown cipher."
            return None
        if block.is_encrypted:
            raise ConfigError(f"{where}: ssl.key.password does not open this key; check it") from None
        raise ConfigError(
            f"{where}: no private key can be read from it, although it is base64; it was cut or damaged"
        ) from None


def _half(key: PrivateKeyTypes) -> bytes:
    return _public(key.public_key())


def open_keystore(content: bytes, password: str, where: str) -> list[str]:
    """Check a PKCS #12 file: its password, that key and certificate are in it, the dates; return warnings."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(content, password.encode())
    except UnsupportedAlgorithm:
        return []
    except (ValueError, TypeError):
        raise ConfigError(f"{where}: ssl.keystore.password does not open it, or it is no PKCS #12 file") from None
    if key is None or certificate is None:
        missing = "private key" if key is None else "certificate of its key"
        raise ConfigError(f"{where}: there is no {missing} in it; export the two together")
    return check_dates([_read(one.public_bytes(Encoding.DER), where) for one in (certificate, *others)], where)
