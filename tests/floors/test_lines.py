"""What phones see of a line's configuration, and of the event package it is for."""

import pytest

from custom_components.dfks.features.model import Feature, Line
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.loopback import PASSWORDS
from tests.phone import BUSY
from tests.server import line_config
from tests.sip.caller import Caller, state_of

from .caller import FeatureCaller, lamps
from .conftest import configure

requirement = pytest.mark.requirement

METHODS = "REGISTER, SUBSCRIBE, OPTIONS"
TYPE = FeatureCaller.media_type


@requirement("B23", "F22")
@pytest.mark.parametrize("uri", ["sip:h", "sip:201@h", "sip:nobody@h", "sip:h:5070"])
async def test_b23_options_tell_what_there_is(caller: Caller, uri: str) -> None:
    """Without a password: phones use OPTIONS to keep NAT open."""
    response = await caller.ask(caller.request("OPTIONS", uri))

    assert response.status == 200
    assert response.get("Allow") == METHODS
    assert response.get("Accept") == TYPE
    assert response.get("Accept-Encoding") == "identity"
    assert response.get("Accept-Language") == "en"
    assert response.get("Allow-Events") == "as-feature-event"
    assert response.get("Supported") == "path"


@requirement("B4", "H14")
async def test_b4_a_line_may_get_another_name_and_password(
    caller: Caller, sync: FeatureSync
) -> None:
    """Its dialogs go on with the new credentials only."""
    subscribed = await caller.subscribe()

    sync.update_line(
        line_config("210", PASSWORDS["201"], line_id="line-201", auth_name="phone-210")
    )
    notify = await subscribed.told()
    old = await subscribed.send()
    caller.digest.username = "phone-210"
    new = await subscribed.send()

    assert notify.get("Contact").startswith("<sip:210@")
    assert (old.status, new.status) == (401, 200)


@requirement("F13")
async def test_f13_a_removed_line_is_noresource(
    caller: Caller, stranger: Caller, sync: FeatureSync, server: SipServer
) -> None:
    """Without state; other lines are not touched."""
    subscribed = await caller.subscribe()
    await stranger.subscribe()

    sync.remove_line("line-201")
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=noresource"
    assert not last.body
    assert not last.has("Content-Type")
    assert [s.account.user for s in server.notifier] == ["202"]
    await stranger.nothing()


@requirement("F13")
async def test_f13_a_line_that_may_come_back_is_deactivated(
    caller: Caller, sync: FeatureSync
) -> None:
    """Without state as well."""
    subscribed = await caller.subscribe()

    sync.remove_line("line-201", "deactivated")
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=deactivated"
    assert not last.body


@requirement("F13")
async def test_f13_an_entry_that_goes_is_deactivated(
    caller: Caller, server: SipServer, reception: Line
) -> None:
    """The phones may subscribe anew, if there is a server again."""
    subscribed = await caller.subscribe()

    server.remove_account(reception, "deactivated")
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=deactivated"
    assert not last.body


@requirement("F25")
@pytest.mark.parametrize(
    ("assigned", "features"),
    [((Feature.CALL_FORWARDING_BUSY,), [BUSY]), ((), [])],
    ids=["one", "none"],
)
async def test_f25_one_feature_is_a_single_part_and_none_is_no_body(
    caller: Caller,
    sync: FeatureSync,
    assigned: tuple[Feature, ...],
    features: list[str],
) -> None:
    """A line that has nothing assigned may be watched all the same."""
    configure(sync, assigned=assigned)
    subscribed = await caller.subscribe()

    assert list(lamps(subscribed.first)) == features
    assert subscribed.first.has("Content-Type") is bool(features)
