"""ask: two questions in Kafka's protocol, to tell whether a Kafka broker is there and how it wants to be logged in to.

    request   int32 size, int16 api, int16 version, int32 correlation id, string client id, body
    answer    int32 size, int32 correlation id, body
    string    int16 size, UTF-8

Both are older than any broker in use, in the versions asked for, and are answered before anybody has logged in.
Used by listener.py only.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
import time
from typing import TYPE_CHECKING, Final

from penstock.names import shown

if TYPE_CHECKING:
    import socket

__all__ = ["ForeignError", "mechanisms"]

_SASL_HANDSHAKE, _API_VERSIONS = 17, 18  # Kafka's numbers of requests
_ILLEGAL_SASL_STATE: Final = 34
_CLIENT: Final = b"penstock"
_CORRELATION: Final = 0x50454E53  # no other protocol sends this back
_LARGEST_ANSWER: Final = 1 << 20
_HEAD: Final = struct.Struct(">ii")  # of an answer: the size of the rest, the correlation id


class ForeignError(Exception):
    """Something answered that is no Kafka broker."""

    def __init__(self, first: bytes) -> None:
        text = first.split(b"\r")[0].split(b"\n")[0].decode("ascii", "replace")
        like = next((f"like {name}, " for name in ("HTTP", "SSH") if text.startswith(name)), "")
        seen = shown(text) if text.isprintable() and "\ufffd" not in text else f"the bytes {first[:8].hex(' ')}"
        super().__init__(
            f"no Kafka broker is there: it answers {like}with {seen}; give the address of a Kafka listener"
        )
        self.first = first


def mechanisms(stream: socket.socket, mechanism: str, seconds: float) -> tuple[str, ...]:
    """Ask for ApiVersions and SaslHandshake and return the mechanisms that are offered, none where SASL is off.

    Raises ForeignError for an answer that is not Kafka's, ConnectionError, TimeoutError or ssl.SSLError for none.
    """
    deadline = time.monotonic() + seconds
    answer = _ask(stream, deadline, _API_VERSIONS, 0, b"")
    listed = answer[6:]  # after the error and the count: key, lowest and highest version of each request it knows
    known = {key for key, _, _ in struct.iter_unpack(">hhh", listed[: len(listed) // 6 * 6])}
    if _SASL_HANDSHAKE not in known:
        return ()
    name = mechanism.encode()
    try:
        answer = _ask(stream, deadline, _SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
    except ConnectionError:
        return ()  # a broker without SASL may also do this
    try:
        error, count = struct.unpack_from(">hi", answer)
        names, at = [], 6
        for _ in range(count):
            (size,) = struct.unpack_from(">h", answer, at)
            names.append(answer[at + 2 : at + 2 + size].decode())
            at += 2 + size
    except (struct.error, UnicodeDecodeError):
        raise ForeignError(answer) from None
    return () if error == _ILLEGAL_SASL_STATE else tuple(names)


def _ask(stream: socket.socket, deadline: float, api: int, version: int, body: bytes) -> bytes:
    """Send a request and return the body of its answer."""
    request = struct.pack(">hhih", api, version, _CORRELATION, len(_CLIENT)) + _CLIENT + body
    # Where the other side has closed already, why it did (a TLS alert) may still be there to be read.
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        stream.sendall(struct.pack(">i", len(request)) + request)
    data = b""
    while True:
        stream.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            part = stream.recv(4096)
        except (TimeoutError, ConnectionError):
            if data:
                raise ForeignError(data) from None
            raise
        if not part:
            raise ForeignError(data) if data else ConnectionResetError("closed without an answer")
        data += part
        if len(data) < _HEAD.size:
            continue
        size, correlation = _HEAD.unpack_from(data)
        if correlation != _CORRELATION or not _HEAD.size <= size <= _LARGEST_ANSWER:
            raise ForeignError(data)
        if len(data) >= size + 4:
            return data[_HEAD.size : size + 4]
