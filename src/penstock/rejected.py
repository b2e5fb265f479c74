"""rejected: what the broker did not take, in a sentence. What is sent again before that is Producer's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.errors import DeliveryError
from penstock.source.batch import find_row

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.control import Ack
    from penstock.coordinator import Chunk

__all__ = ["is_for_good", "not_taken"]

_ANOTHER: Final = -138  # _INVALID_DIFFERENT_RECORD: it went with one that was refused
_GONE: Final = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}
# What a broker says of messages that it will never take: to abort a transaction and send it again would help nothing.
_FOR_GOOD: Final = {
    *_GONE,
    "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "INVALID_TIMESTAMP",
    "_INVALID_DIFFERENT_RECORD", "TOPIC_AUTHORIZATION_FAILED",
}  # fmt: skip
_OVERSIZE: Final = {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}
_REFUSED: Final = {"INVALID_RECORD", "INVALID_TIMESTAMP", *_OVERSIZE}


def is_for_good(ack: Ack) -> bool:
    """Tell whether the broker will not take these messages however often they are sent."""
    return any(name in _FOR_GOOD for _, name, _, _, _ in ack.errors)


def not_taken(ack: Ack, chunk: Chunk, config: Config) -> DeliveryError:
    """Return the error for a chunk of which the broker did not take everything, as ack.errors says."""
    code, name, rows, _, example = max(ack.errors, key=lambda error: (error[0] != _ANOTHER, error[2]))
    text = f"{example}: the broker did not take {rows} {'row' if rows == 1 else 'rows'} of one chunk ({name})"
    if name in _GONE:
        text += "; the topic, or this partition of it, is not there any more"
    source = row = None
    if ack.refused is not None and name in _REFUSED:
        first, last = (find_row(chunk.origin, chunk.first_row + at) for at in ack.refused)
        source, row = first
        text += f"; {source}: row {row}"
        if first != last:
            text += f" to {'' if source == last[0] else f'{last[0]}: '}row {last[1]}"
        text += " is in a message that it refuses" if chunk.resend else " is among what it refuses"
        text += "; " + _advice(name, chunk, config)
    return DeliveryError(f"{text}; the report has the counts", code=name, errno=code, source=source, row=row)


def _advice(name: str, chunk: Chunk, config: Config) -> str:
    setting = "on_oversize" if name in _OVERSIZE else "on_bad_row"
    if config.writer.delivery == "exactly_once":
        return "in a transaction nothing of that is sent again"
    if not chunk.resend:
        return (
            "nothing of that is sent again, since these rows are to keep their order; reorder_on_reject=true sends the "
            f"others, and {setting} says what becomes of these"
        )
    if getattr(config.writer, setting) in {"skip", "dead_letter"}:
        return "it cannot be left out, as copies of its rows are in other messages too"
    if config.format.__struct_config__.tag == "python":
        return "have the encoder make another message of it, or filter such rows out before they are written"
    return f"{setting}=skip or dead_letter leaves such rows out"
