"""What is told of a line's phone, and what keeps it away."""

from datetime import UTC, datetime

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from tests.clock import ManualClock
from tests.phone import SILENCE, Phone

from .common import (
    INCOMING_CALLS,
    LAST_CONTACT,
    LOCALHOST,
    RECEPTION,
    SYNC_STATUS,
    USER_AGENT,
    WATCHERS,
    MockConfigEntry,
    change_line,
    press,
    state_of,
)
from .conftest import Plug

INSTANCE = "urn:uuid:00000000-0000-1000-8000-00000000000{}"

pytestmark = pytest.mark.usefixtures("all_entities_enabled", "clock", "listener")


async def settle(phone: Phone) -> None:
    """Wait until the listener has seen all that the phone has sent."""
    await phone.options()


class TestSyncStatus:
    """How far a phone has come."""

    async def test_waits_for_a_phone(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """At first."""
        assert state_of(hass, SYNC_STATUS) == "waiting"

    async def test_subscribed(self, hass: HomeAssistant, plug: Plug) -> None:
        """All is well; a registration alone says nothing yet."""
        phone = await plug()
        await phone.register()
        assert state_of(hass, SYNC_STATUS) == "waiting"
        await phone.subscribe()
        await settle(phone)

        assert state_of(hass, SYNC_STATUS) == "synchronized"

    async def test_registered_only(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """Half a minute later it is clear that key synchronization is off."""
        phone = await plug()
        await phone.register()
        clock.advance(29)
        assert state_of(hass, SYNC_STATUS) == "waiting"
        clock.advance(1)
        assert state_of(hass, SYNC_STATUS) == "key_sync_off"

        await phone.subscribe()
        await settle(phone)
        assert state_of(hass, SYNC_STATUS) == "synchronized"

    async def test_registration_that_runs_out(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """The phone is gone, whatever was the matter with it."""
        phone = await plug()
        await phone.register(expires=600)
        clock.advance(599)
        assert state_of(hass, SYNC_STATUS) == "key_sync_off"
        clock.advance(1)
        assert state_of(hass, SYNC_STATUS) == "waiting"

    async def test_refreshed_registration_keeps_the_status(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """It does not begin to wait anew."""
        phone = await plug()
        await phone.register()
        clock.advance(30)
        await phone.register()

        assert state_of(hass, SYNC_STATUS) == "key_sync_off"

    async def test_key_sync_turned_off_on_the_phone(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """It unsubscribes and stays registered."""
        phone = await plug()
        await phone.register()
        await phone.subscribe()
        await phone.unsubscribe()
        await settle(phone)
        assert state_of(hass, SYNC_STATUS) == "waiting"
        clock.advance(30)

        assert state_of(hass, SYNC_STATUS) == "key_sync_off"

    async def test_phone_that_falls_silent(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """Its key synchronization is not off: it is unplugged."""
        phone = await plug()
        phone.answer_next(SILENCE)
        await phone.register()
        await phone.subscribe()
        await phone.notification()
        clock.advance(100)
        assert state_of(hass, SYNC_STATUS) == "waiting"

        await phone.register()
        await settle(phone)
        assert state_of(hass, SYNC_STATUS) == "synchronized"

    async def test_phone_beside_one_that_fell_silent(
        self, hass: HomeAssistant, plug: Plug, clock: ManualClock
    ) -> None:
        """The one that is there only registers: that is what can be mended."""
        unplugged = await plug(instance=INSTANCE.format(1))
        unplugged.answer_next(SILENCE)
        await unplugged.subscribe()
        await unplugged.notification()
        clock.advance(32)

        await (await plug(instance=INSTANCE.format(2))).register()
        clock.advance(30)

        assert state_of(hass, SYNC_STATUS) == "key_sync_off"

    @pytest.mark.parametrize(
        ("password", "auth_name"), [("wrong", None), ("reception-201", "someone")]
    )
    async def test_wrong_credentials(
        self, hass: HomeAssistant, plug: Plug, password: str, auth_name: str | None
    ) -> None:
        """Password or authentication name; right ones put it straight."""
        phone = await plug(password=password, auth_name=auth_name)
        assert (await phone.register()).status == 401
        assert state_of(hass, SYNC_STATUS) == "wrong_password"

        phone = await plug()
        await phone.register()
        assert state_of(hass, SYNC_STATUS) == "waiting"

    async def test_wrong_password_beside_a_phone_that_follows(
        self, hass: HomeAssistant, plug: Plug
    ) -> None:
        """The line is synchronized; a stranger cannot make it look otherwise."""
        phone = await plug()
        await phone.subscribe()
        other = await plug(password="wrong")
        await other.register()
        await settle(phone)

        assert state_of(hass, SYNC_STATUS) == "synchronized"

    async def test_other_lines_and_unknown_users_do_not_count(
        self, hass: HomeAssistant, plug: Plug
    ) -> None:
        """Each line has its own phone."""
        await (await plug(user="202", password="wrong")).register()
        await (await plug(user="209", password="wrong")).register()

        assert state_of(hass, SYNC_STATUS) == "waiting"
        assert state_of(hass, "sensor.workshop_sync_status") == "wrong_password"

    async def test_mended_password_lets_the_phone_in_at_once(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Even where it has been blocked for its many attempts."""
        phone = await plug(password="other-201")
        await phone.register()
        for guess in range(20):
            listener.server._guard.failed(LOCALHOST, "201", f"guess {guess}")
        assert not listener.server._guard.judges(LOCALHOST, "201", known=True)

        await change_line(hass, entry, password="other-201")
        assert state_of(hass, SYNC_STATUS) == "waiting"
        assert (await phone.register()).status == 200

    async def test_timers_end_with_the_line_and_the_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        plug: Plug,
        clock: ManualClock,
    ) -> None:
        """Nothing looks at a phone any more."""
        await (await plug()).register()
        await (await plug(user="202", password="workshop-202")).register()
        hass.config_entries.async_remove_subentry(entry, RECEPTION)
        await hass.async_block_till_done()
        clock.advance(30)
        assert state_of(hass, "sensor.workshop_sync_status") == "key_sync_off"

        assert await hass.config_entries.async_unload(entry.entry_id)
        clock.advance(10_000)
        assert state_of(hass, "sensor.workshop_sync_status") == "unavailable"


async def test_user_agent(hass: HomeAssistant, plug: Plug) -> None:
    """Is what the phone calls itself, cut to what a state can hold."""
    assert state_of(hass, USER_AGENT) == "unknown"
    phone = await plug(user_agent="Yealink SIP-T46S 66.85.0.5")
    await phone.register()
    assert state_of(hass, USER_AGENT) == "Yealink SIP-T46S 66.85.0.5"

    phone = await plug(user_agent="x" * 300)
    await phone.register()
    assert state_of(hass, USER_AGENT) == "x" * 80


async def test_user_agent_outlives_a_reload(
    hass: HomeAssistant, entry: MockConfigEntry, plug: Plug
) -> None:
    """It is remembered with the phone's registration and subscription."""
    phone = await plug(user_agent=f"Desk\x07/1.0 {'x' * 300}")
    await phone.register()
    await phone.subscribe()
    await settle(phone)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    assert state_of(hass, USER_AGENT) == f"Desk/1.0 {'x' * 71}"


async def test_last_contact(
    hass: HomeAssistant, plug: Plug, clock: ManualClock
) -> None:
    """Moves with everything the phone says."""
    assert state_of(hass, LAST_CONTACT) == "unknown"
    phone = await plug()
    for _ in range(2):
        clock.advance(100)
        await phone.register()
        when = datetime.fromtimestamp(int(clock.time()), UTC).isoformat()
        assert state_of(hass, LAST_CONTACT) == when


async def test_watchers(hass: HomeAssistant, plug: Plug) -> None:
    """Are counted as they come and go."""
    assert state_of(hass, WATCHERS) == "0"
    phone, other = await plug(), await plug(transport="tcp")
    await phone.subscribe()
    await other.subscribe()
    await settle(other)
    assert state_of(hass, WATCHERS) == "2"

    await phone.unsubscribe()
    await settle(phone)
    assert state_of(hass, WATCHERS) == "1"


class TestIncomingCalls:
    """What becomes of calls before the phone rings."""

    @pytest.mark.parametrize(
        ("pressed", "state"),
        [
            ((), "ring"),
            ((Feature.DO_NOT_DISTURB,), "do_not_disturb"),
            ((Feature.CALL_FORWARDING_ALWAYS,), "forwarded"),
            ((Feature.CALL_FORWARDING_BUSY,), "ring"),
            ((Feature.CALL_FORWARDING_NO_ANSWER,), "ring"),
            ((Feature.CALL_FORWARDING_ALWAYS, Feature.DO_NOT_DISTURB), "forwarded"),
        ],
    )
    async def test_is_the_first_that_is_on(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        pressed: tuple[Feature, ...],
        state: str,
    ) -> None:
        """In the order in which calls to a line at a PBX are treated."""
        for feature in pressed:
            target = None if feature is Feature.DO_NOT_DISTURB else "2424"
            await press(entry, feature, status=True, forward_to=target)

        assert state_of(hass, INCOMING_CALLS) == state

    async def test_names_the_target_while_calls_go_there(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """And not when the forwarding is off, though the target is kept."""
        always = Feature.CALL_FORWARDING_ALWAYS
        await press(entry, always, status=True, forward_to="2424")
        forwarded = hass.states.get(INCOMING_CALLS)
        await press(entry, always, status=False)
        rings = hass.states.get(INCOMING_CALLS)

        assert forwarded is not None
        assert forwarded.attributes["target"] == "2424"
        assert rings is not None
        assert rings.state == "ring"
        assert rings.attributes["target"] is None

    async def test_is_shown_by_area(
        self, hass: HomeAssistant, entity_registry: er.EntityRegistry
    ) -> None:
        """Home Assistant's own pages leave out what has a category."""
        entity = entity_registry.async_get(INCOMING_CALLS)
        assert entity is not None
        assert entity.entity_category is None
