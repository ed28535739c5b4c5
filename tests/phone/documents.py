"""The XML of as-feature-event: what a phone sends and what it understands.

The request documents are written as phones write them. The event documents are read
strictly: phones are known to reboot on a missing namespace and to stop reading at one
that they do not know.
"""

from collections.abc import Callable
from dataclasses import dataclass
import re
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

CONTENT_TYPE = "application/x-as-feature-event+xml"
NAMESPACE = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"
DECLARATION = b'<?xml version="1.0" encoding="ISO-8859-1"?>'

DND = "DoNotDisturb"
ALWAYS = "CallForwardingAlways"
BUSY = "CallForwardingBusy"
NO_ANSWER = "CallForwardingNoAnswer"
FEATURES = (DND, ALWAYS, BUSY, NO_ANSWER)

FORWARDING_TYPES = {
    ALWAYS: "forwardImmediate",
    BUSY: "forwardBusy",
    NO_ANSWER: "forwardNoAns",
}
KINDS = {"always": ALWAYS, "busy": BUSY, "no-answer": NO_ANSWER}

_FEATURE_OF = {name: feature for feature, name in FORWARDING_TYPES.items()}
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Lamp:
    """What a phone shows for one feature, as the server last told it.

    An absent `forwardTo` and an empty one are the same: no target is shown. `rings` is
    None where the document has no `ringCount`.
    """

    on: bool
    target: str = ""
    rings: int | None = None


@dataclass(frozen=True, kw_only=True)
class Document:
    """One event document of a NOTIFY."""

    root: str
    feature: str | None
    lamp: Lamp | None
    fields: dict[str, str]
    raw: bytes


def set_dnd(on: bool, *, device: str = "") -> bytes:
    """Build a SetDoNotDisturb document."""
    status = str(on).lower()
    elements = [("device", device), ("doNotDisturbOn", status)]
    return _request("SetDoNotDisturb", elements)


def set_forwarding(
    kind: str,
    on: bool,
    target: str | None = None,
    rings: int | str | None = None,
    *,
    device: str = "",
) -> bytes:
    """Build a SetForwarding document.

    `kind` is always, busy, no-answer or a forwardingType as it goes over the wire.
    `target` and `rings` of None leave their elements out.
    """
    wire_kind = FORWARDING_TYPES[KINDS[kind]] if kind in KINDS else kind
    elements = [
        ("device", device),
        ("forwardingType", wire_kind),
        ("activateForward", str(on).lower()),
    ]
    if target is not None:
        elements.append(("forwardDN", target))
    if rings is not None:
        elements.append(("ringCount", str(rings)))
    return _request("SetForwarding", elements)


def _request(root: str, elements: list[tuple[str, str]]) -> bytes:
    lines = [
        DECLARATION.decode(),
        f'<{root} xmlns="{NAMESPACE}">',
        *(f"  <{name}>{escape(text)}</{name}>" for name, text in elements),
        f"</{root}>",
    ]
    return "\n".join(lines).encode("latin-1", "xmlcharrefreplace") + b"\n"


def parse_event(raw: bytes) -> tuple[Document, list[str]]:
    """Read an event document; returns it with the violations found."""
    violations: list[str] = []
    if not raw.startswith(DECLARATION):
        violations.append(f"document does not start with {DECLARATION.decode()}")
    try:
        root = ET.fromstring(raw)
    except ET.ParseError as error:
        violations.append(f"document is not well-formed: {error}")
        return Document(
            root="", feature=None, lamp=None, fields={}, raw=raw
        ), violations
    name = root.tag.rpartition("}")[2]
    fields = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
    _check_shape(root, name, raw, violations)
    read = _READERS.get(name)
    feature, lamp = read(fields, violations) if read else (None, None)
    if read is None:
        violations.append(f"unknown document {name}")
    document = Document(root=name, feature=feature, lamp=lamp, fields=fields, raw=raw)
    return document, violations


def _check_shape(root: ET.Element, name: str, raw: bytes, notes: list[str]) -> None:
    if f'<{name} xmlns="{NAMESPACE}">'.encode() not in raw:
        notes.append(f"{name} lacks exactly the default namespace {NAMESPACE}")
    if strange := [child.tag for child in root if NAMESPACE not in child.tag]:
        notes.append(f"{name} has elements of another namespace: {strange}")
    if re.search(rb"<!|xmlns:", raw):
        notes.append(f"{name} has a prefix, a comment, CDATA or a DOCTYPE")
    if any(len(child) or child.attrib for child in root):
        notes.append(f"{name} has nested elements or attributes")


def _read_dnd(fields: dict[str, str], notes: list[str]) -> tuple[str, Lamp | None]:
    _check_order(fields, ["device", "doNotDisturbOn"], [], notes)
    on = _boolean(fields, "doNotDisturbOn", notes)
    return DND, None if on is None else Lamp(on)


def _read_forwarding(
    fields: dict[str, str], notes: list[str]
) -> tuple[str | None, Lamp | None]:
    wire_kind = fields.get("forwardingType", "")
    feature = _FEATURE_OF.get(wire_kind)
    if feature is None:
        notes.append(f"unknown forwardingType {wire_kind!r}")
        return None, None
    optional = ["forwardTo", "ringCount"] if feature == NO_ANSWER else ["forwardTo"]
    _check_order(fields, ["device", "forwardingType", "forwardStatus"], optional, notes)
    on = _boolean(fields, "forwardStatus", notes)
    rings = _rings(fields, notes)
    if on is None:
        return feature, None
    return feature, Lamp(on, fields.get("forwardTo", ""), rings)


_Reader = Callable[[dict[str, str], list[str]], tuple[str | None, Lamp | None]]
_READERS: dict[str, _Reader] = {
    "DoNotDisturbEvent": _read_dnd,
    "ForwardingEvent": _read_forwarding,
}


def _check_order(
    fields: dict[str, str], needed: list[str], optional: list[str], notes: list[str]
) -> None:
    found = list(fields)
    expected = [*needed, *(name for name in optional if name in fields)]
    if found != expected:
        notes.append(f"elements are {found}, expected {expected}")


def _boolean(fields: dict[str, str], name: str, notes: list[str]) -> bool | None:
    text = fields.get(name, "")
    if text not in _BOOLEANS:
        notes.append(f"{name} is {text!r}, neither true nor false")
    return _BOOLEANS.get(text)


def _rings(fields: dict[str, str], notes: list[str]) -> int | None:
    text = fields.get("ringCount")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 100:
        notes.append(f"ringCount is {text!r}, no number from 0 to 100")
        return None
    return int(text)
