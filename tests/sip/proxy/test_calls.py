"""Calls that pass, as they are followed for the lines that somebody watches."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, override

import pytest

from custom_components.dfks.sip import CallLeg, CallPlan, Redirect, Reject, SipServer
from custom_components.dfks.sip.proxy import calls
from custom_components.dfks.sip.proxy.calls import ASKED_TIME, MAX_LEGS, RINGING_TIME
from tests.clock import ManualClock
from tests.phone import Request, settle
from tests.phone.raw import renewed

from .calling import (
    ALWAYS,
    BUSY,
    DND,
    NO_REPLY,
    PbxCall,
    ScriptedPolicy,
    reply,
    ring,
    stopped,
)
from .peers import DOMAIN, Pbx, ProxiedPhone

requirement = pytest.mark.requirement

LINE = ("pbx-1", "201")

AUDIO = b"m=audio 4000 RTP/AVP 8\r\n"
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"


@dataclass
class Observer:
    """Remembers what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    leg: CallLeg | None = None

    def ringing(self, leg: CallLeg) -> None:
        """Note it."""
        self.leg = leg
        self.told.append(("ringing",))

    def answered(self, leg: CallLeg, lasts: float | None) -> None:
        """Note it."""
        self.leg = leg
        self.told.append(("answered", lasts))

    def held(self, leg: CallLeg, *, held: bool) -> None:
        """Note it."""
        self.told.append(("held", held))

    def cancelled(self, leg: CallLeg, seconds: float, *, elsewhere: bool) -> None:
        """Note it."""
        self.told.append(("cancelled", elsewhere))

    def lost(self, leg: CallLeg) -> None:
        """Note it."""
        self.told.append(("lost",))

    def ended(self, leg: CallLeg, status: int | None, *, elsewhere: bool) -> None:
        """Note it."""
        self.told.append(("ended", status, elsewhere))

    def treated(self, leg: CallLeg, treatment: Reject | Redirect) -> None:
        """Note it."""
        self.leg = leg
        self.told.append(("treated", treatment))

    def news(self) -> list[tuple[object, ...]]:
        """Return what was told since this was asked last."""
        told, self.told = self.told, []
        return told


@dataclass
class Talk:
    """A call to the phone, told message by message."""

    phone: ProxiedPhone
    pbx: Pbx
    registration: Request
    headers: dict[str, str] = field(default_factory=lambda: {"Call-ID": "call-1"})
    invite: Request | None = None

    async def ring(self, *statuses: int) -> None:
        """Call the phone, which answers with `statuses`."""
        self.pbx.send(self.pbx.call(self.registration, headers=self.headers))
        self.invite = await self.phone.next_request()
        for status in statuses:
            await self.answer(status)

    async def answer(self, status: int, **headers: str) -> None:
        """Have the phone answer the INVITE."""
        assert self.invite is not None
        self.phone.answer(self.invite, status, **headers)
        assert (await self.pbx.next_response()).status == status

    async def cancel(self) -> None:
        """Have the caller give up; the phone has heard of it, and said nothing yet."""
        self.pbx.send(self.pbx.call(self.registration, "CANCEL", self.headers))
        assert (await self.phone.next_request()).method == "CANCEL"

    async def from_pbx(
        self, method: str, status: int | None = None, **headers: str
    ) -> None:
        """Send a request in the dialog to the phone, which answers it."""
        own = {"To": f"<sip:201@{DOMAIN}>;tag=phone", **self.headers, **headers}
        self.pbx.send(self.pbx.call(self.registration, method, own))
        request = await self.phone.next_request()
        if status is not None:
            self.phone.answer(request, status)
            await self.pbx.next_response()

    async def from_phone(
        self,
        method: str,
        status: int | None = None,
        body: bytes = b"",
        **answer: str,
    ) -> None:
        """Send a request in the dialog to the PBX, which answers it."""
        own = {"To": f"<sip:202@{DOMAIN}>;tag=caller", **self.headers}
        self.phone.send(self.phone.request(method, None, own, body))
        request = await self.pbx.next_request()
        if status is not None:
            self.pbx.answer(request, status, **answer)
            await self.phone.next_response()


