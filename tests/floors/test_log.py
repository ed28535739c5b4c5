"""What the log says of a phone's keys."""

import logging

import pytest

from custom_components.dfks.sip import SipServer, Trace
from tests.clock import ManualClock
from tests.phone import set_forwarding
from tests.sip.caller import Caller
from tests.sip.test_observer import LOGGER


async def test_a_key_can_be_found_in_the_log_and_its_target_cannot(
    server: SipServer,
    clock: ManualClock,
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The event package and the type of the body are written out."""
    caplog.set_level(logging.DEBUG, LOGGER)
    server.trace(Trace(clock))
    subscribed = await caller.subscribe()
    await subscribed.send(body=set_forwarding("always", True, "4930170020"))
    await subscribed.told()

    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert any("event as-feature-event, expires 3600" in line for line in lines)
    key_press = next(line for line in lines if "SUBSCRIBE, line 201, CSeq 2" in line)
    assert key_press.endswith("octets of application/x-as-feature-event+xml")
    assert not any("4930170020" in line for line in lines)
