"""Phones' dialogs go on after a restart, however Home Assistant ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from copy import deepcopy
from datetime import timedelta
import socket
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.listener import DfksListener
from custom_components.dfks.sip import snapshot
from custom_components.dfks.sip.snapshot import CSEQ_RESERVE, Snapshot
from custom_components.dfks.storage.dialogs import PhoneStore
from tests.phone import (
    DND as DND_FEATURE,
    FEATURES,
    PATIENCE,
    SILENCE,
    Notification,
    Phone,
)

from .common import (
    DND,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    WORKSHOP_DATA,
    MockConfigEntry,
    async_fire_time_changed_exact,
    async_test_home_assistant,
    line_data,
    listener_entry,
    runtime,
    set_up,
    state_of,
    stop,
    turn,
)
from .conftest import OpenPhone

FILE = "dfks.dfks_entry.phones"

type Storage = dict[str, Any]
type Restart = Callable[..., Any]


def dialogs(storage: Storage) -> list[dict[str, Any]]:
    """Return the dialogs in the file."""
    found: list[dict[str, Any]] = storage[FILE]["data"]["dialogs"]
    return found


def crashed(storage: Storage) -> Storage:
    """Return what is on the disk now, as a crash would leave it."""
    return deepcopy(storage)


def expired(storage: Storage) -> Storage:
    """Return the same with dialogs that have expired a minute ago."""
    for dialog in dialogs(storage):
        for subscription in dialog["subscriptions"]:
            subscription["expires_at"] = dt_util.utcnow().timestamp() - 60
    return storage


async def pass_time(hass: HomeAssistant, seconds: float) -> None:
    """Have done what Home Assistant is to do by so many seconds from now."""
    async_fire_time_changed_exact(hass, dt_util.utcnow() + timedelta(seconds=seconds))
    await hass.async_block_till_done()


async def answered(listener: DfksListener) -> None:
    """Wait until all NOTIFYs of dialogs that end are answered."""
    async with asyncio.timeout(PATIENCE):
        while any(subscription.ending for subscription in listener.server.notifier):
            await asyncio.sleep(0)


@pytest.fixture
async def start_again(
    hass: HomeAssistant, port: int, hass_storage: Storage
) -> AsyncIterator[Restart]:
    """Return what starts another Home Assistant with what the first has left.

    Or with `storage`, which an earlier moment has left.
    """
    async with AsyncExitStack() as stack:

        async def start_again(
            storage: Storage | None = None, lines: tuple[str, ...] = (RECEPTION,)
        ) -> tuple[HomeAssistant, DfksListener]:
            if storage is not None:
                hass_storage.clear()
                hass_storage.update(deepcopy(storage))
            other = await stack.enter_async_context(async_test_home_assistant())
            stack.push_async_callback(other.async_stop, force=True)
            other.data.pop(DATA_CUSTOM_COMPONENTS)
            data = {RECEPTION: RECEPTION_DATA, WORKSHOP: WORKSHOP_DATA}
            entry = listener_entry(
                port, [line_data(line, line.title(), data[line]) for line in lines]
            )
            return other, await set_up(other, entry)

        yield start_again


async def told_everything(phone: Phone) -> Notification:
    """Wait for a NOTIFY of the full state in the phone's dialog, with a higher CSeq."""
    told = await phone.notification()
    before = phone.notifications[: phone.notifications.index(told)]
    assert list(told.features) == list(FEATURES)
    assert told.state == "active"
    assert told.cseq > max(earlier.cseq for earlier in before)
    assert phone.strays == []
    return told


