"""The short way of reading what is passed: what most messages look like, in one go.

A message is matched as a whole by one expression, which finds the few values that a
proxy reads and changes. What is found is what `splice.PassedMessage` would read line by
line; whatever is odd, from the spelling of a name to a field that stands twice, is no
match and left to it.

An octet of the head is a character of Latin-1 here.
"""

import re
from typing import NamedTuple

from .headers import PLAIN_NAME, PLAIN_PORT, PLAIN_SPEC, PLAIN_WORD, TOKEN

# Header lines at most behind the Vias. What has more is read line by line.
MAX_LINES = 64

_ANY = r"[^\r\n]*+"

# A value without white space around it.
_VALUE = r"[!-~\x80-\xff][ -~\t\x80-\xff]*+(?<![ \t])"

# One value, without parameters of its own.
_ROUTE = r"<[^<>, \t\r\n]++>"

# The two kinds of branch that are ours (`proxy.tokens`) but for those that are signed.
_OWN_BRANCH = r"(z9hG4bK[up][0-9a-f]{16})(?:\.([0-9a-f]++))?+"

# Parameters of a Via that nobody asks for.
_OTHER_PARAMETERS = r"(?:;[a-z]++(?:=[A-Za-z0-9.:_*-]++)?+)*+"


def _lines(names: dict[str, str], other: str, groups: int) -> str:
    """Write the expression of header lines in any order, those with a name once each.

    `names` have the values, each with one group around it at least, `other` is what
    all other lines look like, and `groups` how many groups stand in front.
    """
    lines = []
    for name, value in names.items():
        once = groups + 1
        groups += re.compile(value).groups
        lines.append(rf"{name}: (?({once})(?!)){value}")
    return rf"(?:\r\n(?:{'|'.join(lines)}|{other})){{1,{MAX_LINES}}}+"


class PlainResponse(NamedTuple):
    """A response with one Via of ours on top and the sender's below it.

    start        Status-Line with its line end
    host, port   of our Via
    branch       ours, without the number of a stream that may stand behind it
    stream       that number
    below        all from the sender's Via on, and Record-Routes in front of it: our
                 own stand there in a request, and some answer line by line
    sender_...   of that Via; its branch is unique to its transaction
    method       of CSeq
    contact      value of Contact
    expires      value of Expires
    length       value of Content-Length
    """

    start: str
    status: str
    host: str
    port: str | None
    branch: str
    stream: str | None
    below: str
    sender_host: str
    sender_port: str | None
    sender_branch: str
    sender_rport: str | None
    sender_received: str | None
    method: str | None
    contact: str | None
    expires: str | None
    length: str | None


def _write_response() -> re.Pattern[str]:
    top = (
        rf"(SIP/2\.0 ([1-6][0-9]{{2}}) {_ANY}\r\n)"
        rf"Via: SIP/2\.0/[A-Z]++ ({PLAIN_WORD})(?::({PLAIN_PORT}))?+;branch={_OWN_BRANCH}"
        rf"{_OTHER_PARAMETERS}\r\n"
        rf"((?:Record-Route: {_ANY}\r\n)*+"
        rf"Via: SIP/2\.0/[A-Z]++ ({PLAIN_WORD})(?::({PLAIN_PORT}))?+"
    )
    first = re.compile(f"{top})").groups + 1
    # In any order, since some write a Via anew.
    parameters = "|".join(
        (
            rf"branch=(?({first})(?!))(z9hG4bK{TOKEN})",
            rf"rport=(?({first + 1})(?!))({PLAIN_PORT})",
            rf"received=(?({first + 2})(?!))([0-9.]++)",
            "alias",
        )
    )
    names = {
        "CSeq": r"[0-9]{1,9}+ ([A-Z]++)",
        "Contact": rf"({_VALUE})",
        "Expires": r"([0-9]{1,9}+)",
        "Content-Length": r"([0-9]{1,9}+)",
    }
    # Lines that are not read in any spelling, and names of others.
    other = (
        rf"[ABDF-KN-Zabdf-kn-z]{_ANY}"
        r"|(?:C(?:all-(?:ID|Info)|ontent-(?:Type|Disposition))|Event"
        rf"|Min-(?:Expires|SE)|MIME-Version): {_ANY}"
    )
    lines = _lines(names, other, first + 2)
    return re.compile(rf"{top}(?:;(?:{parameters}))*+{lines})")


