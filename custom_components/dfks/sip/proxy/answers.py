"""Answers to requests that are not passed, written without keeping anything."""

from ..wire.message import SipError
from ..wire.splice import PassedMessage


def write_answer(message: PassedMessage, err: SipError, tag: str) -> bytes:
    """Write an answer to a request whose top Via says where it came from.

    `tag` is for a To that has none (RFC 3261 8.2.6.2).
    """
    to = message.first("to") or ""
    if ";tag=" not in to.lower():
        to += f";tag={tag}"
    lines = [
        f"SIP/2.0 {err.status} {err.reason}",
        *(f"Via: {value}" for value in message.lines("via")),
        f"From: {message.first('from') or ''}",
        f"To: {to}",
        f"Call-ID: {message.first('call-id') or ''}",
        f"CSeq: {message.first('cseq') or ''}",
        *err.fields,
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
