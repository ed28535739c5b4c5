"""Where requests came from, and where their answers go (RFC 3261 18.2)."""

import re

from ..transport.flow import Flow
from ..transport.udp import UdpFlow
from ..wire.headers import DEFAULT_PORT, split_list, unbracketed
from ..wire.message import Request

# Parameters of a Via that are ours to write.
_RPORT = re.compile(r";[ \t]*rport[ \t]*(=[^;,]*)?(?=[;,]|\Z)", re.IGNORECASE)
_RECEIVED = re.compile(r";[ \t]*received[ \t]*=[^;,]*", re.IGNORECASE)


def mark_source(request: Request, flow: Flow) -> None:
    """Write into the top Via where the request came from (18.2.1, RFC 3581 4)."""
    via = request.via
    host, port = flow.remote
    wants_port = "rport" in via.parameters
    if not wants_port and unbracketed(via.host) == host:
        return
    text = request.via_text
    end = text.find("\n")
    line, others = (text, "") if end < 0 else (text[:end], text[end:])
    if "," in line:
        line, *more = split_list(line)
        others = "".join(f"\n{value}" for value in more) + others
    if "received" in via.parameters:
        line = _RECEIVED.sub("", line)
    if wants_port:
        plain = line.endswith(";rport")
        line = line.removesuffix(";rport") if plain else _RPORT.sub("", line)
        request.via_text = f"{line};rport={port};received={host}{others}"
    else:
        request.via_text = f"{line};received={host}{others}"


def answer_flow(request: Request, flow: Flow) -> Flow:
    """Return where an answer goes (18.2.2): to rport, else to the port of the Via.

    maddr is ignored: it would let anyone point our answers at others.
    """
    if not isinstance(flow, UdpFlow) or "rport" in request.via.parameters:
        return flow
    port = request.via.port or DEFAULT_PORT
    return flow if port == flow.remote[1] else flow.towards(flow.remote[0], port)
