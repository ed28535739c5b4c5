"""How many lines there can be: Home Assistant takes so many entities, and no more."""

from collections.abc import Iterator
from unittest.mock import patch

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.entity_platform import MAX_ENABLED_ENTITIES_PER_CONFIG_ENTRY
import pytest

from custom_components.dfks.capacity import MAX_ENTITIES, entities_of
from custom_components.dfks.const import DOMAIN, FEATURE_KEYS, LineOption
from custom_components.dfks.features.model import Feature
from custom_components.dfks.settings import line_parts
from tests.phone import Phone

from .common import (
    ALL_FEATURES,
    DND,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    complaints,
    line_data,
    listener_entry,
    reception_form,
    runtime,
    set_up,
)
from .forms import add_gate, submit

# Those of the lines Reception and Workshop, with all features.
BOTH = 28


@pytest.fixture
def limit(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let Home Assistant take fewer entities than it does."""
    limit: int = request.param
    with patch("custom_components.dfks.capacity.MAX_ENTITIES", limit):
        yield limit


def another(user: str, features: list[str] = ALL_FEATURES) -> ConfigSubentry:
    """Return one more line."""
    data = {**RECEPTION_DATA, "user": user, "features": features}
    return ConfigSubentry(
        subentry_id=f"line{user}",
        subentry_type="line",
        title=f"Line {user}",
        unique_id=user,
        data=data,  # type: ignore[arg-type]
    )


def left_out(hass: HomeAssistant) -> str | None:
    """Return which lines are not served, by the repair issue."""
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "too_many_lines")
    if issue is None:
        return None
    assert (issue.learn_more_url or "").endswith("entities.md#known-limitations")
    return (issue.translation_placeholders or {})["lines"]


def enabled(hass: HomeAssistant, entry: MockConfigEntry) -> int:
    """Return how many enabled entities the listener has."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    return sum(entity.disabled_by is None for entity in entities)


async def test_the_limit_is_home_assistants() -> None:
    """It is no part of what Home Assistant promises, so it is a number of ours."""
    assert MAX_ENTITIES == MAX_ENABLED_ENTITIES_PER_CONFIG_ENTRY


@pytest.mark.parametrize(
    "features",
    [*([feature] for feature in Feature), list(Feature)],
    ids=lambda features: str(len(features)),
)
async def test_a_line_brings_as_many_entities_as_are_counted(
    hass: HomeAssistant, port: int, features: list[Feature]
) -> None:
    """With each feature, and with all."""
    keys = [FEATURE_KEYS[feature] for feature in features]
    data = {**RECEPTION_DATA, "features": keys}
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
    await set_up(hass, entry)

    assert enabled(hass, entry) == entities_of((LineOption.PHONES, *features))


async def test_calls_that_are_seen_bring_as_many_as_are_counted(
    hass: HomeAssistant, port: int
) -> None:
    """They are entities like others."""
    data = {**RECEPTION_DATA, "see_calls": True}
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
    await set_up(hass, entry)

    assert enabled(hass, entry) == entities_of(line_parts(data))
    assert enabled(hass, entry) == entities_of(line_parts(RECEPTION_DATA)) + 2


class TestForm:
    """The form of a line."""

    async def add(
        self, hass: HomeAssistant, entry: MockConfigEntry, **changes: object
    ) -> dict[str, str] | None:
        """Fill the form of a new line; return what is wrong."""
        result = await add_gate(hass, entry, **changes)
        return result.get("errors")

    @pytest.mark.parametrize("limit", [BOTH + 14], indirect=True)
    async def test_takes_a_line_for_which_there_is_room(
        self, hass: HomeAssistant, entry: MockConfigEntry, limit: int
    ) -> None:
        """To the last entity."""
        await set_up(hass, entry)
        assert await self.add(hass, entry) is None
        assert enabled(hass, entry) == limit

    @pytest.mark.parametrize("limit", [BOTH + 13], indirect=True)
    async def test_refuses_a_line_for_which_there_is_none(
        self, hass: HomeAssistant, entry: MockConfigEntry, limit: int
    ) -> None:
        """One with fewer features may still fit."""
        await set_up(hass, entry)
        assert await self.add(hass, entry) == {"base": "too_many_entities"}
        assert "203" not in [line.user for line in runtime(entry).sync.lines.values()]

        assert await self.add(hass, entry, features=["do_not_disturb"]) is None

    @pytest.mark.parametrize("limit", [BOTH + 13], indirect=True)
    async def test_counts_enabled_entities(
        self, hass: HomeAssistant, entry: MockConfigEntry, limit: int
    ) -> None:
        """Those that are disabled make room."""
        await set_up(hass, entry)
        er.async_get(hass).async_update_entity(
            DND, disabled_by=er.RegistryEntryDisabler.USER
        )
        assert await self.add(hass, entry) is None

    @pytest.mark.parametrize(
        ("limit", "error"), [(14, True), (15, False)], indirect=["limit"]
    )
    async def test_refuses_more_features_for_which_there_is_no_room(
        self, hass: HomeAssistant, port: int, limit: int, error: bool
    ) -> None:
        """What the line has already counts once."""
        features = [key for key in ALL_FEATURES if key != "do_not_disturb"]
        data = {**RECEPTION_DATA, "features": features}
        entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
        await set_up(hass, entry)
        with patch("custom_components.dfks.capacity.MAX_ENTITIES", limit - 1):
            shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
            result = await submit(hass, shown, reception_form())
        expected = {"base": "too_many_entities"} if error else None
        assert result.get("errors") == expected


class TestByThemselves:
    """Lines that do not come by the form."""

    @pytest.mark.parametrize("limit", [BOTH + 14], indirect=True)
    async def test_are_left_out_as_a_whole(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        limit: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Though they come in one turn; log and repairs name them."""
        await set_up(hass, entry)
        for user in ("203", "204", "205"):
            hass.config_entries.async_add_subentry(entry, another(user))
        await hass.async_block_till_done()

        assert list(runtime(entry).sync.lines) == ["reception", "workshop", "line203"]
        assert enabled(hass, entry) == BOTH + 14
        assert left_out(hass) == "Line 204, Line 205"
        assert complaints(caplog)[-1].endswith("Line 204, Line 205")

    @pytest.mark.parametrize("limit", [BOTH], indirect=True)
    async def test_are_served_when_there_is_room(
        self, hass: HomeAssistant, entry: MockConfigEntry, limit: int
    ) -> None:
        """After another line was removed."""
        await set_up(hass, entry)
        hass.config_entries.async_add_subentry(entry, another("203"))
        await hass.async_block_till_done()
        hass.config_entries.async_remove_subentry(entry, RECEPTION)
        await hass.async_block_till_done()
        # The registry has let the removed entities go by the next change.
        runtime(entry).async_update_lines()
        await hass.async_block_till_done()

        assert list(runtime(entry).sync.lines) == ["workshop", "line203"]
        assert left_out(hass) is None

    @pytest.mark.parametrize("limit", [BOTH - 1], indirect=True)
    async def test_are_left_out_at_the_start_too(
        self, hass: HomeAssistant, entry: MockConfigEntry, limit: int
    ) -> None:
        """And lines that have their entities are not, however many there are."""
        await set_up(hass, entry)
        assert left_out(hass) == "Workshop"
        await hass.config_entries.async_unload(entry.entry_id)
        with patch("custom_components.dfks.capacity.MAX_ENTITIES", 1):
            await hass.config_entries.async_setup(entry.entry_id)

            assert list(runtime(entry).sync.lines) == [RECEPTION]


async def test_two_hundred_lines_start_in_good_order(
    hass: HomeAssistant, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All entities are there, phones are answered, and nobody complains."""
    lines = [
        line_data(
            f"line{number}", f"Line {number}", {**RECEPTION_DATA, "user": str(number)}
        )
        for number in range(200)
    ]
    entry = listener_entry(port, lines)
    await set_up(hass, entry)

    assert enabled(hass, entry) == 200 * 14
    assert complaints(caplog) == []
    async with Phone("199", RECEPTION_DATA["password"], (LOCALHOST, port)) as phone:
        assert (await phone.subscribe()).status == 200
        assert len((await phone.notification()).features) == 4
