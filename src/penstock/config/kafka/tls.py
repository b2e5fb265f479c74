"""TLS options: what they hold is put right and checked before anything connects.

    X.pem       taken apart, cleaned, put in order and passed on inline; no file is ever written
    X.location  read and checked, and left to librdkafka to read; X is ssl.ca, ssl.certificate or ssl.key, and https.ca,
                the authorities of a server of tokens
    keystore    opened with its password; crl: there

librdkafka has one text for a wrong key and a wrong order, takes a certificate without its key in silence, ignores what
follows the first damaged authority, and leaves what has expired for the broker to refuse. All of it is said here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.config.kafka.pem import Block, certificates_of, key_of, read_blocks
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.config.kafka.options import KafkaOption

__all__ = ["check_tls"]

_CA, _CERTIFICATE, _KEY = "ssl.ca", "ssl.certificate", "ssl.key"
_AUTHORITIES: Final = (_CA, "https.ca")
_ROLES: Final = (*_AUTHORITIES, _CERTIFICATE, _KEY)
_VERIFICATION: Final = "enable.ssl.certificate.verification"
_JAVA_KEYSTORE: Final = b"\xfe\xed\xfe\xed"


class Source(NamedTuple):
    """What was given for one role: the option, and the blocks of it that count."""

    option: KafkaOption
    blocks: list[Block]

    @property
    def inline(self) -> bool:
        """Ours to put right."""
        return self.option.name.endswith(".pem")


def check_tls(kafka: Mapping[str, str], options: Mapping[str, KafkaOption]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Put the TLS options right and check what they hold.

    kafka    every option to set, by spelling
    options  those that were given, by spelling, with their places

    Returns the options to set and the warnings. Raises ConfigError for the first thing that librdkafka or the broker
    would refuse, without content. Dates, passwords and what belongs together need the package cryptography, which is
    imported only where TLS is used and there is something to check. It is an extra: without it a job that works is
    not refused, a warning says what was not checked.
    """
    given = {
        name: option for name, option in options.items() if name.startswith(("ssl.", "https.")) and not _is_none(option)
    }
    for name, option in given.items():
        if name.endswith(".location") and "-----BEGIN" in option.value:
            inline = [f"{role}.pem" for role in _ROLES if name == f"{role}.location"]
            instead = f"it as {inline[0]}" if inline else "the path of a file"
            raise ConfigError(f"{option.where}: {name} holds PEM itself, not a path; give {instead}")
    protocol = kafka.get("security.protocol", "plaintext")
    settled, warnings = dict(kafka), []
    if protocol.lower() not in {"ssl", "sasl_ssl"}:  # a server of tokens speaks TLS nevertheless
        warnings += _without_effect([name for name in given if name.startswith("ssl.")], protocol)
        given = {name: option for name, option in given.items() if not name.startswith("ssl.")}
    for role in _ROLES:
        place = given.get(f"{role}.location")
        if place is not None and f"{role}.pem" in given:
            del settled[f"{role}.location"], given[f"{role}.location"]
            warnings.append(f"{place} has no effect: {role}.pem is given too; leave one of them out")
    sources = {role: source for role in _ROLES if (source := _read(role, given)) is not None}
    keystore = _keystore(given)
    _check_pair(sources, None if keystore is None else given["ssl.keystore.location"])
    if "ssl.crl.location" in given:
        _check_revoked(given["ssl.crl.location"])

    if sources or keystore is not None:
        verified = kafka.get(_VERIFICATION) != "false"
        warnings += _check_content(sources, given, keystore, verified=verified)
    for role, source in sources.items():
        if source.inline:
            settled[f"{role}.pem"] = "".join(block.pem for block in source.blocks)
    return settled, tuple(warnings)


def _is_none(option: KafkaOption) -> bool:
    """Tell whether librdkafka takes this for "not set"."""
    return not option.value and option.name.endswith(".location")


def _without_effect(names: list[str], protocol: str) -> list[str]:
    if not names:
        return []
    verb = "have" if len(names) > 1 else "has"
    what = f"{', '.join(names)} {verb} no effect with security.protocol={protocol}"
    return [f"{what}; give security.protocol=ssl or sasl_ssl to connect by TLS"]


def _read(role: str, given: Mapping[str, KafkaOption]) -> Source | None:
    """Return what was given for a role, None where librdkafka finds it: probed, or a directory of authorities."""
    option = given.get(f"{role}.pem")
    if option is not None:
        if not option.value.strip():
            raise ConfigError(f"{option}: it is empty; give the text of a PEM file, or leave it out")
        blocks = read_blocks(option.value, str(option))
    else:
        option = given.get(f"{role}.location")
        if option is None:
            return None
        if role in _AUTHORITIES and (option.value == "probe" or Path(option.value).is_dir()):
            return None
        text = _file(option).decode("utf-8-sig", "replace")
        blocks = read_blocks(text, str(option), from_file=True)
    if role == _KEY:
        return Source(option, [key_of(blocks, str(option))])
    return Source(option, certificates_of(blocks, str(option)))


