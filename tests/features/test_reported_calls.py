"""What phones report by calling a URL, and what is made of it."""

import pytest

from custom_components.dfks.features.reported_calls import (
    MAX_CALL,
    Report,
    ReportedEvent,
    read_document,
    read_query,
)
from custom_components.dfks.features.seen import CallEvent, CallState, Party, SeenCalls
from tests.clock import ManualClock

POLY = """<?xml version="1.0" encoding="UTF-8"?>
<PolycomIPPhone>
<CallStateChangeEvent CallReference="{call}" CallState="{state}">
<PhoneIP>192.0.2.30</PhoneIP>
<MACAddress>0004f214b89e</MACAddress>
<LineNumber>1</LineNumber>
<TimeStamp>2008-07-11T13:19:53-08:00</TimeStamp>
<CallLineInfo>
<LineKeyNum>1</LineKeyNum>
<LineDirNum>201</LineDirNum>
<LineState>Active</LineState>
<CallInfo>
<CallState>{state}</CallState>
<CallType>{kind}</CallType>
<UIAppearanceIndex>1*</UIAppearanceIndex>
<CalledPartyName>Reception</CalledPartyName>
<CalledPartyDirNum>sip:201@pbx.example</CalledPartyDirNum>
<CallingPartyName>Anna</CallingPartyName>
<CallingPartyDirNum>sip:202@pbx.example</CallingPartyDirNum>
<CallReference>{call}</CallReference>
<CallDuration>0</CallDuration>
</CallInfo>
</CallLineInfo>
</CallStateChangeEvent>
</PolycomIPPhone>
"""


def poly(state: str, kind: str = "Incoming", call: str = "6") -> bytes:
    """Return what a Poly posts."""
    return POLY.format(state=state, kind=kind, call=call).encode()


class TestQuery:
    """What stands in the address."""

    @pytest.mark.parametrize("event", ReportedEvent)
    def test_known_events(self, event: ReportedEvent) -> None:
        """Each by its name."""
        assert read_query(f"event={event}") == Report(event=event)

    @pytest.mark.parametrize("query", ["", "event=", "event=reboot", "call=1", "x"])
    def test_nothing_else(self, query: str) -> None:
        """Whatever else comes."""
        assert read_query(query) is None

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("202", "202"),
            ("+4930123", "+4930123"),
            ("%2B4930123", "+4930123"),
            ("sip:202@pbx.example", "202"),
            ("sip%3A202%40pbx.example", "202"),
            ("sips:%2b49@pbx.example:5061;transport=tls", "+49"),
            ("202@pbx.example", "202"),
            ('"Anna"%20<sip:202@pbx.example>', "202"),
            ("sip:202;phone-context=x@pbx.example", "202"),
            ("sip:anonymous@anonymous.invalid", ""),
            ("Anonymous", ""),
            ("sip:a@b@c", ""),
            ("sip:pbx.example", ""),
            ("$remote", ""),
            ("", ""),
        ],
    )
    def test_number(self, text: str, number: str) -> None:
        """However a phone calls the other side."""
        report = read_query(f"event=incoming&number={text}")
        assert report is not None
        assert report.party.number == number

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("Anna%20B.", "Anna B."),
            ("Anna+B.", "Anna B."),
            ("Zo%C3%AB", "Zo\u00eb"),
            ("Zo%EB", "Zo\ufffd"),
            ("$display_remote", ""),
        ],
    )
    def test_name(self, text: str, name: str) -> None:
        """With the blanks that a phone writes in one way or another."""
        report = read_query(f"event=incoming&name={text}")
        assert report is not None
        assert report.party.name == name

    def test_the_first_of_two_counts(self) -> None:
        """A name with & in it changes nothing that came before."""
        report = read_query("event=incoming&number=202&name=A&number=203&event=idle")
        assert report == Report(event=ReportedEvent.INCOMING, party=Party("202", "A"))

    def test_call_id(self) -> None:
        """Of a sane length; one that the phone does not know is none."""
        long = read_query(f"event=ended&call={'1' * 500}")
        assert long is not None
        assert long.call == "1" * MAX_CALL
        assert read_query("event=ended&call=$call_id") == Report(
            event=ReportedEvent.ENDED
        )


