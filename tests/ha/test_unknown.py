"""Phones that try to register before their line is there."""

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.unknown import (
    MAX_PER_ADDRESS,
    MAX_UNKNOWN_PHONES,
    MAX_USER_AGENT,
    UnknownPhone,
    UnknownPhones,
)
from custom_components.dfks.sip.transport.flow import GoneFlow
from custom_components.dfks.sip.wire.message import Request
from custom_components.dfks.sip.wire.parser import parse
from tests.phone import Phone

from .common import LOCALHOST, MockConfigEntry
from .forms import add_gate


def request(to: str, user_agent: str = "Desk/1.0") -> Request:
    """Return a request with this To, of a phone that calls itself so."""
    text = (
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
        f"From: <sip:a@h>;tag=1\r\nTo: {to}\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"
        f"User-Agent: {user_agent}\r\n\r\n"
    )
    message = parse(text.encode())
    assert isinstance(message, Request)
    return message


def come_from(address: str) -> GoneFlow:
    """Return a way back to an address."""
    return GoneFlow("UDP", (address, 5060), (LOCALHOST, 5060))


class TestList:
    """What the list takes."""

    def test_is_short_and_keeps_the_newest(self) -> None:
        """Whoever unknown_phones as many users does not fill it up."""
        unknown_phones = UnknownPhones()
        for number in range(2 * MAX_UNKNOWN_PHONES):
            unknown_phones.note(
                request(f"<sip:{number}@h>"), come_from(f"127.0.1.{number}")
            )

        assert len(unknown_phones) == MAX_UNKNOWN_PHONES
        assert unknown_phones.take("0") is None
        assert unknown_phones.take("39") == "127.0.1.39"
        assert unknown_phones.take("39") is None

    def test_takes_few_of_one_address(self) -> None:
        """The others keep their places."""
        unknown_phones = UnknownPhones()
        unknown_phones.note(request("<sip:300@h>"), come_from("127.0.1.2"))
        for number in range(MAX_UNKNOWN_PHONES):
            unknown_phones.note(request(f"<sip:{number}@h>"), come_from("127.0.1.1"))

        assert len(unknown_phones) == MAX_PER_ADDRESS + 1
        assert unknown_phones.take("300") == "127.0.1.2"

    @pytest.mark.parametrize(
        "to",
        [f"<sip:{'9' * 33}@h>", "<sip:h>", "<sip:a%40b@h>", "<tel:+1>", "<sip:@h>"],
    )
    def test_takes_only_what_can_be_a_user(self, to: str) -> None:
        """Nobody has to type anything else into a phone."""
        unknown_phones = UnknownPhones()
        unknown_phones.note(request(to), come_from(LOCALHOST))

        assert len(unknown_phones) == 0

    def test_counts_a_user_once(self) -> None:
        """The last address is the one."""
        unknown_phones = UnknownPhones()
        for address in ("127.0.1.1", "127.0.1.2"):
            unknown_phones.note(request("<sip:300@h>"), come_from(address))

        assert len(unknown_phones) == 1
        assert unknown_phones.take("300") == "127.0.1.2"

    def test_who_tries_again_is_the_last(self) -> None:
        """It comes first in the list, and is not the one that makes room."""
        unknown_phones = UnknownPhones()
        for user in ("300", "301", "300"):
            unknown_phones.note(request(f"<sip:{user}@h>"), come_from(LOCALHOST))
        assert [phone.user for phone in unknown_phones] == ["300", "301"]

        for number in range(MAX_PER_ADDRESS - 1):
            unknown_phones.note(request(f"<sip:{number}@h>"), come_from(LOCALHOST))
        assert unknown_phones.of("300") is not None
        assert unknown_phones.of("301") is None

    def test_tells_who_tried_where_and_with_what(self) -> None:
        """The last first."""
        unknown_phones = UnknownPhones()
        unknown_phones.note(
            request("<sip:300@h>", "Yealink SIP-T46U"), come_from("127.0.1.1")
        )
        unknown_phones.note(request("<sip:301@h>", ""), come_from("127.0.1.2"))

        assert list(unknown_phones) == [
            UnknownPhone("301", "127.0.1.2", ""),
            UnknownPhone("300", "127.0.1.1", "Yealink SIP-T46U"),
        ]
        assert unknown_phones.of("300") == UnknownPhone(
            "300", "127.0.1.1", "Yealink SIP-T46U"
        )
        assert unknown_phones.of("302") is None

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("Desk\x07\x1b[31m/1", "Desk[31m/1"),
            ("Desk\u202e1/ksed", "Desk1/ksed"),
            ("Desk\u2028\u200b1", "Desk1"),
            ("x" * 200, "x" * MAX_USER_AGENT),
        ],
    )
    def test_keeps_only_what_can_be_shown(self, sent: str, kept: str) -> None:
        """No control characters, nothing that turns the writing around, no novels."""
        unknown_phones = UnknownPhones()
        unknown_phones.note(request("<sip:300@h>", sent), come_from(LOCALHOST))

        assert [phone.user_agent for phone in unknown_phones] == [kept]


async def test_phone_is_let_in_when_its_line_is_added(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
) -> None:
    """It was blocked because nobody knew it; now it need not wait."""
    guard = listener.server._guard
    address = (LOCALHOST, listener.server.port)
    async with Phone("300", "secret", address) as phone:
        assert (await phone.register()).status == 401
        for attempt in range(listener.config.max_failures):
            guard.failed(LOCALHOST, "300", f"attempt {attempt}")
        assert not guard.judges(LOCALHOST, "300", known=True)

        await add_gate(hass, entry, user="300", password="secret")

        assert (await phone.register()).status == 200