def _file(option: KafkaOption) -> bytes:
    path = Path(option.value)
    if path.is_dir():
        raise ConfigError(f"{option}: this is a directory; give the path of a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{option}: the file cannot be read, {reason}; check its path and rights") from None
    if content.startswith(_JAVA_KEYSTORE):
        raise ConfigError(
            f"{option}: a keystore of Java (JKS); keytool -importkeystore with -deststoretype PKCS12 converts it"
        )
    return content


def _keystore(given: Mapping[str, KafkaOption]) -> bytes | None:
    option = given.get("ssl.keystore.location")
    if option is None:
        return None
    content = _file(option)
    if not _password(given, "ssl.keystore.password"):
        raise ConfigError(f"{option}: librdkafka opens it with a password only; give ssl.keystore.password")
    return content


def _check_revoked(option: KafkaOption) -> None:
    text = _file(option).decode("utf-8-sig", "replace")
    if not any(block.label == "X509 CRL" for block in read_blocks(text, str(option), from_file=True)):
        raise ConfigError(
            f"{option}: there is no list of revoked certificates in it (X509 CRL); give one, or leave it out"
        )


def _check_pair(sources: Mapping[str, Source], keystore: KafkaOption | None) -> None:
    certificate, key = sources.get(_CERTIFICATE), sources.get(_KEY)
    other = certificate or key
    if keystore is not None and other is not None:  # librdkafka would take the keystore, with the chain of the other
        raise ConfigError(f"{keystore} and {other.option} both say who we are to the broker; leave one of them out")
    if certificate is not None and key is None:
        raise ConfigError(
            f"{certificate.option}: the certificate has no key, so the broker will refuse it; "
            "give ssl.key.pem or ssl.key.location (the same path, where the file holds both)"
        )
    if key is not None and certificate is None:
        raise ConfigError(
            f"{key.option}: the key has no certificate; give ssl.certificate.pem or ssl.certificate.location"
        )


def _check_content(
    sources: dict[str, Source], given: Mapping[str, KafkaOption], keystore: bytes | None, *, verified: bool
) -> list[str]:
    """Check what needs cryptography, and put the chain of certificates in order; return the warnings."""
    try:
        from penstock.config.kafka import certificates  # noqa: PLC0415 - an extra, and 40 ms
    except ImportError:
        names = [source.option.name for source in sources.values()] + ["ssl.keystore.location"] * (keystore is not None)
        what = f"{', '.join(names)}: dates, passwords and what belongs together were not checked"
        return [f'{what}, as the package cryptography is not installed; pip install "penstock[tls]" brings it']
    warnings = []
    for role in _AUTHORITIES:
        if role in sources and (verified or role != _CA):
            ca = sources[role]
            warnings += certificates.check_authorities(ca.blocks, str(ca.option), inline=ca.inline)
    if keystore is not None:
        where = str(given["ssl.keystore.location"])
        warnings += certificates.open_keystore(keystore, _password(given, "ssl.keystore.password"), where)
    if _CERTIFICATE not in sources:
        return warnings
    own, key = sources[_CERTIFICATE], sources[_KEY]
    where = str(own.option)
    chain = certificates.read_certificates(own.blocks, where)
    half = certificates.open_key(key.blocks[0], _password(given, "ssl.key.password"), str(key.option))
    if half is None:
        warnings.append(
            f"{key.option}: the key is of a kind that cannot be opened here, so whether it matches its certificate "
            "was not checked"
        )
    else:
        order = certificates.chain_of(chain, half)
        if order is None:
            raise ConfigError(
                f"{key.option}: the key matches no certificate of {own.option}, whose first is that of "
                f"{chain[0].name}; give the key that was made for it"
            )
        if order[0] != 0 and not own.inline:
            raise ConfigError(
                f"{where}: the certificate of {chain[order[0]].name} must come first in the file, as it is the key's "
                "own; move it, or give the text as ssl.certificate.pem, which is put in order"
            )
        if own.inline:
            sources[_CERTIFICATE] = own._replace(blocks=[own.blocks[place] for place in order])
        chain = [chain[place] for place in order]
    return warnings + certificates.check_dates(chain, where)


def _password(given: Mapping[str, KafkaOption], name: str) -> str:
    return given[name].value if name in given else ""