_RESPONSE = _write_response()


def read_plain_response(head: str) -> PlainResponse | None:
    """Read the head of what most responses look like, None for whatever else it is."""
    plain = _RESPONSE.fullmatch(head)
    return None if plain is None else PlainResponse._make(plain.groups())


class PlainRequest(NamedTuple):
    """A request with one Via.

    sent_by      the Via up to its parameters
    before       `;rport` where it stands in front of the branch
    branch       unique to its transaction (RFC 3261 8.1.1.7)
    behind       `;rport` where it stands behind the branch
    alias        `;alias` (RFC 5923) behind both
    below        the lines below the Via, with the line end in front of each
    routes       lines of Route with one value each, without the first line's name
    forwards     value of Max-Forwards
    from_        name and URI of From
    from_uri     that URI
    to_uri       URI of To
    event        the package in Event
    length       value of Content-Length
    """

    method: str
    uri: str
    sent_by: str
    host: str
    port: str | None
    before: str | None
    branch: str
    behind: str | None
    alias: str | None
    below: str
    routes: str | None
    forwards: str | None
    from_: str | None
    from_uri: str | None
    to_uri: str | None
    to_tag: str | None
    call_id: str | None
    cseq_method: str | None
    contact: str | None
    user_agent: str | None
    expires: str | None
    authorization: str | None
    event: str | None
    length: str | None


def _write_request() -> re.Pattern[str]:
    top = (
        r"([A-Z]++) ([^ \r\n]++) SIP/2\.0\r\n"
        rf"Via: (SIP/2\.0/(?:UDP|TCP|TLS) ({PLAIN_WORD})(?::({PLAIN_PORT}))?+)"
        rf"(;rport)?+;branch=(z9hG4bK{TOKEN})(?(6)|(;rport)?+)(;alias)?+("
    )
    groups = re.compile(f"{top})").groups
    names = {
        "Route": rf"({_ROUTE}(?:\r\nRoute: {_ROUTE})*+)",
        "Max-Forwards": r"([1-9][0-9]{0,2}+)",
        "From": rf"({PLAIN_NAME}<({PLAIN_SPEC})>)(?:;tag={TOKEN})?+",
        "To": rf"{PLAIN_NAME}<({PLAIN_SPEC})>(?:;tag=({TOKEN}))?+",
        "Call-ID": r"([!-~]++)",
        "CSeq": r"[0-9]{1,9}+ ([A-Z]++)",
        "Contact": rf"({_VALUE})",
        "User-Agent": rf"({_VALUE})",
        "Expires": r"([0-9]{1,9}+)",
        "Authorization": rf"({_ANY})",
        "Event": r"([A-Za-z0-9.-]++)(?:;[!-~]*+)?+",
        "Content-Length": r"([0-9]{1,9}+)",
    }
    # Lines that are not read in any spelling, and names of others.
    other = (
        rf"[BDGHJKNQSWX-Zbdghjknqswx-z]{_ANY}"
        r"|(?:A(?:llow(?:-Events)?|ccept(?:-Encoding|-Language)?|lert-Info)|Call-Info"
        r"|Content-(?:Type|Disposition|Encoding|Language)|Min-SE|MIME-Version"
        r"|Organization|P-[A-Za-z-]++|Priority|Privacy|Proxy-Authorization|RAck|RSeq"
        r"|Reason|Refer(?:-To|red-By)|Remote-Party-ID|Replaces|Require|Timestamp)"
        rf": {_ANY}"
    )
    return re.compile(rf"{top}{_lines(names, other, groups)})")


_REQUEST = _write_request()


def read_plain_request(head: str) -> PlainRequest | None:
    """Read the head of what most requests look like, None for whatever else it is."""
    plain = _REQUEST.fullmatch(head)
    return None if plain is None else PlainRequest._make(plain.groups())
