"""What was set survives a restart, however Home Assistant ended."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
import errno
import json
from pathlib import Path
import stat
from typing import Any
from unittest.mock import MagicMock, patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.repairs import ConfirmRepairFlow
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util.file import WriteError, write_utf8_file_atomic
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.repairs import async_create_fix_flow
from custom_components.dfks.storage.file import StoredFile

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    NO_ANSWER_TARGET,
    RECEPTION,
    RINGS,
    WORKSHOP_DND,
    MockConfigEntry,
    async_fire_time_changed_exact,
    complaints,
    press,
    set_up,
    state_of,
    stop,
    turn,
    write_number,
    write_text,
)
from .conftest import OpenPhone

FILE = "dfks.dfks_entry"
PHONES = f"{FILE}.phones"

# What tests of Home Assistant replace, so that nothing is written.
STORE_METHODS = {
    name: getattr(Store, name)
    for name in ("_async_load", "_async_write_data", "async_remove")
}


def stored(hass_storage: dict[str, Any]) -> dict[str, dict[str, object]]:
    """Return the states of the line Reception in the file."""
    states: dict[str, dict[str, object]] = hass_storage[FILE]["data"]["lines"][
        RECEPTION
    ]
    return states


def store(hass_storage: dict[str, Any], lines: object) -> None:
    """Write a file as an earlier run has left it."""
    hass_storage[FILE] = {"version": 1, "key": FILE, "data": {"lines": lines}}


async def pass_time(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float
) -> None:
    """Let time go by."""
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed_exact(hass)
    await hass.async_block_till_done()


@pytest.fixture
def folder(hass: HomeAssistant, tmp_path: Path) -> Iterator[Path]:
    """Let Home Assistant store in files, unlike in other tests, and return where."""
    hass.config.config_dir = str(tmp_path)
    folder = tmp_path / ".storage"
    folder.mkdir()
    with patch.multiple(Store, **STORE_METHODS):
        yield folder


def copies(folder: Path) -> list[Path]:
    """Return the files that were kept as they were."""
    return list(folder.glob("*.corrupt.*"))


def write(path: Path, content: object) -> None:
    """Write a file as it is found at a start."""
    path.write_text(json.dumps(content))


def read(path: Path) -> Any:
    """Return the content of a file."""
    return json.loads(path.read_text())


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def dnd_in(folder: Path) -> bool:
    """Return whether the line Reception does not want to be disturbed, by the file."""
    lines = read(folder / FILE)["data"]["lines"]
    status: bool = lines[RECEPTION]["DoNotDisturb"]["status"]
    return status


def damage(hass: HomeAssistant) -> ir.IssueEntry | None:
    """Return the repair issue about states that could not be read."""
    return ir.async_get(hass).async_get_issue(DOMAIN, "states_damaged")


def unwritten(hass: HomeAssistant) -> ir.IssueEntry | None:
    """Return the repair issue about states that could not be written."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"not_written_{FILE}")


async def test_change_is_written_at_once(
    hass: HomeAssistant, listener: DfksListener, hass_storage: dict[str, Any]
) -> None:
    """With all that belongs to the feature; no time has to go by."""
    await write_text(hass, NO_ANSWER_TARGET, "2424")
    await write_number(hass, RINGS, 5)
    await turn(hass, "switch.reception_call_forwarding_no_answer", "on")
    await hass.async_block_till_done()

    assert stored(hass_storage)["CallForwardingNoAnswer"] == {
        "status": True,
        "forward_to": "2424",
        "ring_count": 5,
    }


