"""What a technician reads in the debug log, and what nobody does."""

import logging

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from tests import phone as desk

from .common import DND, RECEPTION_DATA, MockConfigEntry, press, turn
from .conftest import OpenPhone, Plug

INTEGRATION = "custom_components.dfks"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Turn debug logging on, as the integration's page does."""
    caplog.set_level(logging.DEBUG, INTEGRATION)
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """Return what the integration logged."""
    return [
        record.getMessage()
        for record in log.records
        if record.name.startswith(INTEGRATION)
    ]


async def test_each_change_is_told_with_who_made_it(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    log: pytest.LogCaptureFixture,
) -> None:
    """Once: what changes nothing is not worth a line."""
    for _ in range(2):
        await press(entry, Feature.DO_NOT_DISTURB, status=True)
    await turn(hass, DND, "off")

    assert [line for line in lines(log) if "is now" in line] == [
        "Line 201: DoNotDisturb is now on, set by 127.0.0.1:5062",
        "Line 201: DoNotDisturb is now off, set by Home Assistant",
    ]


async def test_key_that_does_nothing_is_told(
    listener: DfksListener, open_phone: OpenPhone, log: pytest.LogCaptureFixture
) -> None:
    """A phone may press what its line does not have."""
    phone = await open_phone()
    assert (await phone.set_forward("forwardSelective", True, "2424")).status == 200

    assert "Line 201: its phone asks for what it cannot have" in lines(log)


async def test_no_secret_is_logged(
    listener: DfksListener,
    open_phone: OpenPhone,
    plug: Plug,
    log: pytest.LogCaptureFixture,
) -> None:
    """Neither passwords, nor anything of digest, nor where calls go."""
    phone = await open_phone()
    await phone.set_forward("always", True, "4930170020")
    await phone.until(lambda lamps: lamps[desk.ALWAYS].on)
    await phone.unsubscribe()
    guesser = await plug(password="mistyped-201")
    assert (await guesser.register()).status == 401

    text = "\n".join(lines(log))
    assert "127.0.0.1: Wrong user or password in a REGISTER of '201'" in text
    assert "Line 201: a subscription has ended (timeout)" in text
    for secret in (
        RECEPTION_DATA["password"],
        "mistyped-201",
        "4930170020",
        "nonce=",
        "response=",
    ):
        assert secret not in text
