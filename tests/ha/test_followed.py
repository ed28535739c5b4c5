"""A line at a PBX that synchronizes keys, as a user sees it."""

import asyncio
from datetime import timedelta
import logging
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features import follow
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.sip import SubscriptionStatus
from tests.pbx import KeyPbx, KeyState
from tests.phone import PATIENCE, settle

from .common import (
    ALL_FEATURES,
    MockConfigEntry,
    async_fire_time_changed,
    change_line,
    device_of,
    get_diagnostics_for_config_entry,
    get_diagnostics_for_device,
    set_up,
    state_of,
    turn,
    write_number,
    write_text,
)
from .followed import (
    ALWAYS,
    ALWAYS_TARGET,
    CHANGE,
    DND,
    NO_ANSWER,
    OFFICE,
    PASSWORD,
    RINGS,
    STATUS,
    entry,
    key_pbx,
    names_user,
    office_data,
    wait_for,
)

__all__ = ["entry", "key_pbx"]


@pytest.fixture
async def office(hass: HomeAssistant, listener: DfksListener) -> DfksListener:
    """Return the listener once the PBX has told the state."""
    await wait_for(hass, DND, "off")
    return listener


async def test_shows_what_the_pbx_says(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """Switch, target, rings and status."""
    key_pbx.set("501", "DoNotDisturb", on=True)
    key_pbx.set("501", "CallForwardingNoAnswer", on=True, target="24", rings=7)
    await wait_for(hass, DND, "on")
    await wait_for(hass, NO_ANSWER, "on")

    assert state_of(hass, RINGS) == "7"
    assert state_of(hass, "text.office_call_forwarding_no_answer_target") == "24"
    assert state_of(hass, STATUS) == "synchronized"


async def test_has_the_entities_of_a_line_but_those_of_its_phone(
    hass: HomeAssistant, office: DfksListener, entity_registry: er.EntityRegistry
) -> None:
    """Whether a phone is connected only the PBX knows."""
    entities = er.async_entries_for_config_entry(entity_registry, "dfks_entry")
    keys = {
        entity.unique_id.removeprefix(f"dfks_entry_{OFFICE}_") for entity in entities
    }

    assert {"do_not_disturb", "feature_change", "sync_status"} <= keys
    assert not {"phone_connected", "user_agent", "watchers"} & keys


async def test_asks_the_pbx(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """What a switch asks for is so once the PBX has said it."""
    await turn(hass, DND, "on")

    assert state_of(hass, DND) == "on"
    assert key_pbx.states["501"]["DoNotDisturb"].on


async def test_asks_for_target_and_rings(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """Each with what is known of the rest."""
    key_pbx.set("501", "CallForwardingNoAnswer", target="24", rings=4)
    await wait_for(hass, RINGS, "4")
    await write_number(hass, RINGS, 9)
    await write_text(hass, ALWAYS_TARGET, "26")
    await turn(hass, ALWAYS, "on")

    assert key_pbx.states["501"]["CallForwardingNoAnswer"] == KeyState(
        on=False, target="24", rings=9
    )
    assert key_pbx.states["501"]["CallForwardingAlways"] == KeyState(
        on=True, target="26"
    )


async def test_the_action_turns_a_feature_on_for_a_while(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """And off again, at the PBX."""
    response = await hass.services.async_call(
        DOMAIN,
        "set_feature",
        {"entity_id": DND, "status": True, "duration": {"seconds": 30}},
        blocking=True,
        return_response=True,
    )
    assert response is not None
    assert key_pbx.states["501"]["DoNotDisturb"].on
    assert state_of(hass, "datetime.office_do_not_disturb_until") != "unknown"

    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
    await wait_for(hass, DND, "off")
    assert not key_pbx.states["501"]["DoNotDisturb"].on


async def test_an_error_says_that_the_pbx_decided_otherwise(
    hass: HomeAssistant,
    office: DfksListener,
    key_pbx: KeyPbx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the switch stays as the PBX has it."""
    monkeypatch.setattr(follow, "PATIENCE", 0.1)
    key_pbx.decide = lambda user, feature, wish: KeyState()

    with pytest.raises(HomeAssistantError) as raised:
        await turn(hass, DND, "on")

    assert raised.value.translation_key == "pbx_otherwise"
    assert state_of(hass, DND) == "off"


async def test_an_error_says_what_the_pbx_answers(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """With its status."""
    key_pbx.decide = lambda user, feature, wish: None

    with pytest.raises(HomeAssistantError) as raised:
        await turn(hass, DND, "on")

    assert raised.value.translation_key == "pbx_refused"
    assert raised.value.translation_placeholders == {"line": "Office", "reason": "500"}


async def test_what_the_pbx_has_not_said_is_unknown(
    hass: HomeAssistant, entry: MockConfigEntry, key_pbx: KeyPbx
) -> None:
    """It can be asked for all the same."""
    key_pbx.full_state = False
    await set_up(hass, entry)
    await wait_for(hass, DND, "unknown")
    assert state_of(hass, ALWAYS_TARGET) == "unknown"
    assert state_of(hass, RINGS) == "unknown"
    response: Any = await hass.services.async_call(
        DOMAIN, "get_features", {"entity_id": DND}, blocking=True, return_response=True
    )
    (line,) = response["lines"]
    assert line["features"]["DoNotDisturb"]["status"] is None

    await turn(hass, DND, "on")

    assert state_of(hass, DND) == "on"


async def test_names_the_pbx_as_the_author_of_what_nobody_here_has_asked_for(
    hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
) -> None:
    """In the event entity and on the bus."""
    fired: list[Event[Any]] = []

    @callback
    def keep(event: Event[Any]) -> None:
        fired.append(event)

    hass.bus.async_listen("dfks_feature_changed", keep)
    key_pbx.set("501", "DoNotDisturb", on=True)
    await wait_for(hass, DND, "on")
    await hass.async_block_till_done()

    change = hass.states.get(CHANGE)
    assert change is not None
    assert change.attributes["who"] == "pbx"
    assert [event.data["author"] for event in fired] == ["pbx"]


async def test_names_home_assistant_as_the_author_of_what_it_asked_for(
    hass: HomeAssistant, office: DfksListener
) -> None:
    """Although it is the PBX that says it."""
    await turn(hass, DND, "on")

    change = hass.states.get(CHANGE)
    assert change is not None
    assert change.attributes["who"] == "home_assistant"


class TestRings:
    """The number of rings of a PBX that does not tell it from the start."""

    async def test_are_shown_once_they_are_told(
        self, hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """Also where they are what a new line has."""
        assert state_of(hass, RINGS) == "unknown"
        key_pbx.set("501", "CallForwardingNoAnswer", rings=3)
        await wait_for(hass, RINGS, "3")

    async def test_are_asked_for_where_they_are_not_known(
        self, hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """Though the number that is set is the one that stands here."""
        await write_number(hass, RINGS, 3)
        await wait_for(hass, RINGS, "3")

        assert key_pbx.states["501"]["CallForwardingNoAnswer"].rings == 3


class TestAvailability:
    """Entities are available while the PBX tells their state."""

    async def test_is_unavailable_before_and_says_why(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """One line of the log, with the answer."""
        key_pbx.refuses = 403
        await set_up(hass, entry)
        await wait_for(hass, STATUS, "pbx_refused")

        assert state_of(hass, DND) == "unavailable"
        assert state_of(hass, CHANGE) == "unavailable"
        assert [
            record.getMessage()
            for record in caplog.records
            if record.name.endswith("followed.manager")
        ] == [
            (
                "Office is unavailable: its PBX does not tell its state, "
                "it has ended or refused the subscription (403)"
            )
        ]

    async def test_logs_once_each_way(
        self,
        hass: HomeAssistant,
        office: DfksListener,
        key_pbx: KeyPbx,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """When the PBX has gone, and when it is back."""
        caplog.set_level(logging.INFO)
        follower = office.followed.follower(OFFICE)
        assert follower is not None
        assert follower.remote is not None
        key_pbx.refuses = 503
        follower.remote.start()
        await wait_for(hass, DND, "unavailable")
        asked = len(key_pbx.requests)
        follower.remote.start()
        async with asyncio.timeout(PATIENCE):
            while len(key_pbx.requests) == asked:
                await settle()
        key_pbx.refuses = None
        follower.remote.start()
        await wait_for(hass, DND, "off")

        said = [
            record.getMessage()
            for record in caplog.records
            if record.name.endswith("followed.manager")
        ]
        assert len(said) == 2
        assert said[0].startswith("Office is unavailable")
        assert said[1] == "Office: its PBX tells its state again"

    async def test_a_change_fails_at_once(
        self, hass: HomeAssistant, entry: MockConfigEntry, key_pbx: KeyPbx
    ) -> None:
        """With a reason, for actions that do not look at availability."""
        key_pbx.refuses = 403
        await set_up(hass, entry)
        await wait_for(hass, STATUS, "pbx_refused")

        with pytest.raises(HomeAssistantError) as raised:
            await hass.services.async_call(
                DOMAIN,
                "set_feature",
                {"entity_id": DND, "status": True},
                blocking=True,
            )
        assert raised.value.translation_key == "pbx_silent"

    @pytest.mark.parametrize(
        ("refuses", "status"),
        [(489, "pbx_not_supported"), (404, "pbx_refused"), (500, "pbx_refused")],
    )
    async def test_the_status_says_what_keeps_the_pbx(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        refuses: int,
        status: str,
    ) -> None:
        """Each has its advice in the documentation."""
        key_pbx.refuses = refuses
        await set_up(hass, entry)

        await wait_for(hass, STATUS, status)


class TestPassword:
    """A wrong password is tried once and shown in Repairs."""

    @pytest.fixture
    async def wrong(
        self, hass: HomeAssistant, entry: MockConfigEntry, key_pbx: KeyPbx
    ) -> DfksListener:
        """Return the listener once the PBX has refused the password."""
        key_pbx.users["501"] = "another"
        listener = await set_up(hass, entry)
        await wait_for(hass, STATUS, "pbx_wrong_password")
        return listener

    async def test_is_tried_once(
        self, hass: HomeAssistant, wrong: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """A challenge and one answer to it."""
        requests = [item for item in key_pbx.requests if item.method == "SUBSCRIBE"]

        assert len(requests) == 2
        assert state_of(hass, DND) == "unavailable"

    async def test_a_repair_leads_into_the_form(
        self,
        hass: HomeAssistant,
        wrong: DfksListener,
        key_pbx: KeyPbx,
        hass_client: Any,
        issue_registry: ir.IssueRegistry,
    ) -> None:
        """Where the right password is entered; then it is gone."""
        issue_id = f"followed_password_refused_{OFFICE}"
        issue = issue_registry.async_get_issue(DOMAIN, issue_id)
        assert issue is not None
        assert issue.translation_placeholders == {"line": "Office"}
        await async_setup_component(hass, "repairs", {})
        client = await hass_client()
        shown = await (
            await client.post(
                "/api/repairs/issues/fix",
                json={"handler": DOMAIN, "issue_id": issue_id},
            )
        ).json()
        assert shown["step_id"] == "confirm"
        ended = await (
            await client.post(f"/api/repairs/issues/fix/{shown['flow_id']}", json={})
        ).json()
        kind, flow_id = ended["next_flow"]
        assert (ended["type"], kind) == ("abort", "config_subentries_flow")
        assert issue_registry.async_get_issue(DOMAIN, issue_id) is not None

        form = {**office_data(key_pbx.address[1]), "name": "Office"}
        form["password"] = "another"
        advanced = {key: form.pop(key) for key in ("domain", "register", "features")}
        result = await hass.config_entries.subentries.async_configure(
            flow_id, {**form, "advanced": advanced}
        )
        assert result["reason"] == "reconfigure_successful"
        await wait_for(hass, DND, "off")

        assert issue_registry.async_get_issue(DOMAIN, issue_id) is None


class TestCertificate:
    """A certificate that is not good is shown in Repairs, once for all lines of a PBX."""

    @pytest.mark.parametrize(
        ("reason", "key"),
        [
            ("certificate has expired", "followed_certificate_refused"),
            (None, "followed_other_certificate"),
        ],
    )
    async def test_is_shown_with_its_fingerprint(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        office: DfksListener,
        issue_registry: ir.IssueRegistry,
        reason: str | None,
        key: str,
    ) -> None:
        """Until the PBX tells the state, or no line is there any more."""
        follower = office.followed.follower(OFFICE)
        assert follower is not None
        assert follower.remote is not None
        server, subscriber = follower.remote.server, follower.remote.subscriber
        subscriber.hold(SubscriptionStatus.UNREACHABLE)
        server.certificate_refused(reason, "12:34")
        issues = [
            item for item in issue_registry.issues.values() if item.domain == DOMAIN
        ]

        (issue,) = issues
        assert issue.translation_key == key
        words = issue.translation_placeholders or {}
        assert words["fingerprint"] == "12:34"
        assert words["pbx"] == "127.0.0.1"
        assert words.get("reason") == reason
        # Diagnostics list the ids of issues.
        assert "127.0.0.1" not in issue.issue_id

        hass.config_entries.async_remove_subentry(entry, OFFICE)
        await hass.async_block_till_done()
        assert not [
            item for item in issue_registry.issues.values() if item.domain == DOMAIN
        ]

    async def test_is_gone_when_the_pbx_tells_its_state(
        self,
        hass: HomeAssistant,
        office: DfksListener,
        issue_registry: ir.IssueRegistry,
    ) -> None:
        """Nothing needs to be done."""
        follower = office.followed.follower(OFFICE)
        assert follower is not None
        assert follower.remote is not None
        follower.remote.subscriber.hold(SubscriptionStatus.UNREACHABLE)
        follower.remote.server.certificate_refused("expired", "12:34")
        assert len(issue_registry.issues) == 1
        follower.remote.server.connected()
        follower.remote.start()
        await wait_for(hass, STATUS, "synchronized")

        assert not issue_registry.issues


class TestLife:
    """Lines come and go as their subentries do."""

    async def test_a_stop_ends_the_subscription(
        self, hass: HomeAssistant, office: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """The PBX does not go on telling somebody who is gone."""
        assert len(key_pbx.watchers) == 1
        await hass.config_entries.async_unload("dfks_entry")

        assert key_pbx.watchers == []

    async def test_a_line_that_is_removed_is_unsubscribed(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        office: DfksListener,
        key_pbx: KeyPbx,
    ) -> None:
        """With all its entities."""
        hass.config_entries.async_remove_subentry(entry, OFFICE)
        await hass.async_block_till_done()
        await settle()

        assert key_pbx.watchers == []
        assert hass.states.get(DND) is None
        assert OFFICE not in office.sync.lines
        assert entry.state is ConfigEntryState.LOADED

    async def test_fewer_features_remove_their_entities(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        office: DfksListener,
        key_pbx: KeyPbx,
    ) -> None:
        """And more bring them back, without another subscription."""
        subscriptions = len(key_pbx.watchers)
        for features in (["do_not_disturb"], ALL_FEATURES):
            await change_line(hass, entry, OFFICE, features=features)
            assert (hass.states.get(ALWAYS) is None) is (len(features) == 1)
        assert len(key_pbx.watchers) == subscriptions

    async def test_a_restart_knows_the_targets_and_shows_nothing_old(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        office: DfksListener,
        key_pbx: KeyPbx,
    ) -> None:
        """What a PBX does not say again is asked for with what it has said before."""
        key_pbx.set("501", "CallForwardingAlways", on=True, target="24")
        await wait_for(hass, ALWAYS, "on")
        key_pbx.full_state = False
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_for(hass, ALWAYS, "unknown")

        await turn(hass, ALWAYS, "off")

        assert b"<forwardDN>24</forwardDN>" in key_pbx.asked[-1]
        assert state_of(hass, ALWAYS) == "off"


async def test_diagnostics_say_how_far_it_has_come_and_no_secret(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    office: DfksListener,
    hass_client: Any,
) -> None:
    """Neither password nor user nor address."""
    for found in (
        await get_diagnostics_for_config_entry(hass, hass_client, entry),
        await get_diagnostics_for_device(
            hass, hass_client, entry, device_of(hass, OFFICE)
        ),
    ):
        (line,) = found["followed"].values()
        assert line["sync_status"] == "synchronized"
        assert line["states"]["do_not_disturb"]["status"] is False
        assert line["register"] is False
        text = str(found)
        for secret in (PASSWORD, "pbx.example"):
            assert secret not in text
        assert not names_user(found)
