"""The short way of reading: what most requests and answers look like, in one go.

What comes out is what the parser would make of it line by line; a property test holds
the two to the same result. Whatever is odd is left to the parser.
"""

import re

from .headers import (
    PLAIN_NAME,
    PLAIN_PORT,
    PLAIN_SPEC,
    PLAIN_WORD,
    TOKEN,
    Parameters,
    Via,
)
from .message import Request

# The grammar of a plain request's head. An address has maybe a name, a URI in <>, at
# most the tag; a Via a branch, and rport before or behind.
_VALUE = r"[!-~\x80-\xff][ -~\t\x80-\xff]*+(?<![ \t])"

_ADDRESS = rf"{PLAIN_NAME}<{PLAIN_SPEC}>(?:;tag=({TOKEN}))?+"

_VIA = (
    rf"SIP/2\.0/(UDP|TCP|TLS) ({PLAIN_WORD})(?::({PLAIN_PORT}))?+"
    rf"(;rport)?+;branch=({TOKEN})(;rport)?+"
)

_READ = {
    "Via": _VIA,
    "From": _ADDRESS,
    "To": _ADDRESS,
    "Call-ID": _VALUE,
    "CSeq": r"([0-9]{1,9}+) ([A-Z]++)",
    "Contact": _VALUE,
    "Event": _VALUE,
    "Expires": _VALUE,
    "User-Agent": _VALUE,
    "Authorization": _VALUE,
    "Content-Type": _VALUE,
    "Content-Length": _VALUE,
    "Supported": _VALUE,
}

# Nobody asks a request for these.
_UNREAD = ("Max-Forwards", "Accept", "Accept-Language", "Allow", "Allow-Events")

# The fields that a plain request may have or not, in the order of their groups.
_OPTIONAL = tuple(name.lower() for name in _READ)[5:]


def _write_plain_request() -> re.Pattern[str]:
    """Write the expression of what most requests look like.

    In the Request-URI there is nothing but a user, a host and maybe a port. Behind it
    come lines that are known and spelled as in the RFC, in any order, each at most
    once: none matches where its group has done so before.
    """
    start = (
        rf"([A-Z]++) (sip:({PLAIN_WORD})@{PLAIN_WORD}(?::(?:{PLAIN_PORT}))?+) SIP/2\.0"
    )
    group = re.compile(start).groups
    lines = []
    for name, value in (_READ | dict.fromkeys(_UNREAD, "")).items():
        group += 1
        lines.append(f"{name}: (?({group})(?!))({value}){'' if value else _VALUE}")
        group += re.compile(value).groups
    return re.compile(rf"{start}(?:\r\n(?:{'|'.join(lines)}))++")


_PLAIN_REQUEST = _write_plain_request()

# A field of a response that says nothing about where it belongs or where it ends.
_OTHER_FIELDS = (
    rb"(?:(?!(?i:Call-ID|i|CSeq|Content-Length|l)\b)[A-Za-z\-]++: [ -~]*+\r\n)*+"
)

# What most responses to a NOTIFY look like.
_PLAIN_OK = re.compile(
    rb"SIP/2\.0 200 [ -~]*+\r\n"
    rb'Via: SIP/2\.0/[A-Z]++ [^;,"\s]++;branch=([A-Za-z0-9]++)(?:;[^;,"\s]++)*+\r\n'
    rb"%b"
    rb"Call-ID: ([!-~]++)\r\n"
    rb"%b"
    rb"CSeq: [0-9]{1,9}+ NOTIFY\r\n"
    rb"%b"
    rb"Content-Length: 0\r\n"
    rb"%b\r\n" % ((_OTHER_FIELDS,) * 4)
)


def parse_plain_ok(data: bytes) -> tuple[str, str] | None:
    """Return branch and Call-ID of a plain 200 to a NOTIFY, None for all else.

    Half of all messages are such; there is nothing else in them for us.
    """
    plain = _PLAIN_OK.fullmatch(data)
    return (
        None if plain is None else (plain[1].decode("ascii"), plain[2].decode("ascii"))
    )


def read_plain_request(data: bytes, end: int) -> Request | None:
    """Read what most requests look like, None for whatever else it is.

    The hot path: what comes out is what `parse` would make of it line by line.
    """
    text = data[:end].decode("latin-1")
    plain = _PLAIN_REQUEST.fullmatch(text)
    if plain is None:
        return None
    groups = plain.groups()
    method, uri, user, via, transport, host, port, before, branch, behind = groups[:10]
    from_, from_tag, to, to_tag, call_id, cseq, count, cseq_method = groups[10:18]
    if None in (via, from_, to, call_id) or cseq_method != method:
        return None
    fields = {
        name: value
        for name, value in zip(_OPTIONAL, groups[18:26], strict=True)
        if value is not None
    }
    fields |= {"via": via, "from": from_, "to": to, "call-id": call_id, "cseq": cseq}
    body = data[end + 4 :]
    if fields.get("content-length", str(len(body))) != str(len(body)):
        return None
    request = Request(method, uri, fields, body, user)
    parameters: Parameters = {"branch": branch}
    if before or behind:
        parameters["rport"] = None
    request.via = Via(transport, host.lower(), int(port) if port else None, parameters)
    request.from_tag = from_tag
    request.to_tag = to_tag
    request.cseq = int(count)
    return request