async def test_one_write_at_a_time_with_the_newest_states(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """However many changes come during one, another one follows it."""
    written: list[object] = []
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def write(_store: object, data: dict[str, Any]) -> None:
        written.append(data["lines"][RECEPTION]["CallForwardingAlways"]["forward_to"])
        writing.set()
        await go_on.wait()

    with patch.object(StoredFile, "async_save", write):
        await write_text(hass, ALWAYS_TARGET, "0")
        await writing.wait()
        for step in range(1, 10):
            await write_text(hass, ALWAYS_TARGET, str(step))
        assert written == ["0"]
        go_on.set()
        await hass.async_block_till_done()

    assert written == ["0", "9"]


async def test_nothing_is_written_where_nothing_changed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A phone that repeats itself does not wear the disk out."""
    await press(entry, Feature.DO_NOT_DISTURB, status=False)
    await pass_time(hass, freezer, 1)

    assert FILE not in hass_storage


async def test_unload_writes_at_once(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
) -> None:
    """A reload must find the newest state."""
    await turn(hass, DND, "on")
    await hass.config_entries.async_unload(entry.entry_id)

    assert stored(hass_storage)["DoNotDisturb"]["status"] is True


async def test_stop_writes_at_once(
    hass: HomeAssistant, listener: DfksListener, hass_storage: dict[str, Any]
) -> None:
    """Home Assistant may stop within the second."""
    await turn(hass, DND, "on")
    await stop(hass)

    assert stored(hass_storage)["DoNotDisturb"]["status"] is True


async def test_restart_brings_the_state_back(
    hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Switches, targets and rings."""
    store(
        hass_storage,
        {
            RECEPTION: {
                "DoNotDisturb": {"status": True},
                "CallForwardingAlways": {"status": True, "forward_to": "300"},
                "CallForwardingNoAnswer": {"forward_to": "2424", "ring_count": 9},
            }
        },
    )
    await set_up(hass, entry)

    assert state_of(hass, DND) == "on"
    assert state_of(hass, ALWAYS) == "on"
    assert state_of(hass, ALWAYS_TARGET) == "300"
    assert state_of(hass, NO_ANSWER_TARGET) == "2424"
    assert state_of(hass, RINGS) == "9"
    assert state_of(hass, WORKSHOP_DND) == "off"


@pytest.mark.parametrize(
    "lines",
    [
        None,
        [],
        {RECEPTION: None},
        {RECEPTION: {"DoNotDisturb": None, "Hoteling": {"status": True}}},
        {RECEPTION: {"DoNotDisturb": {"status": "yes", "since": 5}}},
        {RECEPTION: {"CallForwardingNoAnswer": {"ring_count": True}}},
        {RECEPTION: {"CallForwardingAlways": {"forward_to": 5}}},
        {RECEPTION: {"CallForwardingAlways": {"forward_to": "30\x000"}}},
        {RECEPTION: {"CallForwardingNoAnswer": {"ring_count": "9"}}},
        {RECEPTION: {"CallForwardingNoAnswer": {"ring_count": 101}}},
    ],
)
async def test_what_cannot_be_read_is_as_if_never_set(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    lines: object,
) -> None:
    """And it is told."""
    store(hass_storage, lines)
    await set_up(hass, entry)

    assert state_of(hass, DND) == "off"
    assert state_of(hass, ALWAYS_TARGET) == ""
    assert state_of(hass, RINGS) == "3"
    assert damage(hass) is not None


async def test_what_other_versions_store_is_passed_over(
    hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Unknown features and fields are no damage."""
    store(
        hass_storage,
        {
            RECEPTION: {
                "DoNotDisturb": {"status": True, "since": 5},
                "Hoteling": {"status": True},
            }
        },
    )
    await set_up(hass, entry)

    assert state_of(hass, DND) == "on"
    assert damage(hass) is None


GOOD_LINES = {RECEPTION: {"DoNotDisturb": {"status": True}}}

DAMAGED: dict[str, object] = {
    "null": None,
    "list": [],
    "text": "states",
    "no data": {"version": 1, "minor_version": 1},
    "list of data": {"version": 1, "minor_version": 1, "data": []},
    "no version": {"data": {"lines": GOOD_LINES}},
    "strange version": {"version": "new", "data": {"lines": GOOD_LINES}},
}


class TestDamagedFile:
    """It does not hinder the start."""

    @pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
    async def test_is_kept_and_told(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
        content: object,
    ) -> None:
        """A copy as it was, a log line, and a repair issue that names it."""
        write(folder / FILE, content)
        await set_up(hass, entry)

        assert state_of(hass, DND) == "off"
        (copy,) = copies(folder)
        assert read(copy) == content
        (complaint,) = complaints(caplog)
        assert str(copy) in complaint
        issue = damage(hass)
        assert issue is not None
        assert issue.translation_placeholders == {
            "path": str(folder / FILE),
            "copy": str(copy),
        }

    async def test_of_a_newer_version_is_read_as_far_as_it_can_be(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path
    ) -> None:
        """Somebody has gone back to this version, and may go forth again."""
        content = {"version": 2, "data": {"lines": GOOD_LINES, "more": [1]}}
        write(folder / FILE, content)
        await set_up(hass, entry)

        assert state_of(hass, DND) == "on"
        (copy,) = copies(folder)
        assert read(copy) == content
        assert damage(hass) is not None

    async def test_keeps_what_is_good(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path
    ) -> None:
        """Of the same feature, of others, and of other lines."""
        lines = {
            RECEPTION: {
                "DoNotDisturb": "on",
                "CallForwardingAlways": {"status": "on", "forward_to": "300"},
            },
            "workshop": {"DoNotDisturb": {"status": True}},
        }
        write(folder / FILE, {"version": 1, "data": {"lines": lines}})
        await set_up(hass, entry)

        assert state_of(hass, WORKSHOP_DND) == "on"
        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("off", "300")

    @pytest.mark.parametrize("emergency_at", ["yesterday", True, -1, [], 1e300])
    async def test_keeps_what_is_good_beside_an_emergency_call(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        emergency_at: object,
    ) -> None:
        """Of which it is not known when it was."""
        lines = {
            RECEPTION: {
                "DoNotDisturb": {"status": True},
                "emergency_at": emergency_at,
            }
        }
        write(folder / FILE, {"version": 1, "data": {"lines": lines}})
        await set_up(hass, entry)

        assert state_of(hass, DND) == "on"
        assert damage(hass) is not None

    async def test_is_told_once(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The next start finds it in order."""
        write(folder / FILE, None)
        await set_up(hass, entry)
        ir.async_delete_issue(hass, DOMAIN, "states_damaged")
        caplog.clear()
        assert await hass.config_entries.async_reload(entry.entry_id)

        assert (damage(hass), complaints(caplog)) == (None, [])
        assert len(copies(folder)) == 1

    async def test_that_is_no_json_is_set_aside_by_home_assistant(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path
    ) -> None:
        """It has its own repair issue for that."""
        (folder / FILE).write_text('{"version": 1, "data": {"lin')
        await set_up(hass, entry)

        assert len(copies(folder)) == 1
        keys = [issue.translation_key for issue in ir.async_get(hass).issues.values()]
        assert keys == ["storage_corruption"]

    async def test_that_cannot_be_copied_is_told_all_the_same(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A full disk is no reason not to start."""
        write(folder / FILE, None)
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            patch("custom_components.dfks.storage.file.os.link", side_effect=full),
            patch("custom_components.dfks.storage.file.shutil.copy2", side_effect=full),
        ):
            await set_up(hass, entry)

        assert "cannot be copied: No space left on device" in caplog.text
        assert damage(hass) is not None

    async def test_is_copied_where_there_are_no_links(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path
    ) -> None:
        """As on a network drive."""
        write(folder / FILE, None)
        no_links = OSError(errno.EOPNOTSUPP, "Not supported")
        with patch("custom_components.dfks.storage.file.os.link", side_effect=no_links):
            await set_up(hass, entry)

        (copy,) = copies(folder)
        assert read(copy) is None

    async def test_issue_is_settled_with_a_click(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path
    ) -> None:
        """And goes with the listener."""
        write(folder / FILE, None)
        await set_up(hass, entry)
        flow = await async_create_fix_flow(hass, "states_damaged", None)
        assert type(flow) is ConfirmRepairFlow
        await hass.config_entries.async_remove(entry.entry_id)

        assert damage(hass) is None


class TestFailedWrite:
    """The disk is full."""

    @staticmethod
    def tries(full: MagicMock, folder: Path, file: str = FILE) -> int:
        """Return how often a file was to be written."""
        return [call.args[0] for call in full.call_args_list].count(str(folder / file))

    @pytest.fixture
    def full(self) -> Iterator[MagicMock]:
        """Let no file be written until the mock is told otherwise."""
        failure = WriteError("no")
        failure.__cause__ = OSError(errno.ENOSPC, "No space left on device")
        with patch(
            "homeassistant.helpers.storage.write_utf8_file_atomic",
            side_effect=failure,
        ) as write:
            yield write

    async def test_is_told_and_tried_again_until_it_works(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        full: MagicMock,
        freezer: FrozenDateTimeFactory,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Without another change; one log line and an issue while it lasts."""
        await set_up(hass, entry)
        await turn(hass, DND, "on")
        await hass.async_block_till_done()
        for _ in range(3):
            await pass_time(hass, freezer, 31)
        issue = unwritten(hass)
        assert issue is not None
        assert issue.translation_placeholders == {
            "path": str(folder / FILE),
            "reason": "No space left on device",
        }
        assert len(complaints(caplog)) == 1
        assert self.tries(full, folder) == 4

        full.side_effect = write_utf8_file_atomic
        await pass_time(hass, freezer, 31)
        assert dnd_in(folder)
        assert unwritten(hass) is None

    async def test_makes_changes_wait_for_the_next_try(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        full: MagicMock,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """A full disk is not written to at every key."""
        await set_up(hass, entry)
        for state in ("on", "off", "on"):
            await turn(hass, DND, state)
            await hass.async_block_till_done()
        assert self.tries(full, folder) == 1

        full.side_effect = write_utf8_file_atomic
        await pass_time(hass, freezer, 31)
        assert dnd_in(folder)

    async def test_is_tried_a_last_time_at_the_end(
        self, hass: HomeAssistant, entry: MockConfigEntry, folder: Path, full: MagicMock
    ) -> None:
        """And no more then."""
        await set_up(hass, entry)
        await turn(hass, DND, "on")
        await hass.async_block_till_done()
        full.side_effect = write_utf8_file_atomic
        await hass.config_entries.async_unload(entry.entry_id)

        assert dnd_in(folder)

    async def test_of_the_phones_is_tried_again_too(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        folder: Path,
        full: MagicMock,
        open_phone: OpenPhone,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """Else they would be unknown after a crash; not before half a minute is over."""
        await set_up(hass, entry)
        await open_phone()
        for _ in range(3):
            await pass_time(hass, freezer, 1)
        assert self.tries(full, folder, PHONES) == 1
        full.side_effect = write_utf8_file_atomic
        await pass_time(hass, freezer, 31)

        assert len(read(folder / PHONES)["data"]["dialogs"]) == 1


@pytest.mark.parametrize("file", [FILE, PHONES])
async def test_only_home_assistant_may_read_the_files(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    folder: Path,
    open_phone: OpenPhone,
    file: str,
) -> None:
    """They say where phones are and where calls go."""
    await set_up(hass, entry)
    await open_phone()
    await turn(hass, DND, "on")
    await hass.config_entries.async_unload(entry.entry_id)

    assert mode_of(folder / file) == 0o600


@pytest.mark.parametrize("file", [FILE, PHONES])
async def test_files_that_everybody_may_read_are_closed(
    hass: HomeAssistant, entry: MockConfigEntry, folder: Path, file: str
) -> None:
    """As versions before this one have left them."""
    data: dict[str, object] = {"lines": {}, "dialogs": [], "bindings": []}
    write(folder / file, {"version": 1, "data": data})
    (folder / file).chmod(0o644)
    await set_up(hass, entry)

    assert mode_of(folder / file) == 0o600


async def test_states_of_removed_lines_are_dropped(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A line that is removed is forgotten."""
    await turn(hass, DND, "on")
    await pass_time(hass, freezer, 1)
    assert RECEPTION in hass_storage[FILE]["data"]["lines"]

    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()
    await pass_time(hass, freezer, 1)

    assert RECEPTION not in hass_storage[FILE]["data"]["lines"]


async def test_states_of_lines_removed_while_away_are_dropped(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """They do not stay in the file for ever."""
    store(hass_storage, {"gone": {}, RECEPTION: {"DoNotDisturb": {"status": True}}})
    await set_up(hass, entry)
    await pass_time(hass, freezer, 1)

    assert set(hass_storage[FILE]["data"]["lines"]) == {"reception", "workshop"}
    assert stored(hass_storage)["DoNotDisturb"]["status"] is True
