"""Where requests came from, and where their answers go (RFC 3261 18.2)."""

from ..transport.flow import Flow
from ..transport.udp import UdpFlow
from ..wire.headers import DEFAULT_PORT, Via, split_list
from ..wire.message import Request
from ..wire.sources import with_source


def mark_source(request: Request, flow: Flow) -> None:
    """Write into the top Via where the request came from (18.2.1, RFC 3581 4)."""
    text = request.via_text
    end = text.find("\n")
    line, others = (text, "") if end < 0 else (text[:end], text[end:])
    if "," in line:
        line, *more = split_list(line)
        others = "".join(f"\n{value}" for value in more) + others
    marked = with_source(line, request.via, *flow.remote)
    if marked is not line:
        request.via_text = marked + others


def way_of_answer(via: Via, flow: Flow) -> Flow:
    """Return where an answer goes (18.2.2): to rport, else to the port of the Via.

    maddr is ignored: it would let anyone point our answers at others.
    """
    if flow.reliable or "rport" in via.parameters:
        return flow
    return towards(flow, flow.remote[0], via.port or DEFAULT_PORT)


def towards(near: Flow, host: str, port: int) -> Flow:
    """Return a flow from the same side to another address or port."""
    if near.remote == (host, port) or not isinstance(near, UdpFlow):
        return near
    return near.towards(host, port)
