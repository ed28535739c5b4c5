"""The SIP messages of the simulated phones, written and read as cheaply as may be.

The generator must not be slower than what it measures, so nothing is checked here that
does not matter for the figures.
"""

import hashlib
import re
from typing import Final, NamedTuple

_NAMESPACE = b"http://www.ecma-international.org/standards/ecma-323/csta/ed3"

CONTENT_TYPE: Final = b"application/x-as-feature-event+xml"

# The fields of a request that its answer repeats (RFC 3261 8.2.6.2).
_ECHOED = re.compile(
    rb"\r\n((?:Via|v|From|f|To|t|Call-ID|i|CSeq)[ \t]*:[^\r]*)", re.IGNORECASE
)
_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r]*)", re.IGNORECASE)
_TO_TAG = re.compile(rb"\r\n(?:To|t)[ \t]*:[^\r]*?;[ \t]*tag=([^\r;>]*)", re.IGNORECASE)
_CONTACT = re.compile(rb"\r\n(?:Contact|m)[ \t]*:[^\r<]*<([^>\r]*)", re.IGNORECASE)
_CHALLENGE = re.compile(
    rb"\r\nWWW-Authenticate[ \t]*:[ \t]*Digest ([^\r]*)", re.IGNORECASE
)
_PARAMETER = re.compile(rb'(\w+)="?([^",]*)')


class Challenge(NamedTuple):
    """What a server wants to have answered (RFC 7616 3.3), MD5 and qop=auth only."""

    realm: bytes
    nonce: bytes


def do_not_disturb(status: bytes) -> bytes:
    """Return the document of a phone whose key was pressed; `status` as in XML."""
    return (
        b'<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'
        b'<SetDoNotDisturb xmlns="%b">\r\n'
        b"  <device></device>\r\n"
        b"  <doNotDisturbOn>%b</doNotDisturbOn>\r\n"
        b"</SetDoNotDisturb>\r\n"
    ) % (_NAMESPACE, status)


def forwarding(number: bytes) -> bytes:
    """Return the document of a phone that forwards all calls to a number."""
    return (
        b'<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'
        b'<SetForwarding xmlns="%b">\r\n'
        b"  <device></device>\r\n"
        b"  <forwardingType>forwardImmediate</forwardingType>\r\n"
        b"  <activateForward>true</activateForward>\r\n"
        b"  <forwardDN>%b</forwardDN>\r\n"
        b"</SetForwarding>\r\n"
    ) % (_NAMESPACE, number)


def subscribe(
    *,
    uri: bytes,
    here: bytes,
    server: bytes,
    user: bytes,
    call_id: bytes,
    from_tag: bytes,
    to_tag: bytes | None,
    cseq: int,
    event: bytes,
    expires: int,
    more: bytes,
    body: bytes,
) -> bytes:
    """Write a SUBSCRIBE; each dialog has its own Contact, as each phone has.

    `here` and `server` are host and port, `more` whole header lines.
    """
    in_dialog = b";tag=" + to_tag if to_tag else b""
    return (
        b"SUBSCRIBE %b SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP %b;branch=z9hG4bK%b.%d;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:%b@%b>;tag=%b\r\n"
        b"To: <sip:%b@%b>%b\r\n"
        b"Call-ID: %b\r\n"
        b"CSeq: %d SUBSCRIBE\r\n"
        b"Contact: <sip:%b@%b>\r\n"
        b"Event: %b\r\n"
        b"Expires: %d\r\n"
        b"Accept: %b\r\n"
        b"User-Agent: dfks-benchmark\r\n"
        b"%bContent-Length: %d\r\n\r\n%b"
    ) % (
        uri,
        here,
        call_id,
        cseq,
        user,
        server,
        from_tag,
        user,
        server,
        in_dialog,
        call_id,
        cseq,
        call_id,
        here,
        event,
        expires,
        CONTENT_TYPE,
        more,
        len(body),
        body,
    )


def publish(*, here: bytes, server: bytes, user: bytes, count: int) -> bytes:
    """Write a PUBLISH of a message summary (RFC 3842), for servers without our package.

    `count` is new with each one.
    """
    body = b"Messages-Waiting: yes\r\nVoice-Message: %d/0\r\n" % count
    return (
        b"PUBLISH sip:%b@%b SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP %b;branch=z9hG4bKpublish.%d;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:%b@%b>;tag=publish%d\r\n"
        b"To: <sip:%b@%b>\r\n"
        b"Call-ID: publish-%d@%b\r\n"
        b"CSeq: 1 PUBLISH\r\n"
        b"Event: message-summary\r\n"
        b"Expires: 3600\r\n"
        b"Content-Type: application/simple-message-summary\r\n"
        b"Content-Length: %d\r\n\r\n%b"
    ) % (
        user,
        server,
        here,
        count,
        user,
        server,
        count,
        user,
        server,
        count,
        here,
        len(body),
        body,
    )


def call_id_of(message: bytes) -> bytes:
    """Return the Call-ID, empty where there is none."""
    found = _CALL_ID.search(message)
    return found[1] if found else b""


def dialog_of(response: bytes) -> tuple[bytes | None, bytes | None]:
    """Return To tag and Contact of the answer that made a dialog."""
    to_tag, contact = _TO_TAG.search(response), _CONTACT.search(response)
    return to_tag and to_tag[1], contact and contact[1]


def answer(request: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the 200 to a request, and the request's Call-ID and CSeq."""
    end = request.find(b"\r\n\r\n")
    lines = _ECHOED.findall(request, 0, end)
    call_id = cseq = b""
    for line in lines:
        if line[:2] in (b"CS", b"cs", b"Cs"):
            cseq = line
        elif line[:1] in (b"C", b"c", b"I", b"i"):
            call_id = line.partition(b":")[2].strip()
    echoed = b"\r\n".join(lines)
    ok = b"SIP/2.0 200 OK\r\n%b\r\nContent-Length: 0\r\n\r\n" % echoed
    return ok, call_id, cseq


def challenge_of(response: bytes) -> Challenge | None:
    """Return the first challenge of a 401: it is the one of MD5."""
    found = _CHALLENGE.search(response)
    if found is None:
        return None
    parameters = dict(_PARAMETER.findall(found[1]))
    return Challenge(parameters[b"realm"], parameters[b"nonce"])


def authorization(
    challenge: Challenge, user: bytes, password: bytes, uri: bytes, count: int
) -> bytes:
    """Write the Authorization line of a SUBSCRIBE (RFC 7616 3.4)."""
    ha1 = _md5(b"%b:%b:%b" % (user, challenge.realm, password))
    ha2 = _md5(b"SUBSCRIBE:%b" % uri)
    nc, cnonce = b"%08x" % count, b"c%x" % count
    response = _md5(b"%b:%b:%b:%b:auth:%b" % (ha1, challenge.nonce, nc, cnonce, ha2))
    return (
        b'Authorization: Digest username="%b", realm="%b", nonce="%b", uri="%b", '
        b'algorithm=MD5, response="%b", qop=auth, nc=%b, cnonce="%b"\r\n'
    ) % (user, challenge.realm, challenge.nonce, uri, response, nc, cnonce)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
