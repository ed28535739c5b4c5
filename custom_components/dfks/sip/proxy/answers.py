"""Answers to requests that are not passed, written without keeping anything."""

from collections.abc import Iterable
import logging

from ..transaction.via import way_of_answer
from ..transport.flow import Flow, FlowError
from ..wire.headers import HeaderError
from ..wire.message import REASONS, SipError
from ..wire.splice import PassedMessage
from .site import Site
from .tokens import Tokens

_LOGGER = logging.getLogger(__name__)


class TooEarly(SipError):
    """A request for a phone that is not known, or not yet."""

    def __init__(self, token: str, pbx: str) -> None:
        """Name the phone's token, and the PBX that wants to reach it."""
        super().__init__(404)
        self.token = token
        self.pbx = pbx


class Answers:
    """Answers requests that are not passed, and keeps nothing of them."""

    def __init__(self, site: Site, tokens: Tokens) -> None:
        """Share where we are, and what tags are made with."""
        self._site = site
        self._tokens = tokens

    def refuse(self, message: PassedMessage, flow: Flow, err: SipError) -> None:
        """Answer a request that came by a flow; an ACK has no answer."""
        if message.method == "ACK":
            return
        try:
            via = message.via
            message.mark_source(*flow.remote)
            self.send(message, err, way_of_answer(via, flow))
        except HeaderError as error:
            _LOGGER.debug("A request cannot be answered: %s", error)
        except FlowError as error:
            _LOGGER.debug("No answer to %s: %s", flow.remote[0], error.strerror)

    def send(self, message: PassedMessage, err: SipError, way: Flow) -> None:
        """Send an answer by its way. Raises FlowError.

        The To tag is one that a retransmission gets again (RFC 3261 8.2.7).
        """
        tag = self._tokens.tag(message.uri, message.first("via") or "")
        self._site.send(write_answer(message, err, tag), way)


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
