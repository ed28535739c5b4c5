"""The documents of as-feature-event: requests in, events out.

In: whatever phones send. Names are matched without namespace, order and white space
do not matter, ISO-8859-1 and UTF-8 are taken, an empty value counts as none. Nothing
outside the document is ever looked at, and a DOCTYPE is refused.

Out: one strict form, because some phones stop at anything else: a declaration, one
root with the ECMA-323 namespace as its default, `device` first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
import re
from xml.sax.saxutils import escape

from lxml import etree

from ..sip import SipError, number
from .model import MAX_RING_COUNT, Feature, FeatureState, is_target

CONTENT_TYPE = "application/x-as-feature-event+xml"
NAMESPACE = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"

# Escaped text holds no line break, so no document can hold this line.
BOUNDARY = "as-feature-event-part"
MULTIPART = f'multipart/mixed; boundary="{BOUNDARY}"'

# The pieces of the multipart body, in octets.
_BOUNDARY = BOUNDARY.encode()
_PART_HEAD = (
    f"--{BOUNDARY}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: ".encode()
)
_PART_IDS = {
    feature: f"\r\nContent-ID: <{feature}@dfks>\r\n\r\n".encode() for feature in Feature
}

_DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'

_FORWARDING_TYPES = {
    Feature.CALL_FORWARDING_ALWAYS: "forwardImmediate",
    Feature.CALL_FORWARDING_BUSY: "forwardBusy",
    Feature.CALL_FORWARDING_NO_ANSWER: "forwardNoAns",
}
FEATURES = {name.lower(): feature for feature, name in _FORWARDING_TYPES.items()}

# xs:boolean, in any case of letters.
STATUS = {"true": True, "1": True, "false": False, "0": False}


# What most request documents look like: in ASCII, without references, comments and
# attributes, one element a value. Whatever else there may be, lxml reads.
_BLANK = r"[ \t\r\n]*+"
_PLAIN_ELEMENT = r"<([A-Za-z]++)(?:/>|>([ -%'-;=?-~]*+)</\1>)"
_PLAIN_ELEMENTS = re.compile(_PLAIN_ELEMENT)
_PLAIN_DOCUMENT = re.compile(
    rf'(?:<\?xml version="1\.0"(?: encoding="(?:ISO-8859-1|UTF-8)")?+\?>)?+{_BLANK}'
    rf'<([A-Za-z]++)(?: xmlns="{NAMESPACE[:-1]}[0-9]")?+>{_BLANK}'
    rf"((?:{_PLAIN_ELEMENT.replace('1', '3')}{_BLANK})*+)</\1>{_BLANK}"
)


@dataclass(slots=True)
class Command:
    """What a phone's request document asks for; None keeps what is stored."""

    feature: Feature
    status: bool
    forward_to: str | None = None
    ring_count: int | None = None


def _make_parser(encoding: str | None = None) -> etree.XMLParser:
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


_PARSER = _make_parser()
_LATIN_1_PARSER = _make_parser("ISO-8859-1")


def refusal(text: str) -> SipError:
    """Return the error for a document that is no good, with the reason in words."""
    return SipError(400, "Bad Feature Document", (f'Warning: 399 dfks "{text}"',))


def parse_command(body: bytes) -> Command | None:
    """Understand a request document; None for one that asks for something unknown.

    Raises SipError (400) for one that is malformed or leaves out what it must say.
    """
    kind, values = _read_plain(body) or read_values(parse_document(body))
    if kind == "SetDoNotDisturb":
        return Command(Feature.DO_NOT_DISTURB, _status(values, "doNotDisturbOn"))
    if kind == "SetForwarding":
        return _forwarding(values)
    return None


def _read_plain(body: bytes) -> tuple[str, dict[str, str]] | None:
    """Return what `read_values` does, None for all but plain documents."""
    plain = _PLAIN_DOCUMENT.fullmatch(body.decode("latin-1"))
    if plain is None:
        return None
    values: dict[str, str] = {}
    for name, text in _PLAIN_ELEMENTS.findall(plain[2]):
        values.setdefault(name, text.strip())
    return plain[1], values


def read_values(root: etree._Element) -> tuple[str, dict[str, str]]:
    """Return the name of a document, and the texts of its elements by their names."""
    values: dict[str, str] = {}
    for element in root:
        values.setdefault(local_name(element), (element.text or "").strip())
    return local_name(root), values


