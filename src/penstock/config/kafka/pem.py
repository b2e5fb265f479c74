"""PEM text taken apart into its blocks, and put together again in the one form that librdkafka surely reads.

    -----BEGIN CERTIFICATE-----        a block: label, for old encrypted keys two headers, base64
    MIIB...
    -----END CERTIFICATE-----

Text from environment variables and JSON has often lost its line ends, or has them as backslash and n; files from other
tools have words between the blocks. None of that makes it unclear what is meant, so it is put right.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

from penstock.errors import ConfigError

__all__ = ["Block", "certificates_of", "key_of", "read_blocks"]

_MARKER: Final = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
_OWN_LINE: Final = re.compile(rf"^{_MARKER.pattern}[ \t\r]*$", re.MULTILINE)
_WRITTEN_LINE_END: Final = re.compile(r"(?:\\+[rn])+")
_HEADERS: Final = re.compile(r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s+DEK-Info:\s*([A-Za-z0-9-]+),\s*([0-9A-Fa-f]+)\s+")
# OpenSSL's old word, and a certificate with something behind it that says what it is trusted for.
_CERTIFICATE_LABELS: Final = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_LINE: Final = 64


class Block(NamedTuple):
    """One block. headers: the two lines of an encrypted key in OpenSSL's old form, else empty."""

    label: str
    headers: str
    der: bytes

    @property
    def pem(self) -> str:
        """The block as text: lines of 64 characters, each with its end."""
        text = base64.b64encode(self.der).decode()
        lines = "\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))
        return f"-----BEGIN {self.label}-----\n{self.headers}{lines}\n-----END {self.label}-----\n"

    @property
    def is_key(self) -> bool:
        """It is a private key, in any of its forms."""
        return self.label.endswith("PRIVATE KEY")

    @property
    def is_encrypted(self) -> bool:
        """It is a private key that needs a password."""
        return bool(self.headers) or self.label.startswith("ENCRYPTED")


def read_blocks(text: str, where: str, *, from_file: bool = False) -> list[Block]:
    """Take PEM text apart, whatever stands around the blocks and however its lines end.

    where      the place, as errors name it
    from_file  librdkafka will read the file itself, so its markers must stand on lines of their own

    Raises ConfigError, without a word of the content, where there is no block, one is not ended or is not base64.
    """
    if not from_file:
        text = _WRITTEN_LINE_END.sub("\n", text)
    markers = list(_MARKER.finditer(text))
    if not markers:
        raise ConfigError(f"{where}: this is not PEM, nothing in it begins with -----BEGIN{_looks_like(text)}")
    if from_file and len(_OWN_LINE.findall(text)) < len(markers):
        raise ConfigError(
            f"{where}: the lines -----BEGIN and -----END do not stand alone, so librdkafka will not find them; "
            "write the file anew, or give its content inline, where this is put right"
        )
    blocks: list[Block] = []
    while markers:
        begin = markers.pop(0)
        if begin[1] == "END":
            raise ConfigError(f"{where}: an -----END {begin[2]}----- has no beginning; copy the whole text again")
        if not markers or markers[0].groups() != ("END", begin[2]):
            raise ConfigError(f"{where}: -----BEGIN {begin[2]}----- has no end; copy the whole text again")
        blocks.append(_block(begin[2], text[begin.end() : markers.pop(0).start()], f"{where}: block {len(blocks) + 1}"))
    return blocks


def _block(label: str, body: str, where: str) -> Block:
    headers = _HEADERS.match(body)
    if headers is not None:
        body = body[headers.end() :]
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        der = b""
    if not der:
        kind = "certificate" if label in _CERTIFICATE_LABELS else label.lower()
        raise ConfigError(
            f"{where}: no {kind} can be read from it, as there is no base64 between BEGIN and END; "
            "it was cut, or is a placeholder"
        )
    if label.startswith("TRUSTED"):  # librdkafka reads what is behind the certificate in files only
        der = der[: _length(der)]
    old = "" if headers is None else f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {headers[1]},{headers[2]}\n\n"
    return Block("CERTIFICATE" if label in _CERTIFICATE_LABELS else label, old, der)


def _length(der: bytes) -> int:
    """Return how many bytes the first element of DER has, as far as it says."""
    head = bytes(der[1:2]) or b"\0"
    if head[0] < 0x80:  # noqa: PLR2004 - the length itself, else the count of its bytes
        return 2 + head[0]
    end = 2 + head[0] - 0x80
    return end + int.from_bytes(der[2:end], "big")


def certificates_of(blocks: list[Block], where: str) -> list[Block]:
    """Return the certificates, each once; ConfigError says what there is instead of any."""
    found = [block for block in dict.fromkeys(blocks) if block.label == "CERTIFICATE"]
    if found:
        return found
    if any(block.is_key for block in blocks):
        raise ConfigError(f"{where}: a private key stands where a certificate is expected; exchange the two")
    raise ConfigError(f"{where}: there is no certificate in it, only {_labels(blocks)}")


def key_of(blocks: list[Block], where: str) -> Block:
    """Return the one private key; ConfigError says what there is instead."""
    found = [block for block in dict.fromkeys(blocks) if block.is_key]
    if len(found) > 1:
        raise ConfigError(f"{where}: {len(found)} private keys in one place; leave the one of your certificate")
    if not found and any(block.label == "CERTIFICATE" for block in blocks):
        raise ConfigError(f"{where}: a certificate stands where the private key is expected; exchange the two")
    if not found:
        raise ConfigError(f"{where}: there is no private key in it, only {_labels(blocks)}")
    if found[0].label.startswith("OPENSSH"):
        raise ConfigError(f"{where}: a key of OpenSSH, which librdkafka cannot read; ssh-keygen -p -m PEM converts it")
    return found[0]


def _labels(blocks: list[Block]) -> str:
    return " and ".join(dict.fromkeys(block.label for block in blocks))


def _looks_like(text: str) -> str:
    """Return the end of an error about text without any marker: what to do with a path, or with a binary file."""
    if "\0" in text or "\ufffd" in text:
        return "; if it is binary (DER), openssl x509 or openssl pkey converts it with -inform DER"
    if len(text) < 1000 and "/" in text and re.search(r"\.\w{2,4}$", text.strip()):  # noqa: PLR2004 - an ample path
        return "; if it is a path, give it as the .location of the same name"
    return ""
