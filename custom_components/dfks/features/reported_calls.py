"""What phones report of their calls by calling a URL.

Two forms are understood, and nothing in them but what is named here:

- a query, as the phones of most vendors send it: `event` is one of `ReportedEvent`,
  `call` the id of the call, `number` and `name` the other side. The names are ours, the
  values what the phone puts in for its variables.
- an XML document, as Poly's phones post it: CallStateChangeEvent (Web Application for
  Polycom Phones, UC Software 5.0.0, pp. 27-33).

Phones are lenient with how they write a URL, so is this: a variable that a phone does
not know stands there as it is typed, a + in a number is a +, and a number may be a SIP
address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
import re
from typing import Final
from urllib.parse import unquote

from ..sip import HeaderError, SipError, parse_uri
from .documents import local_name, parse_document
from .seen import NOBODY, CallReason, Leg, Party, SeenCalls

# Octets of a query or a document, and characters of a call's id.
MAX_REPORT: Final = 8192
MAX_CALL: Final = 128


class ReportedEvent(StrEnum):
    """What a phone may report."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    MISSED = "missed"
    REJECTED = "rejected"
    FORWARDED = "forwarded"
    ENDED = "ended"
    # The phone has no calls, or has just started.
    IDLE = "idle"
    STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a phone reports; empty is what it does not say."""

    event: ReportedEvent
    call: str = ""
    party: Party = NOBODY

    def tell(self, calls: SeenCalls, phone: str) -> None:
        """Report to the calls of a line what one of its phones says."""
        leg = Leg(phone, self.call)
        match self.event:
            case ReportedEvent.INCOMING:
                calls.incoming(leg, self.party)
            case ReportedEvent.OUTGOING:
                calls.outgoing(leg, self.party)
            case ReportedEvent.ANSWERED:
                calls.answered(leg, self.party)
                calls.resumed(leg)
            case ReportedEvent.HELD:
                calls.held(leg)
            case ReportedEvent.RESUMED:
                calls.resumed(leg)
            case ReportedEvent.MISSED:
                calls.missed(leg, self.party)
            case ReportedEvent.REJECTED:
                calls.rejected(leg, self.party, CallReason.DECLINED)
            case ReportedEvent.FORWARDED:
                calls.forwarded(leg, self.party, CallReason.BY_PHONE)
            case ReportedEvent.ENDED:
                calls.ended(leg, CallReason.HUNG_UP)
            case ReportedEvent.IDLE | ReportedEvent.STARTED:
                calls.phone_idle(phone)


def read_query(query: str) -> Report | None:
    """Return what a query reports, None where it is nothing that is known."""
    fields: dict[str, str] = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        fields.setdefault(name, value)
    try:
        event = ReportedEvent(fields.get("event", ""))
    except ValueError:
        return None
    return Report(
        event=event,
        call=_value(fields, "call")[:MAX_CALL],
        party=Party.shown(
            _number(_value(fields, "number")),
            _value(fields, "name", blank="+"),
        ),
    )


def _value(fields: Mapping[str, str], name: str, *, blank: str = "") -> str:
    """Return a value; `blank` is what else stands for a blank in it."""
    text = fields.get(name, "")
    if blank:
        text = text.replace(blank, " ")
    value = unquote(text, errors="replace").strip()
    # A variable without a value stays as it was typed.
    return "" if value.startswith("$") else value


# A name before an address, as in From (RFC 3261 20.10).
_IN_BRACKETS: Final = re.compile(r"<([^<>]*)>")


def _number(text: str) -> str:
    """Return the number in what a phone calls a party: that, or a SIP address."""
    if (bracketed := _IN_BRACKETS.search(text)) is not None:
        text = bracketed[1]
    if text.lower().startswith(("sip:", "sips:")):
        try:
            text = parse_uri(text).user
        except HeaderError:
            return ""
    user = text.partition("@")[0].partition(";")[0]
    return "" if user.lower() == "anonymous" else user.strip()


# What Poly's phones call the states of a call, and what these report. Held is what the
# other side does; the states before a number is dialled are no call yet.
_STATES: Final[Mapping[str, ReportedEvent]] = {
    "offering": ReportedEvent.INCOMING,
    "setup": ReportedEvent.OUTGOING,
    "ringback": ReportedEvent.OUTGOING,
    "connected": ReportedEvent.ANSWERED,
    "hold": ReportedEvent.HELD,
    "disconnected": ReportedEvent.ENDED,
    "free": ReportedEvent.ENDED,
}


def read_document(body: bytes) -> Report | None:
    """Return what a document reports, None where it is nothing that is known."""
    try:
        root = parse_document(body)
    except SipError:
        return None
    # In an element of its own, or by itself.
    event = next(
        (one for one in root.iter() if local_name(one) == "CallStateChangeEvent"), None
    )
    if event is None:
        return None
    values = {local_name(one): (one.text or "").strip() for one in event.iter()}
    state = event.get("CallState") or values.get("CallState", "")
    known = _STATES.get(state.lower())
    if known is None:
        return None
    other = "Called" if values.get("CallType", "").lower() == "outgoing" else "Calling"
    call = event.get("CallReference") or values.get("CallReference", "")
    return Report(
        event=known,
        call=call[:MAX_CALL],
        party=Party.shown(
            _number(
                values.get(f"{other}PartyDirNum")
                or values.get(f"{other}PartyNumber", "")
            ),
            values.get(f"{other}PartyName", ""),
        ),
    )
