"""Feature documents for third parties to read; see sip/inspect/redaction.py.

A document is read as leniently as the phone's are, and written anew from the elements
that are known. What cannot be read is told by its length and type.
"""

from collections.abc import Callable, Iterator, Mapping
import re
from typing import Final

from lxml import etree

from ..sip import (
    REDACTED,
    Aliases,
    HeaderError,
    SipError,
    like,
    parse_parameters,
    redact_field,
    redact_words,
)
from .documents import local_name, parse_document

# Lines that one document has at most: a hostile one could have thousands.
MAX_LINES: Final = 100

# Parts that a body has at most; a full state has four.
MAX_PARTS: Final = 8

_STATUS = re.compile(r"true|false|[01]", re.IGNORECASE)
_TYPE = re.compile(
    "forward(?:Immediate|Busy|NoAns|DND|Selective|NotReachable)", re.IGNORECASE
)
_RINGS = re.compile(r"[0-9]{1,3}")
_PART_END = re.compile(rb"\r?\n\r?\n")


def _user(text: str, aliases: Aliases) -> str:
    return aliases.user(text)


def _number(text: str, aliases: Aliases) -> str:
    return aliases.number(text)


# What an element's text becomes; None for one that holds elements.
_ELEMENTS: Final[Mapping[str, Callable[[str, Aliases], str] | None]] = {
    "DoNotDisturbEvent": None,
    "ForwardingEvent": None,
    "SetDoNotDisturb": None,
    "SetForwarding": None,
    "activateForward": like(_STATUS),
    "device": _user,
    "doNotDisturbOn": like(_STATUS),
    "forwardDN": _number,
    "forwardStatus": like(_STATUS),
    "forwardTo": _number,
    "forwardingType": like(_TYPE),
    "ringCount": like(_RINGS),
}


def redact_body(content_type: str, body: bytes, aliases: Aliases) -> list[str]:
    """Return the lines of a body as everybody may read them."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip(" \t").lower()
    if kind == "multipart/mixed":
        lines = _parts(parameters, body, aliases)
    elif kind.endswith("xml"):
        lines = _document(body, aliases)
    else:
        lines = None
    return lines or [_in_short(kind, body, aliases)]


def _in_short(kind: str, body: bytes, aliases: Aliases) -> str:
    try:
        shown = redact_words(kind, aliases) or "no type"
    except HeaderError:
        shown = REDACTED
    return f"({len(body)} octets of {shown})"


def _parts(parameters: str, body: bytes, aliases: Aliases) -> list[str] | None:
    """Return the lines of a multipart body, None where its parts cannot be told."""
    try:
        boundary = parse_parameters(parameters).get("boundary")
    except HeaderError:
        return None
    if not boundary:
        return None
    parts = body.split(b"--" + boundary.encode("latin-1"))[1:]
    lines: list[str] = []
    for part in parts[:MAX_PARTS]:
        if part.startswith(b"--"):
            break
        lines += ["(next part)", *_part(part, aliases)]
    return lines


def _part(part: bytes, aliases: Aliases) -> Iterator[str]:
    end = _PART_END.search(part)
    head, body = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    content_type = ""
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            continue
        yield redact_field(name.strip(), value.strip(), aliases, sent=False)
        if name.strip().lower() == "content-type":
            content_type = value.strip()
    kind = content_type.partition(";")[0].strip().lower()
    lines = _document(body, aliases) if kind.endswith("xml") else None
    yield from lines or [_in_short(kind, body, aliases)]


def _document(body: bytes, aliases: Aliases) -> list[str] | None:
    """Return the lines of a document, None where it cannot be read."""
    try:
        root = parse_document(body)
    except SipError:
        return None
    lines: list[str] = []
    for line in _element(root, "", aliases):
        if len(lines) == MAX_LINES:
            lines.append("(and more)")
            break
        lines.append(line)
    return lines


def _element(element: etree._Element, indent: str, aliases: Aliases) -> Iterator[str]:
    name = local_name(element)
    if name not in _ELEMENTS:
        yield f"{indent}<unknown>{REDACTED}</unknown>"
        return
    redact = _ELEMENTS[name]
    if redact is not None:
        text = (element.text or "").strip()
        yield f"{indent}<{name}>{text and redact(text, aliases)}</{name}>"
        return
    yield f"{indent}<{name}>"
    for child in element:
        yield from _element(child, f"{indent}  ", aliases)
    yield f"{indent}</{name}>"