class TestRestart:
    """A clean stop, and Home Assistant is back."""

    async def test_dialog_goes_on(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
    ) -> None:
        """The phone is told the full state, and its next key is taken."""
        phone = await open_phone()
        await turn(hass, DND, "on")
        await phone.notification()
        await stop(hass)

        other, _ = await start_again()
        told = await told_everything(phone)
        pressed = await phone.set_dnd(False)
        await phone.until(lambda lamps: not lamps[DND_FEATURE].on)

        assert told.features[DND_FEATURE].on
        assert pressed.status == 200
        assert state_of(other, DND) == "off"
        assert phone.violations == []

    async def test_phone_counts_as_connected(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
    ) -> None:
        """From the start."""
        await open_phone()
        await stop(hass)
        other, _ = await start_again()

        assert state_of(other, "binary_sensor.reception_phone_connected") == "on"

    async def test_phone_on_tcp_goes_on_when_it_is_back(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
    ) -> None:
        """Its connection is gone, its dialog is not."""
        phone = await open_phone(transport="tcp")
        await stop(hass)
        await start_again()

        await phone.close()
        await phone.start()
        refreshed = await phone.refresh()
        told = await phone.notification()

        assert refreshed.status == 200
        assert list(told.features) == list(FEATURES)
        assert phone.violations == []

    async def test_registration_goes_on(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
    ) -> None:
        """A query tells the Contact that was registered before."""
        phone = await open_phone()
        await phone.register()
        await stop(hass)
        await start_again()

        answer = await phone.request("REGISTER", uri=phone.server_uri)
        assert phone.contact.removeprefix("<").removesuffix(">") in answer.get(
            "Contact"
        )

    async def test_reload_goes_on(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
    ) -> None:
        """As after changed settings of the listener."""
        phone = await open_phone()
        assert await hass.config_entries.async_reload(entry.entry_id)
        await told_everything(phone)

        assert (await phone.set_dnd(True)).status == 200
        await phone.until(lambda lamps: lamps[DND_FEATURE].on)
        assert runtime(entry) is not listener
        assert phone.violations == []

    async def test_line_that_was_removed_meanwhile_is_left_out(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
    ) -> None:
        """The other's dialog goes on; this one's phone subscribes elsewhere."""
        gone, phone = await open_phone(WORKSHOP), await open_phone(RECEPTION)
        await stop(hass)
        _, other = await start_again(lines=(RECEPTION,))
        await told_everything(phone)

        assert len(list(other.server.notifier)) == 1
        assert (await gone.refresh()).status in {401, 481}

    async def test_file_says_that_the_stop_was_clean(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
    ) -> None:
        """And takes it back before anything can get lost again."""
        await open_phone()
        await stop(hass)
        assert hass_storage[FILE]["data"]["clean"] is True

        await start_again()
        assert hass_storage[FILE]["data"]["clean"] is False

    async def test_phone_that_comes_at_the_last_moment_is_remembered(
        self, hass: HomeAssistant, hass_storage: Storage
    ) -> None:
        """While the file is written the sockets are open still."""
        store = PhoneStore(hass, "dfks_entry")
        arrivals = iter([True, True, False])
        asked = 0

        async def records() -> Snapshot:
            nonlocal asked
            asked += 1
            if next(arrivals):
                store.async_changed(urgent=True)
            return Snapshot(dialogs=[], bindings=[])

        store.async_follow(records)
        await store.async_finish()
        await store.async_finish()

        store.async_changed(urgent=True)
        await pass_time(hass, 1)
        assert asked == 3
        assert FILE in hass_storage


