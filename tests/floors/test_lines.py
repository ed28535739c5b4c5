"""What phones see of a line's configuration, and of the event package it is for."""

import pytest

from custom_components.dfks.features.sync import FeatureSync
from tests.loopback import PASSWORDS
from tests.server import line_config
from tests.sip.caller import Caller

from .caller import FeatureCaller

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
