"""What each request that is passed must have, and each message that leaves."""

import re

from ..transport.flow import Flow
from ..wire.headers import HeaderError, number, parse_via
from ..wire.message import SipError
from ..wire.splice import PassedMessage
from .site import Site
from .tokens import TO_PBX, TO_PHONE, direction_of, is_loop

# Of a request that says nothing (RFC 3261 16.6, 3).
MAX_FORWARDS = 70

# Vias and Record-Routes of one message that is passed.
MAX_VIAS = 70
MAX_RECORD_ROUTES = 32

_OWN_BRANCHES = re.compile(f"{TO_PBX}|{TO_PHONE}")


def check_passed(message: PassedMessage, flow: Flow, site: Site) -> None:
    """Check what every request that is passed must have, and mark its source.

    RFC 3261 16.3 and 18.2.1. Raises HeaderError and SipError.
    """
    message.mark_source(*flow.remote)
    message.tag("from")
    message.tag("to")
    if not message.first("call-id"):
        raise HeaderError("Missing Call-ID")
    if message.cseq[1] != message.method:
        raise HeaderError("CSeq names another method")
    if message.count("via") > MAX_VIAS or message.count("record-route") > (
        MAX_RECORD_ROUTES
    ):
        raise SipError(400, "Too many hops")
    text = message.first("max-forwards")
    left = MAX_FORWARDS + 1 if text is None else number(text, 255)
    if left is None:
        raise HeaderError("Max-Forwards is not a number")
    if not left:
        raise SipError(483)
    message.set("max-forwards", str(left - 1), "Max-Forwards")
    check_loop(message, flow, site)
    options = message.values("proxy-require")
    if options:
        raise SipError(420, None, (f"Unsupported: {', '.join(options)}",))


def check_loop(message: PassedMessage, flow: Flow, site: Site) -> None:
    """Refuse a request that comes back as it was passed (16.3, 4)."""
    if _OWN_BRANCHES.search(message.head) is None:
        return
    routes = "\n".join(message.lines("route"))
    for text in message.values("via"):
        via = parse_via(text)
        if (
            direction_of(via.branch) is not None
            and site.is_own(via.host, via.port, flow)
            and is_loop(via.branch, message.uri, routes)
        ):
            raise SipError(482)


def frame(message: PassedMessage) -> None:
    """Say how long a message is that leaves on a stream (16.6, 9)."""
    if not message.has("content-length"):
        message.add(f"Content-Length: {len(message.body)}")
