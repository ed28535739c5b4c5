"""What stands in a SUBSCRIBE to as-feature-event, and what comes of it."""

import pytest

from tests.sip.caller import Caller

requirement = pytest.mark.requirement


@requirement("A23")
@pytest.mark.parametrize("size", [8_000, 60_000])
async def test_a23_a_large_body_is_read(caller: Caller, size: int) -> None:
    """What is wrong with it is said; the datagram may have 64 KiB."""
    body = b"<SetDoNotDisturb>" + b" " * size + b"</SetDoNotDisturb>"

    response = await caller.call("SUBSCRIBE", body=body)

    assert response.status == 400
    assert "doNotDisturbOn" in response.get("Warning")