@pytest.fixture
def observer(server: SipServer) -> Observer:
    """Return who watches the line 201."""
    observer = Observer()
    server.calls.watch(frozenset({LINE}), observer)
    return observer


@pytest.fixture
async def talk(observer: Observer, phone: ProxiedPhone, pbx_peer: Pbx) -> Talk:
    """Return a call to a phone that is registered; it has not begun."""
    return Talk(phone, pbx_peer, await pbx_peer.register(phone))


@pytest.fixture
async def going(talk: Talk, observer: Observer) -> Talk:
    """Return a call to the phone that it has taken."""
    await talk.ring(180, 200)
    observer.news()
    return talk


class TestIncoming:
    """A call to a phone."""

    @requirement("P120")
    async def test_rings_talks_and_ends(self, talk: Talk, observer: Observer) -> None:
        """The call is followed from the first ring to the BYE."""
        await talk.ring(100)
        assert observer.news() == []
        await talk.answer(180)
        assert observer.news() == [("ringing",)]
        assert observer.leg is not None
        assert (observer.leg.line, observer.leg.incoming) == (LINE, True)
        await talk.answer(200)
        assert observer.news() == [("answered", None)]
        await talk.from_pbx("BYE")
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_the_phone_hangs_up(self, going: Talk, observer: Observer) -> None:
        """Either side may."""
        await going.from_phone("BYE")
        assert observer.news() == [("ended", None, False)]

    @pytest.mark.parametrize(
        ("caller", "number", "name"),
        [
            ('"Anna B." <sip:202@pbx.example>;tag=a', "202", "Anna B."),
            ("<sip:%2B4930123;phone-context=x@pbx.example>;tag=a", "+4930123", ""),
            ("Anna <tel:+4930123;ext=5>;tag=a", "+4930123", "Anna"),
            ("<sip:pbx.example>;tag=a", "", ""),
            ('"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a', "", "Anonymous"),
            ("<sip:Anonymous@pbx.example>;tag=a", "", ""),
            ("<sip:somebody@anonymous.invalid>;tag=a", "", ""),
        ],
    )
    @requirement("P120")
    async def test_who_calls(
        self, talk: Talk, observer: Observer, caller: str, number: str, name: str
    ) -> None:
        """What From says of the caller."""
        talk.headers["From"] = caller
        await talk.ring(180)
        assert observer.leg is not None
        assert (observer.leg.number, observer.leg.name) == (number, name)

    @pytest.mark.parametrize("status", [486, 480, 603, 302])
    @requirement("P120")
    async def test_the_phone_refuses(
        self, talk: Talk, observer: Observer, status: int
    ) -> None:
        """Also one that never rang: it was called."""
        await talk.ring(status)
        assert observer.news() == [("ringing",), ("ended", status, False)]

    @requirement("P120")
    async def test_answered_at_once(self, talk: Talk, observer: Observer) -> None:
        """A phone that picks up by itself need not ring."""
        await talk.ring(200)
        assert observer.news() == [("ringing",), ("answered", None)]

    @pytest.mark.parametrize(
        ("reason", "elsewhere"),
        [
            (None, False),
            ('SIP;cause=200;text="Call completed elsewhere"', True),
            ("SIP ; cause=200", True),
            ("SIP;cause=480", False),
            ("Q.850;cause=200", False),
        ],
    )
    @requirement("P120")
    async def test_the_caller_gives_up(
        self, talk: Talk, observer: Observer, reason: str | None, elsewhere: bool
    ) -> None:
        """Or another phone was quicker: the PBX says so (RFC 3326)."""
        await talk.ring(180)
        observer.news()
        assert talk.invite is not None
        branch = talk.invite.values("Via")[-1]
        own = {"Via": branch, **talk.headers} | ({"Reason": reason} if reason else {})
        talk.pbx.send(talk.pbx.call(talk.registration, "CANCEL", own))
        talk.phone.answer(await talk.phone.next_request(), 200)
        await talk.pbx.next_response()
        assert observer.news() == [("cancelled", elsewhere)]
        await talk.answer(487)
        assert observer.news() == [("ended", 487, elsewhere)]

    @requirement("P120")
    async def test_an_answer_crosses_the_end(
        self, talk: Talk, observer: Observer
    ) -> None:
        """The call is there, until somebody hangs up."""
        await talk.ring(180)
        await talk.cancel()
        await talk.answer(200)
        observer.news()
        await talk.from_pbx("BYE")
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_ringing_is_told_as_often_as_it_passes(
        self, talk: Talk, observer: Observer
    ) -> None:
        """It says that the phone still rings."""
        await talk.ring(180, 180, 183)
        assert observer.news() == [("ringing",)] * 3


