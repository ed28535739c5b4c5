"""What a server says of features, read as leniently as a phone has to.

A NOTIFY holds one document, or several as multipart. Names are matched without
namespace, order does not matter, and the device says nothing. What is left out says
nothing either: it is never taken as off. Servers write what they do not have as an empty
`forwardTo`, as "0" or as a blank.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import logging
import re
from typing import Final

from ..sip import HeaderError, SipError, number, parse_parameters
from .documents import FEATURES, STATUS, parse_document, read_values
from .model import MAX_RING_COUNT, Feature, is_target

_LOGGER = logging.getLogger(__name__)

# Parts of one body that are read: there are four features.
MAX_PARTS: Final = 32

_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Report:
    """What a document says of one feature; None is what it does not say."""

    feature: Feature
    status: bool | None = None
    forward_to: str | None = None
    ring_count: int | None = None


def read_reports(content_type: str, body: bytes) -> list[Report]:
    """Return what a NOTIFY says, in its order; documents that are no good are left out."""
    reports: list[Report] = []
    for document in _documents(content_type, body):
        try:
            report = _read(*read_values(parse_document(document)))
        except SipError as err:
            _LOGGER.debug("A document in a NOTIFY cannot be read: %s", err)
            continue
        if report is not None:
            reports.append(report)
    return reports


def _documents(content_type: str, body: bytes) -> Iterator[bytes]:
    """Yield the documents of a body (RFC 2046 5.1)."""
    kind, _, parameters = content_type.partition(";")
    if not kind.strip().lower().startswith("multipart/"):
        if body.strip():
            yield body
        return
    try:
        boundary = parse_parameters(parameters).get("boundary")
    except HeaderError as err:
        _LOGGER.debug("The Content-Type of a NOTIFY cannot be read: %s", err)
        return
    if not boundary:
        return
    parts = body.split(b"--" + boundary.encode("latin-1"), MAX_PARTS + 1)
    for part in parts[1 : MAX_PARTS + 1]:
        if part.startswith(b"--"):
            return
        # A part without fields begins with an empty line.
        head = _END_OF_HEAD.search(part)
        if head is not None:
            document = part[head.end() :].strip()
            if document:
                yield document


def _read(kind: str, values: Mapping[str, str]) -> Report | None:
    """Read one document; None where it is of nothing that is known."""
    if kind == "DoNotDisturbEvent":
        return Report(Feature.DO_NOT_DISTURB, _status(values.get("doNotDisturbOn")))
    if kind != "ForwardingEvent":
        return None
    feature = FEATURES.get(values.get("forwardingType", "").lower())
    if feature is None:
        return None
    status = _status(values.get("forwardStatus"))
    target = values.get("forwardTo") or None
    if target is not None and (
        not is_target(target) or (target == "0" and status is not True)
    ):
        target = None
    rings = None
    if feature is Feature.CALL_FORWARDING_NO_ANSWER:
        rings = number(values.get("ringCount", ""), MAX_RING_COUNT)
    return Report(feature, status, target, rings)


def _status(text: str | None) -> bool | None:
    return None if text is None else STATUS.get(text.lower())