class TestDocument:
    """What a Poly posts."""

    @pytest.mark.parametrize(
        ("state", "event"),
        [
            ("Offering", ReportedEvent.INCOMING),
            ("Setup", ReportedEvent.OUTGOING),
            ("Ringback", ReportedEvent.OUTGOING),
            ("Connected", ReportedEvent.ANSWERED),
            ("Hold", ReportedEvent.HELD),
            ("Disconnected", ReportedEvent.ENDED),
            ("Free", ReportedEvent.ENDED),
        ],
    )
    def test_states(self, state: str, event: ReportedEvent) -> None:
        """By Poly's names."""
        assert read_document(poly(state)) == Report(
            event=event, call="6", party=Party("202", "Anna")
        )

    def test_who_is_called(self) -> None:
        """Of a call that goes out, the other side is the called party."""
        report = read_document(poly("Ringback", kind="Outgoing"))
        assert report is not None
        assert report.party == Party("201", "Reception")

    def test_a_long_id(self) -> None:
        """Is cut."""
        report = read_document(poly("Offering", call="1" * 500))
        assert report is not None
        assert report.call == "1" * MAX_CALL

    def test_without_the_outer_element(self) -> None:
        """As the newer document has it."""
        body = poly("Offering").split(b"<PolycomIPPhone>")[1]
        body = body.replace(b"</PolycomIPPhone>", b"")
        assert read_document(body) == read_document(poly("Offering"))

    def test_older_names(self) -> None:
        """Of SIP 3.1."""
        body = poly("Offering").replace(b"PartyDirNum", b"PartyNumber")
        assert read_document(body) == read_document(poly("Offering"))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"no XML",
            b"<PolycomIPPhone><OnHookEvent/></PolycomIPPhone>",
            poly("Dialtone"),
            poly("Held"),
            b'<!DOCTYPE a [<!ENTITY b "c">]>' + poly("Offering"),
            b"<CallStateChangeEvent/>",
        ],
    )
    def test_nothing_else(self, body: bytes) -> None:
        """Neither what is malformed nor what is no news of a call."""
        assert read_document(body) is None


class TestLine:
    """What becomes of the line's calls."""

    @pytest.fixture
    def calls(self) -> SeenCalls:
        """Return a line without calls."""
        return SeenCalls(ManualClock())

    @pytest.fixture
    def told(self, calls: SeenCalls) -> list[CallEvent | None]:
        """Return what is told of them."""
        told: list[CallEvent | None] = []
        calls.subscribe(told.append)
        return told

    def report(self, calls: SeenCalls, *events: str, phone: str = "192.0.2.30") -> None:
        """Have a phone report events of one call."""
        for event in events:
            report = read_query(f"event={event}&call=1&number=202")
            assert report is not None
            report.tell(calls, phone)

    @pytest.mark.parametrize(
        ("events", "state", "types"),
        [
            (["incoming"], "ringing", ["incoming"]),
            (["outgoing"], "calling", ["outgoing"]),
            (["incoming", "answered"], "in_call", ["incoming", "answered"]),
            (["answered", "held"], "on_hold", ["answered", "-"]),
            (["answered", "held", "resumed"], "in_call", ["answered", "-", "-"]),
            (["answered", "held", "answered"], "in_call", ["answered", "-", "-"]),
            (["incoming", "missed", "ended"], "idle", ["incoming", "missed"]),
            (["missed"], "idle", ["missed"]),
            (["incoming", "rejected", "ended"], "idle", ["incoming", "rejected"]),
            (["incoming", "forwarded", "ended"], "idle", ["incoming", "forwarded"]),
            (["answered", "ended", "idle"], "idle", ["answered", "ended"]),
            (["answered", "idle"], "idle", ["answered", "ended"]),
            (["incoming", "started"], "idle", ["incoming", "missed"]),
            (["ended", "idle"], "idle", []),
        ],
    )
    def test_what_is_reported_is_what_is_seen(
        self,
        calls: SeenCalls,
        told: list[CallEvent | None],
        events: list[str],
        state: str,
        types: list[str],
    ) -> None:
        """Event by event."""
        self.report(calls, *events)
        assert calls.state == state
        assert [event.type if event else "-" for event in told] == types

    def test_reasons(self, calls: SeenCalls, told: list[CallEvent | None]) -> None:
        """As far as a phone tells them."""
        for count, event in enumerate(["missed", "rejected", "forwarded"]):
            report = read_query(f"event={event}&call={count}")
            assert report is not None
            report.tell(calls, "192.0.2.30")
        assert [event and event.reason for event in told] == [
            "no_answer",
            "declined",
            "by_phone",
        ]

    def test_a_missed_call_without_an_id(
        self, calls: SeenCalls, told: list[CallEvent | None]
    ) -> None:
        """May have ended already: it is missed once."""
        for event in ("incoming", "ended", "missed"):
            report = read_query(f"event={event}")
            assert report is not None
            report.tell(calls, "192.0.2.30")
        assert [event and event.type for event in told] == ["incoming", "missed"]

    def test_two_phones_of_a_line(self, calls: SeenCalls) -> None:
        """Each reports by itself; it is one call."""
        self.report(calls, "incoming")
        self.report(calls, "incoming", phone="192.0.2.31")
        assert (calls.state, len(calls)) == (CallState.RINGING, 1)
        self.report(calls, "answered")
        self.report(calls, "idle", phone="192.0.2.31")
        assert calls.state == CallState.IN_CALL
