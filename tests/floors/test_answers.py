"""What strangers are answered: as-feature-event is long to name."""

from collections.abc import Callable

import pytest

from tests.sip.caller import Caller
from tests.sip.echo import Echo
from tests.sip.test_limits import ANY_FORM, ANY_REALM, ANY_REQUEST, compact_with_rport

from .caller import FeatureCaller

requirement = pytest.mark.requirement


@requirement("E18")
@ANY_REQUEST
@ANY_FORM
@ANY_REALM
async def test_e18_an_answer_to_a_stranger_is_at_most_200_octets_larger(
    caller: Caller, method: str, build: Callable[[str, str, int], bytes]
) -> None:
    """A forged source is not worth the trouble."""
    data = build(method, *caller.local)
    for space in ("", " "):
        echo, keys = f":{space}{Echo.name}\r", f":{space}{FeatureCaller.package}\r"
        data = data.replace(echo.encode(), keys.encode())

    response = await caller.ask(data)

    assert response.status != 200 or method == "OPTIONS"
    assert len(response.raw) <= len(data) + 200


@requirement("E18", "B23")
async def test_e18_the_answer_to_small_options_tells_what_counts(
    caller: Caller,
) -> None:
    """Methods and events; languages are left out first."""
    data = compact_with_rport("OPTIONS", *caller.local)

    response = await caller.ask(data)

    assert response.values("Allow") == ["REGISTER", "SUBSCRIBE", "OPTIONS"]
    assert response.get("Allow-Events") == "as-feature-event"