class TestOutgoing:
    """A call of a phone."""

    @requirement("P120")
    async def test_calls_talks_and_ends(self, talk: Talk, observer: Observer) -> None:
        """The first word of the PBX begins it."""
        invite = talk.phone.request("INVITE", None, talk.headers)
        talk.phone.send(invite)
        request = await talk.pbx.next_request()
        assert observer.news() == []
        for status in (100, 180, 200):
            talk.pbx.answer(request, status)
            await talk.phone.next_response()
        assert observer.news() == [("ringing",), ("ringing",), ("answered", None)]
        assert observer.leg is not None
        assert (observer.leg.incoming, observer.leg.number) == (False, "202")
        await talk.from_phone("BYE")
        assert observer.news() == [("ended", None, False)]

    @pytest.mark.parametrize("challenge", [401, 407])
    @requirement("P120")
    async def test_a_challenge_is_not_the_end(
        self, talk: Talk, observer: Observer, challenge: int
    ) -> None:
        """The phone asks again with its password, in the same call."""
        invite = talk.phone.request("INVITE", None, talk.headers)
        for data, status in ((invite, challenge), (renewed(invite), 180)):
            talk.phone.send(data)
            talk.pbx.answer(await talk.pbx.next_request(), status)
            await talk.phone.next_response()
        assert observer.news() == [("ringing",)]

    @requirement("P120")
    async def test_the_other_side_is_busy(self, talk: Talk, observer: Observer) -> None:
        """The call went out, and is over."""
        talk.phone.send(talk.phone.request("INVITE", None, talk.headers))
        talk.pbx.answer(await talk.pbx.next_request(), 486)
        await talk.phone.next_response()
        assert observer.news() == [("ringing",), ("ended", 486, False)]