def parse_document(body: bytes) -> etree._Element:
    """Read a document as leniently as phones write them. Raises SipError (400)."""
    body = body.strip()
    if b"<!DOCTYPE" in body:
        raise refusal("DOCTYPE is not allowed")
    parser = (
        _PARSER if body.startswith(b"<?xml") or _is_utf_8(body) else _LATIN_1_PARSER
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise refusal("The XML is malformed") from err
    if root.getroottree().docinfo.internalDTD is not None:
        # One in an encoding where the octets above do not show it.
        raise refusal("DOCTYPE is not allowed")
    return root


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _status(values: dict[str, str], name: str) -> bool:
    value = values.get(name)
    if value is None:
        raise refusal(f"{name} is missing")
    status = STATUS.get(value.lower())
    if status is None:
        raise refusal(f"{name} is neither true nor false")
    return status


def _forwarding(values: dict[str, str]) -> Command | None:
    kind = values.get("forwardingType")
    if not kind:
        raise refusal("forwardingType is missing")
    feature = FEATURES.get(kind.lower())
    if feature is None:
        return None
    status = _status(values, "activateForward")
    forward_to = values.get("forwardDN") or None
    if forward_to is not None and not is_target(forward_to):
        raise refusal("forwardDN is too long or holds a line break")
    ring_count = None
    if feature is Feature.CALL_FORWARDING_NO_ANSWER:
        # A count that makes no sense keeps the stored one: the NOTIFY tells which.
        ring_count = number(values.get("ringCount", ""), MAX_RING_COUNT)
    return Command(feature, status, forward_to, ring_count)


def set_document(command: Command, device: str) -> bytes:
    """Write the document that asks a server for a change of one feature."""
    if command.feature is Feature.DO_NOT_DISTURB:
        root = "SetDoNotDisturb"
        values = f"<doNotDisturbOn>{_truth(command.status)}</doNotDisturbOn>"
    else:
        root = "SetForwarding"
        target = rings = ""
        if command.forward_to:
            target = f"<forwardDN>{escape(command.forward_to)}</forwardDN>"
        if command.ring_count is not None:
            rings = f"<ringCount>{command.ring_count}</ringCount>"
        values = (
            f"<forwardingType>{_FORWARDING_TYPES[command.feature]}</forwardingType>"
            f"<activateForward>{_truth(command.status)}</activateForward>{target}{rings}"
        )
    return _encode(
        f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">'
        f"<device>{escape(device)}</device>{values}</{root}>"
    )


def _truth(status: bool) -> str:
    return "true" if status else "false"


def event_document(feature: Feature, state: FeatureState, device: str) -> bytes:
    """Write the event document of one feature."""
    before, behind = _around_device(feature, state)
    return b"%b%b%b" % (before, _encode(escape(device)), behind)


# Most lines have their features in one of a few states.
@lru_cache(maxsize=256)
def _around_device(feature: Feature, state: FeatureState) -> tuple[bytes, bytes]:
    """Write what stands in an event document before the device and behind it."""
    status = _truth(state.status)
    if feature is Feature.DO_NOT_DISTURB:
        event = "DoNotDisturbEvent"
        values = f"<doNotDisturbOn>{status}</doNotDisturbOn>"
    else:
        event = "ForwardingEvent"
        target = rings = ""
        if state.forward_to:
            target = f"<forwardTo>{escape(state.forward_to)}</forwardTo>"
        if feature is Feature.CALL_FORWARDING_NO_ANSWER:
            rings = f"<ringCount>{state.ring_count}</ringCount>"
        values = (
            f"<forwardingType>{_FORWARDING_TYPES[feature]}</forwardingType>"
            f"<forwardStatus>{status}</forwardStatus>{target}{rings}"
        )
    return (
        _encode(f'{_DECLARATION}<{event} xmlns="{NAMESPACE}"><device>'),
        _encode(f"</device>{values}</{event}>"),
    )


def _encode(text: str) -> bytes:
    return text.encode("iso-8859-1", "xmlcharrefreplace")


def multipart(states: Iterable[tuple[Feature, FeatureState]], device: str) -> bytes:
    """Write the event documents of several features into one body (RFC 2046 5.1)."""
    octets = _encode(escape(device))
    template, sizes = _multipart_template(tuple(states))
    values: list[int | bytes] = []
    for size in sizes:
        values += (size + len(octets), octets)
    return template % tuple(values)


@lru_cache(maxsize=64)
def _multipart_template(
    states: tuple[tuple[Feature, FeatureState], ...],
) -> tuple[bytes, tuple[int, ...]]:
    """Write the body with gaps for the length of each part and the device in it.

    Returns it with the lengths of the parts without the device.
    """
    pieces = []
    sizes = []
    for feature, state in states:
        before, behind = _around_device(feature, state)
        sizes.append(len(before) + len(behind))
        pieces.append(
            b"%b%%d%b%b%%b%b\r\n"
            % (
                _PART_HEAD,
                _PART_IDS[feature],
                before.replace(b"%", b"%%"),
                behind.replace(b"%", b"%%"),
            )
        )
    return b"%b--%b--\r\n" % (b"".join(pieces), _BOUNDARY), tuple(sizes)