class TestCrash:
    """Home Assistant is killed."""

    async def test_dialog_goes_on_with_higher_numbers(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
    ) -> None:
        """Though NOTIFYs went out after the last write."""
        phone = await open_phone()
        await pass_time(hass, 1)
        disk = crashed(hass_storage)
        for on in (True, False, True):
            await phone.set_dnd(on)
            await phone.notification()
        await stop(hass)

        await start_again(disk)
        await told_everything(phone)
        assert (await phone.set_dnd(True)).status == 200
        assert phone.violations == []

    async def test_second_crash_right_after_the_start(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The numbers of the run that lasted no time at all are not used again."""
        # As good as still, so that the clock gives one number all the time.
        monkeypatch.setattr(snapshot, "CSEQS_PER_SECOND", 0.001)
        phone = await open_phone()
        await pass_time(hass, 1)
        await stop(hass)
        other, _ = await start_again()
        disk = crashed(hass_storage)
        first = await told_everything(phone)
        await stop(other)

        await start_again(disk)
        second = await told_everything(phone)

        assert second.cseq > first.cseq > CSEQ_RESERVE
        assert phone.violations == []

    async def test_refresh_that_was_not_written_is_allowed_for(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
    ) -> None:
        """What would have expired a minute ago may have been refreshed since."""
        phone = await open_phone()
        await pass_time(hass, 1)
        disk = expired(crashed(hass_storage))
        await stop(hass)

        await start_again(disk)
        await phone.notification()
        assert (await phone.refresh()).status == 200

    async def test_clean_stop_allows_for_nothing(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
    ) -> None:
        """All refreshes are in the file: what has expired is over."""
        phone = await open_phone()
        dialog = phone.dialog
        await stop(hass)

        _, other = await start_again(expired(crashed(hass_storage)))
        while (await phone.notification()).state != "terminated":
            pass
        assert not other.sync.lines[RECEPTION].connected

        phone.dialog = dialog
        assert (await phone.refresh()).status == 481


class TestWrites:
    """When the file is written."""

    async def test_new_dialog_is_written_within_a_second(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
    ) -> None:
        """And so is its end."""
        phone = await open_phone()
        await pass_time(hass, 1)
        assert [record["call_id"] for record in dialogs(hass_storage)] == [
            phone.notifications[0].request.call_id
        ]

        await phone.unsubscribe()
        await phone.notification()
        await answered(listener)
        await pass_time(hass, 1)
        assert dialogs(hass_storage) == []

    async def test_refreshes_are_written_every_five_minutes(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
    ) -> None:
        """However many there are."""
        phone = await open_phone()
        await pass_time(hass, 1)
        before = dialogs(hass_storage)[0]["remote_cseq"]
        for _ in range(3):
            await phone.refresh()
            await phone.notification()
        await pass_time(hass, 290)
        assert dialogs(hass_storage)[0]["remote_cseq"] == before

        await pass_time(hass, 301)
        assert dialogs(hass_storage)[0]["remote_cseq"] == before + 3

    async def test_change_does_not_wait_for_a_refresh_that_waits(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
    ) -> None:
        """One write takes both."""
        phone = await open_phone()
        await pass_time(hass, 1)
        await phone.refresh()
        await open_phone(WORKSHOP)
        await pass_time(hass, 1)

        assert len(dialogs(hass_storage)) == 2
        assert FILE in hass_storage
        writes = hass_storage[FILE]
        await pass_time(hass, 400)
        assert hass_storage[FILE] is writes

    async def test_writes_do_not_overlap(
        self, hass: HomeAssistant, freezer: FrozenDateTimeFactory
    ) -> None:
        """What changes during a slow one is in the next."""
        store = PhoneStore(hass, "dfks_entry")
        begun: list[asyncio.Event] = []
        running = most = 0

        async def records() -> Snapshot:
            nonlocal running, most
            running += 1
            most = max(most, running)
            go_on = asyncio.Event()
            begun.append(go_on)
            await go_on.wait()
            running -= 1
            return Snapshot(dialogs=[], bindings=[])

        async def let_a_second_go_by() -> int:
            later = dt_util.utcnow() + timedelta(seconds=1)
            async_fire_time_changed_exact(hass, later)
            await asyncio.sleep(0)
            return len(begun)

        store.async_follow(records)
        store.async_changed(urgent=True)
        first = await let_a_second_go_by()
        store.async_changed(urgent=True)
        meanwhile = await let_a_second_go_by()
        begun[0].set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = await let_a_second_go_by()
        begun[1].set()
        await hass.async_block_till_done()

        assert (first, meanwhile, second, most) == (1, 1, 2, 1)

    async def test_large_file_is_not_written_all_the_time(
        self, hass: HomeAssistant, hass_storage: Storage
    ) -> None:
        """Many phones that come one after the other share a write."""
        store = PhoneStore(hass, "dfks_entry")
        binding: Any = {}
        writes = 0

        async def records() -> Snapshot:
            nonlocal writes
            writes += 1
            return Snapshot(dialogs=[], bindings=[binding] * 10_000)

        store.async_follow(records)
        store.async_changed(urgent=True)
        await pass_time(hass, 1)
        for _ in range(3):
            store.async_changed(urgent=True)
            await pass_time(hass, 5)
        soon = writes
        await pass_time(hass, 11)

        assert (soon, writes) == (1, 2)


def spoiled(change: Callable[[Any], object]) -> Callable[[Storage], None]:
    """Return what spoils the content of the file."""

    def spoil(storage: Storage) -> None:
        change(storage[FILE]["data"])

    return spoil


class TestForeignContent:
    """What is in the file is not what was written."""

    @pytest.mark.parametrize(
        "spoil",
        [
            spoiled(lambda data: data.pop("dialogs")),
            spoiled(lambda data: data.pop("bindings")),
            spoiled(lambda data: data.update(dialogs=None)),
            spoiled(lambda data: data.update(dialogs=7)),
            spoiled(lambda data: data.update(dialogs={"a": "b"})),
            spoiled(lambda data: data.update(bindings=[None, 7, {}])),
            spoiled(lambda data: data["dialogs"][0].update(cseq="many")),
            spoiled(lambda data: data["dialogs"][0].update(flow=None)),
            spoiled(lambda data: data["dialogs"][0].update(routes="none")),
            spoiled(lambda data: data["dialogs"][0].update(target="nowhere")),
            spoiled(lambda data: data["dialogs"][0].pop("call_id")),
            spoiled(lambda data: data["dialogs"][0]["subscriptions"][0].clear()),
            lambda storage: storage[FILE].update(data=[]),
            lambda storage: storage[FILE].update(data="text"),
            lambda storage: storage[FILE].update(version=99),
        ],
    )
    async def test_does_not_hinder_the_start(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
        spoil: Callable[[Storage], None],
    ) -> None:
        """Phones come back by themselves."""
        phone = await open_phone()
        await stop(hass)
        spoil(hass_storage)
        await start_again(crashed(hass_storage))

        assert (await phone.subscribe()).status == 200

    async def test_costs_the_other_phones_nothing(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        start_again: Restart,
        hass_storage: Storage,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Only the record that is no good is left out."""
        spoiled_one, phone = await open_phone(WORKSHOP), await open_phone(RECEPTION)
        await stop(hass)
        record = next(
            record
            for record in dialogs(hass_storage)
            if record["call_id"] == spoiled_one.notifications[0].request.call_id
        )
        record["local"] = 7
        # A number of seconds without a point is a number of seconds.
        for record in dialogs(hass_storage):
            record["subscriptions"][0]["expires_at"] = round(
                record["subscriptions"][0]["expires_at"]
            )
        await start_again(crashed(hass_storage), lines=(RECEPTION, WORKSHOP))

        await told_everything(phone)
        assert "1 remembered phones are left out" in caplog.text


class TestRemoval:
    """The listener is removed for good."""

    @pytest.mark.parametrize("loaded", [True, False])
    async def test_ends_the_dialogs(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
        loaded: bool,
    ) -> None:
        """Also those of a listener that does not run; no file stays behind."""
        await turn(hass, DND, "on")
        phones = [await open_phone(), await open_phone(WORKSHOP)]
        if not loaded:
            assert await hass.config_entries.async_unload(entry.entry_id)
        await hass.config_entries.async_remove(entry.entry_id)

        for phone in phones:
            last = phone.notifications[-1]
            assert (last.state, last.reason) == ("terminated", "deactivated")
            assert phone.violations == []
        assert phones[0].features[DND_FEATURE].on
        assert [key for key in hass_storage if key.startswith("dfks")] == []

    async def test_does_not_wait_for_long(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A phone that does not answer has to find out by itself."""
        monkeypatch.setattr("custom_components.dfks.termination.ANSWER_TIME", 0.02)
        phone = await open_phone()
        phone.answer = lambda _: SILENCE
        await hass.config_entries.async_remove(entry.entry_id)

        assert [key for key in hass_storage if key.startswith("dfks")] == []
        with socket.create_server((LOCALHOST, entry.data["port"])):
            pass

    async def test_taken_port_does_not_hinder_it(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        hass_storage: Storage,
        port: int,
    ) -> None:
        """The phones' next refresh will fail."""
        await open_phone()
        assert await hass.config_entries.async_unload(entry.entry_id)
        with socket.create_server((LOCALHOST, port)):
            await hass.config_entries.async_remove(entry.entry_id)

        assert hass.config_entries.async_entries("dfks") == []
        assert [key for key in hass_storage if key.startswith("dfks")] == []

    async def test_phones_are_left_alone_where_none_is_remembered(
        self, hass: HomeAssistant, entry: MockConfigEntry, hass_storage: Storage
    ) -> None:
        """The port is not opened for nothing."""
        entry.add_to_hass(hass)
        await hass.config_entries.async_remove(entry.entry_id)

        assert hass.config_entries.async_entries("dfks") == []