class TestInTheDialog:
    """What passes while people talk."""

    @pytest.mark.parametrize(
        ("offer", "held"),
        [
            (SDP + AUDIO + b"a=sendonly\r\n", True),
            (SDP + AUDIO + b"a=inactive\r\n", True),
            (SDP.replace(b"192.0.2.9\r\nt", b"0.0.0.0\r\nt") + AUDIO, True),
            (SDP + b"a=sendonly\r\n" + AUDIO, True),
            (SDP + b"a=sendonly\r\n" + AUDIO + b"a=sendrecv\r\n", False),
            (SDP + AUDIO + b"a=sendrecv\r\n", False),
            (SDP + AUDIO, False),
            (SDP + AUDIO + b"a=sendonly\r\n" + AUDIO, False),
            (SDP + AUDIO + b"a=sendonly\r\nm=video 0 RTP/AVP 9\r\n", True),
            (SDP + b"m=audio 0 RTP/AVP 8\r\n", False),
        ],
    )
    @requirement("P120")
    async def test_hold(
        self, going: Talk, observer: Observer, offer: bytes, held: bool
    ) -> None:
        """The phone offers to send only, nothing, or to nowhere (RFC 3264 8.4)."""
        await going.from_phone("INVITE", 200, offer)
        assert observer.news() == [("answered", None), ("held", held)]

    @requirement("P120")
    async def test_a_hold_that_is_refused(
        self, going: Talk, observer: Observer
    ) -> None:
        """The call goes on as it was."""
        await going.from_phone("INVITE", 491, SDP + AUDIO + b"a=sendonly\r\n")
        assert observer.news() == []

    @requirement("P120")
    async def test_an_invite_without_an_offer(
        self, going: Talk, observer: Observer
    ) -> None:
        """Says nothing of a hold."""
        await going.from_phone("INVITE", 200)
        assert observer.news() == [("answered", None)]

    @requirement("P120")
    async def test_the_other_side_holds(self, going: Talk, observer: Observer) -> None:
        """The line's phone does not: somebody waits there, and hears music."""
        own = {"To": f"<sip:201@{DOMAIN}>;tag=phone", **going.headers}
        offer = SDP + AUDIO + b"a=sendonly\r\n"
        going.pbx.send(going.pbx.call(going.registration, "INVITE", own, offer))
        going.phone.answer(await going.phone.next_request(), 200)
        await going.pbx.next_response()
        assert observer.news() == [("answered", None)]

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    @requirement("P120")
    async def test_a_session_is_refreshed(
        self, going: Talk, observer: Observer, method: str
    ) -> None:
        """For the time that the answer says (RFC 4028)."""
        await going.from_phone(method, 200, session_expires="1800;refresher=uac")
        assert observer.news() == [("answered", 1800)]

    @requirement("P120")
    async def test_the_session_time_of_the_first_answer(
        self, talk: Talk, observer: Observer
    ) -> None:
        """By its long name or the short one."""
        await talk.ring()
        await talk.answer(200, x="90")
        assert observer.news()[-1] == ("answered", 90)

    @requirement("P120")
    async def test_an_answer_that_comes_after_the_end(
        self, going: Talk, observer: Observer
    ) -> None:
        """Does not bring the call back."""
        own = {"To": f"<sip:202@{DOMAIN}>;tag=caller", **going.headers}
        going.phone.send(going.phone.request("INVITE", None, own, SDP + AUDIO))
        invite = await going.pbx.next_request()
        await going.from_phone("BYE")
        observer.news()
        going.pbx.answer(invite, 200)
        await going.phone.next_response()
        assert observer.news() == []

    @pytest.mark.parametrize("status", [481, 408])
    @requirement("P120")
    async def test_a_dialog_that_is_gone(
        self, going: Talk, observer: Observer, status: int
    ) -> None:
        """The phone knows nothing of the call any more: it has started anew."""
        await going.from_pbx("UPDATE", status)
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_what_comes_late_changes_nothing(
        self, going: Talk, observer: Observer
    ) -> None:
        """A 180 and a 200 that come again, and what comes after the end."""
        await going.answer(180)
        await going.answer(200)
        await going.cancel()
        assert observer.news() == []
        await going.from_phone("BYE")
        observer.news()
        await going.answer(200)
        await going.from_pbx("BYE")
        assert observer.news() == []


class TestWhoIsWatched:
    """Nothing is kept of anybody else."""

    @requirement("P120")
    async def test_a_line_that_nobody_watches(
        self, server: SipServer, talk: Talk, observer: Observer
    ) -> None:
        """Its calls pass, and leave nothing behind."""
        server.calls.watch(frozenset({("pbx-1", "202")}), observer)
        await talk.ring(180, 200)
        assert (observer.news(), len(server.calls)) == ([], 0)

    @requirement("P120")
    async def test_a_line_that_is_watched_no_longer(
        self, server: SipServer, going: Talk, observer: Observer
    ) -> None:
        """What was kept is gone at once."""
        assert len(server.calls) == 1
        server.calls.watch(frozenset(), observer)
        assert len(server.calls) == 0
        await going.from_phone("BYE")
        assert observer.news() == []

    @requirement("P120")
    async def test_two_phones_of_a_call(
        self,
        talk: Talk,
        observer: Observer,
        open_phone: Callable[..., Awaitable[ProxiedPhone]],
    ) -> None:
        """A PBX that forks calls both with one Call-ID; each has a leg of its own."""
        other = await open_phone()
        registration = await talk.pbx.register(other)
        await talk.ring(180)
        talk.pbx.send(talk.pbx.call(registration, headers=talk.headers))
        request = await other.next_request()
        other.answer(request, 486)
        await talk.pbx.next_response()
        await talk.answer(200)
        assert observer.news() == [
            ("ringing",),
            ("ringing",),
            ("ended", 486, False),
            ("answered", None),
        ]

    @requirement("P120")
    async def test_a_call_that_began_before(
        self, talk: Talk, observer: Observer
    ) -> None:
        """Is not followed: nobody knows whose it is."""
        await talk.from_phone("INVITE", 200, SDP + AUDIO + b"a=sendonly\r\n")
        await talk.from_phone("BYE", 200)
        assert observer.news() == []

    @requirement("P120")
    async def test_a_broken_message_passes(
        self, talk: Talk, observer: Observer
    ) -> None:
        """It is for its receiver to judge; nobody is told of it."""
        talk.headers["From"] = "<sip:2@2@pbx.example>;tag=a"
        await talk.ring(180)
        assert observer.news() == []


