"""How the states of a line's features are told: in which NOTIFYs, of which size."""

import pytest

from custom_components.dfks.features.model import NotifyStyle
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.phone import FEATURES
from tests.server import line_config
from tests.sip.caller import Caller

from .caller import lamps

requirement = pytest.mark.requirement


@requirement("D10")
async def test_d10_a_full_state_goes_over_the_flow_of_the_subscribe(
    caller: Caller, server: SipServer
) -> None:
    """About 1.9 kB over UDP: IP fragments it, as with every server in the field."""
    subscribed = await caller.subscribe()

    assert 1500 < len(subscribed.first.raw) < 2200
    assert caller.source == ("127.0.0.1", server.port)


@requirement("D10")
async def test_d10_separate_notifies_are_small(
    caller: Caller, sync: FeatureSync
) -> None:
    """One feature each, one after another, each below 1300 octets."""
    sync.update_line(line_config("201", style=NotifyStyle.SEPARATE))

    subscribed = await caller.subscribe(status=0)
    await caller.nothing()
    notifies = [subscribed.first]
    for _ in range(3):
        await subscribed.answer(notifies[-1])
        notifies.append(await subscribed.told(status=0))
    await subscribed.answer(notifies[-1])

    assert [list(lamps(notify)) for notify in notifies] == [[f] for f in FEATURES]
    assert all(len(notify.raw) < 1300 for notify in notifies)
    await caller.nothing()
