"""Answers to requests that are not passed, written without keeping anything."""

from collections.abc import Iterable

from ..wire.message import REASONS, SipError
from ..wire.splice import PassedMessage


def write_answer(message: PassedMessage, err: SipError, tag: str) -> bytes:
    """Write an answer to a request whose top Via says where it came from.

    `tag` is for a To that has none (RFC 3261 8.2.6.2).
    """
    return write_status(
        echoed_fields(message, tag), err.status, err.fields, reason=err.reason
    )


def echoed_fields(message: PassedMessage, tag: str) -> str:
    """Return what all answers to a request have in common (RFC 3261 8.2.6.2)."""
    to = message.first("to") or ""
    if ";tag=" not in to.lower():
        to += f";tag={tag}"
    lines = [
        *(f"Via: {value}" for value in message.lines("via")),
        f"From: {message.first('from') or ''}",
        f"To: {to}",
        f"Call-ID: {message.first('call-id') or ''}",
        f"CSeq: {message.first('cseq') or ''}",
    ]
    return "\r\n".join(lines)


def write_status(
    echoed: str,
    status: int,
    fields: Iterable[str] = (),
    *,
    reason: str | None = None,
) -> bytes:
    """Write an answer with the fields that are echoed, and further header lines."""
    lines = [
        f"SIP/2.0 {status} {reason or REASONS[status]}",
        echoed,
        *fields,
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