class TestBounds:
    """Nothing is kept for ever."""

    @pytest.mark.parametrize(
        ("statuses", "seconds"), [((), ASKED_TIME), ((180,), RINGING_TIME)]
    )
    @requirement("P120")
    async def test_a_call_without_an_answer(
        self,
        server: SipServer,
        talk: Talk,
        clock: ManualClock,
        statuses: tuple[int, ...],
        seconds: float,
    ) -> None:
        """Is forgotten when its time is over, with the next call."""
        await talk.ring(*statuses)
        clock.advance(seconds - 1)
        talk.headers["Call-ID"] = "call-2"
        await talk.ring()
        assert len(server.calls) == 2
        clock.advance(1)
        talk.headers["Call-ID"] = "call-3"
        await talk.ring()
        assert len(server.calls) == 2

    @requirement("P120")
    async def test_a_call_that_is_answered(
        self, server: SipServer, going: Talk, clock: ManualClock
    ) -> None:
        """Is kept for as long as people talk."""
        clock.advance(10 * RINGING_TIME)
        going.headers["Call-ID"] = "call-2"
        await going.ring()
        assert len(server.calls) == 2

    @requirement("P120")
    async def test_a_session_that_is_endless(
        self, talk: Talk, observer: Observer
    ) -> None:
        """Is one without a time."""
        await talk.ring()
        await talk.answer(200, session_expires="999999999")
        assert observer.news()[-1] == ("answered", None)

    @requirement("P120")
    async def test_a_call_that_was_given_up(
        self, server: SipServer, talk: Talk, clock: ManualClock
    ) -> None:
        """Is forgotten soon, though its phone says nothing."""
        await talk.ring(180)
        await talk.cancel()
        clock.advance(ASKED_TIME)
        talk.headers["Call-ID"] = "call-2"
        await talk.ring()
        assert len(server.calls) == 1

    @requirement("P120")
    async def test_calls_at_a_time(
        self, server: SipServer, talk: Talk, observer: Observer
    ) -> None:
        """The oldest is forgotten."""
        for count in range(MAX_LEGS + 1):
            talk.headers["Call-ID"] = f"call-{count}"
            await talk.ring()
        assert len(server.calls) == MAX_LEGS
        await talk.answer(180)
        assert observer.news() == [("ringing",)]

    @requirement("P120")
    async def test_requests_that_are_not_answered(
        self, going: Talk, observer: Observer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The oldest is forgotten, however many a phone sends in a call."""
        monkeypatch.setattr(calls, "MAX_ASKED", 2)
        own = {"To": f"<sip:202@{DOMAIN}>;tag=caller", **going.headers}
        requests = []
        for _ in range(3):
            going.phone.send(going.phone.request("UPDATE", None, own))
            requests.append(await going.pbx.next_request())
        for request in requests:
            going.pbx.answer(request, 200)
            assert (await going.phone.next_response()).status == 200
        assert observer.news() == [("answered", None)] * 2


class TestLost:
    """Calls of phones whose connection is gone."""

    @pytest.fixture
    async def phone(
        self, open_phone: Callable[..., Awaitable[ProxiedPhone]]
    ) -> ProxiedPhone:
        """Return a phone of line 201 on TCP."""
        return await open_phone(transport="tcp")

    @staticmethod
    async def unplug(talk: Talk) -> None:
        """Have the connection of the phone end."""
        await talk.phone.close()
        await settle()

    @requirement("P120")
    async def test_what_rings_is_over(self, talk: Talk, observer: Observer) -> None:
        """Whatever the PBX thinks."""
        await talk.ring(180)
        observer.news()
        await self.unplug(talk)
        assert observer.news() == [("lost",)]

    @requirement("P120")
    async def test_what_a_phone_calls_is_over(
        self, talk: Talk, observer: Observer
    ) -> None:
        """Nobody hears it ring there."""
        talk.phone.send(talk.phone.request("INVITE", None, talk.headers))
        talk.pbx.answer(await talk.pbx.next_request(), 180)
        await talk.phone.next_response()
        observer.news()
        await self.unplug(talk)
        assert observer.news() == [("lost",)]

    @requirement("P120")
    async def test_a_call_that_has_not_rung_is_none(
        self, talk: Talk, observer: Observer
    ) -> None:
        """It was never told of."""
        await talk.ring()
        await self.unplug(talk)
        assert observer.news() == []

    @requirement("P120")
    async def test_a_call_that_is_answered_goes_on_until_the_pbx_ends_it(
        self, going: Talk, observer: Observer
    ) -> None:
        """Its phone may come back; the BYE counts though it reaches nobody."""
        await self.unplug(going)
        assert observer.news() == []
        own = {"To": f"<sip:201@{DOMAIN}>;tag=phone", **going.headers}
        going.pbx.send(going.pbx.call(going.registration, "BYE", own))
        assert (await going.pbx.next_response()).status == 480
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_a_call_is_taken_by_a_phone_that_has_come_back(
        self,
        talk: Talk,
        observer: Observer,
        open_phone: Callable[..., Awaitable[ProxiedPhone]],
    ) -> None:
        """Over its new connection."""
        await talk.ring(180)
        await self.unplug(talk)
        observer.news()
        talk.phone = await open_phone(transport="tcp")
        await talk.pbx.register(talk.phone)
        await talk.answer(200)
        assert observer.news() == [("answered", None)]

    @requirement("P120")
    async def test_the_call_of_another_phone_rings_on(
        self,
        talk: Talk,
        observer: Observer,
        open_phone: Callable[..., Awaitable[ProxiedPhone]],
    ) -> None:
        """It is that phone's connection that counts."""
        other = await open_phone(transport="tcp")
        await talk.pbx.register(other)
        await talk.ring(180)
        observer.news()
        await other.close()
        await settle()
        assert observer.news() == []


class TestTransfers:
    """Calls that are handed over to somebody else (RFC 3515, RFC 3891)."""

    @requirement("P120")
    async def test_a_call_that_the_phone_hands_over_ends_with_its_bye(
        self, going: Talk, observer: Observer
    ) -> None:
        """A blind transfer: REFER, NOTIFY and BYE pass."""
        own = {
            "To": f"<sip:202@{DOMAIN}>;tag=caller",
            **going.headers,
            "Refer-To": f"<sip:203@{DOMAIN}>",
        }
        going.phone.send(going.phone.request("REFER", None, own))
        request = await going.pbx.next_request()
        assert request.get("Refer-To") == own["Refer-To"]
        going.pbx.answer(request, 202)
        assert (await going.phone.next_response()).status == 202
        await going.from_pbx("NOTIFY", 200, Event="refer")
        assert observer.news() == []
        await going.from_pbx("BYE", 200)
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_both_calls_of_an_attended_transfer_end(
        self, going: Talk, observer: Observer
    ) -> None:
        """The phone holds the first one, asks somebody, and hands it over."""
        await going.from_phone("INVITE", 200, SDP + AUDIO + b"a=sendonly\r\n")
        first = dict(going.headers)
        going.headers = {"Call-ID": "call-2"}
        going.phone.send(going.phone.request("INVITE", None, going.headers))
        request = await going.pbx.next_request()
        for status in (180, 200):
            going.pbx.answer(request, status)
            await going.phone.next_response()
        observer.news()
        replaces = f"<sip:202@{DOMAIN}?Replaces=call-2%3Bto-tag%3Da%3Bfrom-tag%3Db>"
        own = {
            "To": f"<sip:202@{DOMAIN}>;tag=caller",
            **first,
            "Refer-To": replaces,
        }
        going.phone.send(going.phone.request("REFER", None, own))
        going.pbx.answer(await going.pbx.next_request(), 202)
        await going.phone.next_response()
        await going.from_pbx("BYE", 200)
        going.headers = first
        await going.from_pbx("BYE", 200)
        assert observer.news() == [("ended", None, False)] * 2

    @requirement("P120")
    async def test_a_call_that_takes_another_one_over_does_not_ring(
        self, talk: Talk, observer: Observer
    ) -> None:
        """The phone goes on talking, with somebody else (RFC 3891 3)."""
        talk.headers["Replaces"] = "call-0;to-tag=a;from-tag=b"
        await talk.ring(200)
        assert observer.news() == [("answered", None)]
        assert observer.leg is not None
        assert observer.leg.number == "202"

    @requirement("P120")
    async def test_a_call_that_is_picked_up_from_elsewhere_rings_here_if_it_does(
        self, talk: Talk, observer: Observer
    ) -> None:
        """What rings is told, whatever it replaces."""
        talk.headers["Replaces"] = "call-0;to-tag=a;from-tag=b;early-only"
        await talk.ring(180, 200)
        assert observer.news() == [("ringing",), ("answered", None)]


class BrokenObserver(Observer):
    """Fails whatever it is told."""

    @override
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class TestBrokenObserver:
    """Calls of a line whose observer fails."""

    @pytest.fixture
    def observer(self, server: SipServer) -> Observer:
        """Return who watches the line 201, and fails."""
        observer = BrokenObserver()
        server.calls.watch(frozenset({LINE}), observer)
        return observer

    @pytest.mark.parametrize("plan", [None, BUSY])
    async def test_a_call_is_taken_and_ends(
        self, server: SipServer, talk: Talk, plan: CallPlan | None
    ) -> None:
        """Whether it is watched for its forwarding or just passes."""
        server.proxy.treated.treat("pbx-1", "201", ScriptedPolicy(plan))
        await talk.ring(180, 200)
        await talk.from_phone("INVITE", 200, SDP + AUDIO + b"a=sendonly\r\n")
        await talk.from_pbx("BYE", 200)
        assert len(server.calls) == 0

    async def test_a_phone_is_gone(
        self, talk: Talk, open_phone: Callable[..., Awaitable[ProxiedPhone]]
    ) -> None:
        """Others go on."""
        other, talk.phone = talk.phone, await open_phone(transport="tcp")
        talk.registration = await talk.pbx.register(talk.phone)
        await talk.ring(180)
        await talk.phone.close()
        await settle()
        await talk.pbx.register(other)

    async def test_a_call_is_given_up(self, talk: Talk) -> None:
        """CANCEL passes, and so does what the phone says to it."""
        await talk.ring(180)
        await talk.cancel()
        await talk.answer(487)

    @pytest.mark.parametrize("broken", ["_leg", "number"])
    async def test_a_follower_that_fails(
        self,
        talk: Talk,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        broken: str,
    ) -> None:
        """Costs no call anything either."""
        monkeypatch.setattr(calls, broken, None)
        await talk.ring(180, 200)
        await talk.from_pbx("BYE", 200)
        assert "Unexpected error about a call that is followed" in caplog.text

    @pytest.mark.parametrize("plan", [DND, ALWAYS])
    async def test_a_call_is_answered_here(
        self, server: SipServer, talk: Talk, plan: CallPlan
    ) -> None:
        """And does not ring as well."""
        server.proxy.treated.treat("pbx-1", "201", ScriptedPolicy(plan))
        call = PbxCall(talk.pbx, talk.registration)
        call.send()
        assert (await call.refusal()).status in (302, 486)
        await talk.phone.silence()


class TestTreated:
    """A call that is answered here in the place of its phone."""

    @pytest.fixture
    def call(self, talk: Talk, policy: ScriptedPolicy) -> PbxCall:
        """Return a call to the phone; it has not begun."""
        return PbxCall(talk.pbx, talk.registration, talk.headers)

    @requirement("P120")
    @pytest.mark.parametrize("plan", [DND, ALWAYS])
    async def test_before_the_phone_hears_of_it(
        self, call: PbxCall, observer: Observer, policy: ScriptedPolicy, plan: CallPlan
    ) -> None:
        """It is told what is done, and who has called."""
        policy.decision = plan
        call.send()
        await call.refusal()
        assert observer.news() == [("treated", plan.at_once)]
        assert observer.leg is not None
        assert (observer.leg.line, observer.leg.number) == (LINE, "202")

    @requirement("P83")
    async def test_an_observer_that_fails(
        self,
        talk: Talk,
        call: PbxCall,
        observer: Observer,
        policy: ScriptedPolicy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The call has its answer, and does not ring as well."""
        policy.decision = DND
        monkeypatch.setattr(observer, "treated", None)
        call.send()
        assert (await call.refusal()).status == 486
        await talk.phone.silence()

    @requirement("P120")
    async def test_when_the_phone_is_busy(
        self, talk: Talk, call: PbxCall, observer: Observer, policy: ScriptedPolicy
    ) -> None:
        """Its refusal is not the end of the call."""
        policy.decision = BUSY
        invite = await ring(talk.phone, call)
        observer.news()
        reply(talk.phone, invite, 486)
        assert (await talk.phone.next_request()).method == "ACK"
        await call.refusal()
        assert observer.news() == [("treated", BUSY.busy)]

    @requirement("P120")
    async def test_when_nobody_answers(
        self,
        server: SipServer,
        talk: Talk,
        call: PbxCall,
        observer: Observer,
        policy: ScriptedPolicy,
        clock: ManualClock,
    ) -> None:
        """The phone's 487 comes from here, and is not told."""
        policy.decision = NO_REPLY
        invite = await ring(talk.phone, call)
        observer.news()
        clock.advance(NO_REPLY.ring_seconds)
        await stopped(talk.phone, invite)
        await call.refusal()
        assert observer.news() == [("treated", NO_REPLY.no_answer)]
        assert len(server.calls) == 0

    @requirement("P120")
    async def test_a_call_that_is_taken_in_spite_of_it(
        self, talk: Talk, call: PbxCall, observer: Observer, policy: ScriptedPolicy
    ) -> None:
        """Is followed like any other, until it ends."""
        policy.decision = NO_REPLY
        invite = await ring(talk.phone, call)
        reply(talk.phone, invite, 200)
        assert (await call.answer()).status == 200
        assert observer.news() == [("ringing",), ("answered", None)]
        await talk.from_pbx("BYE")
        assert observer.news() == [("ended", None, False)]

    @requirement("P120")
    async def test_a_line_that_nobody_watches(
        self,
        server: SipServer,
        call: PbxCall,
        observer: Observer,
        policy: ScriptedPolicy,
    ) -> None:
        """Is treated, and nobody is told."""
        server.calls.watch(frozenset(), observer)
        policy.decision = DND
        call.send()
        await call.refusal()
        assert observer.news() == []

    @requirement("P120")
    async def test_a_line_that_is_watched_no_longer(
        self,
        server: SipServer,
        call: PbxCall,
        observer: Observer,
        policy: ScriptedPolicy,
    ) -> None:
        """When it is decided: nobody is told either."""
        policy.asks = True
        call.send()
        await settle()
        server.calls.watch(frozenset(), observer)
        policy.takes[0](DND)
        await call.refusal()
        assert observer.news() == []
