"""The dashboard strategy: its file, its texts, and how Home Assistant's page gets it.

What it makes of lines is tried in a browser, by scripts/e2e.
"""

from hashlib import sha256
import json
from pathlib import Path
import re
from unittest.mock import Mock, patch

from homeassistant.components.frontend import DATA_EXTRA_MODULE_URL, UrlManager
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator  # type: ignore[import-untyped]

from custom_components.dfks.const import FEATURE_KEYS
from custom_components.dfks.frontend import _PATH

from .common import ALWAYS, ALWAYS_TARGET, DND, MockConfigEntry, set_up, write_text
from .test_translations import TRANSLATIONS

MODULE = _PATH.read_text()
TEXTS: dict[str, dict[str, str]] = json.loads(
    re.findall(r"^const TEXTS = (\{.*?^\});$", MODULE, re.MULTILINE | re.DOTALL)[0]
)

# Every user's page loads the module, whatever it shows.
MAX_OCTETS = 20_000

# Characters that a tile has room for on a mobile phone.
MAX_NAME = 16


@pytest.fixture
def told(hass: HomeAssistant) -> Mock:
    """Return what tells Home Assistant's page of modules, where there is a page."""
    page = Mock()
    hass.data[DATA_EXTRA_MODULE_URL] = UrlManager(page, [])
    hass.config.components.add("frontend")
    return page


def modules(hass: HomeAssistant) -> list[str]:
    """Return the modules that a page imports at its start."""
    return sorted(hass.data[DATA_EXTRA_MODULE_URL].urls)


class TestTexts:
    """The texts of the strategy, which are not those of Home Assistant."""

    def test_are_there_in_all_languages(self) -> None:
        """Those of the integration's other texts."""
        assert TEXTS.keys() == TRANSLATIONS.keys()

    @pytest.mark.parametrize("language", TRANSLATIONS)
    def test_none_is_missing_or_empty(self, language: str) -> None:
        """In any language."""
        assert TEXTS[language].keys() == TEXTS["en"].keys()
        assert all(text and text == text.strip() for text in TEXTS[language].values())

    @pytest.mark.parametrize("language", sorted(TRANSLATIONS.keys() - {"en"}))
    def test_none_is_left_in_english(self, language: str) -> None:
        """None of these words is the same anywhere."""
        assert not set(TEXTS[language].values()) & set(TEXTS["en"].values())

    @pytest.mark.parametrize("language", TRANSLATIONS)
    def test_names_of_tiles_are_not_cut(self, language: str) -> None:
        """Half a mobile phone wide, and no two of them alike."""
        names = [TEXTS[language][key] for key in FEATURE_KEYS.values()]
        assert max(map(len, names)) <= MAX_NAME
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("language", TRANSLATIONS)
    def test_do_not_disturb_has_one_name(self, language: str) -> None:
        """That of the switch."""
        name = TRANSLATIONS[language]["entity"]["switch"]["do_not_disturb"]["name"]
        assert TEXTS[language]["do_not_disturb"] == name

    def test_each_is_used(self) -> None:
        """Or is the name of a feature."""
        code = MODULE.split("\n};\n", 1)[1]
        unused = {key for key in TEXTS["en"] if f".{key}" not in code}
        assert unused == set(FEATURE_KEYS.values())


class TestModule:
    """The file."""

    def test_is_small(self) -> None:
        """So that no page is slower by it."""
        assert len(MODULE.encode()) < MAX_OCTETS

    async def test_keys_are_those_of_the_entities(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """All that it looks for by translation key is there."""
        await set_up(hass, entry)
        entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        there = {entity.translation_key for entity in entities}
        for suffix in ("", "_until"):
            assert {f"{key}{suffix}" for key in FEATURE_KEYS.values()} <= there
        named = set(re.findall(r'"((?:call|phone|sync|feature|do)_[a-z_]+)"', MODULE))
        assert named - {"forward_to"} <= there | TEXTS["en"].keys()
        assert "call_forwarding_always_target" in there

    async def test_is_served(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        told: Mock,
        hass_client_no_auth: ClientSessionGenerator,
    ) -> None:
        """To anybody, as Home Assistant's own modules, and for a month."""
        await set_up(hass, entry)
        client = await hass_client_no_auth()
        (url,) = modules(hass)
        response = await client.get(url)

        assert response.status == 200
        assert "javascript" in response.headers["Content-Type"]
        assert "max-age" in response.headers["Cache-Control"]
        assert await response.text() == MODULE


class TestPage:
    """What Home Assistant's page is told."""

    async def test_imports_the_module_once(
        self, hass: HomeAssistant, entry: MockConfigEntry, told: Mock
    ) -> None:
        """Also when the listener has been started anew."""
        await set_up(hass, entry)
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()

        (url,) = modules(hass)
        told.assert_called_once_with("added", url)

    async def test_keeps_the_module_while_the_listener_is_off(
        self, hass: HomeAssistant, entry: MockConfigEntry, told: Mock
    ) -> None:
        """A dashboard without it would show an error."""
        await set_up(hass, entry)
        await hass.config_entries.async_unload(entry.entry_id)

        assert len(modules(hass)) == 1

    async def test_imports_it_no_more_after_removal(
        self, hass: HomeAssistant, entry: MockConfigEntry, told: Mock
    ) -> None:
        """Until the integration is added anew."""
        await set_up(hass, entry)
        await hass.config_entries.async_remove(entry.entry_id)

        assert modules(hass) == []
        assert told.call_args.args[0] == "removed"

    async def test_other_content_has_another_address(
        self, hass: HomeAssistant, entry: MockConfigEntry, told: Mock, tmp_path: Path
    ) -> None:
        """Or browsers would keep the old one."""
        path = tmp_path / "dfks.js"
        path.write_text("// something else")
        with patch("custom_components.dfks.frontend._PATH", path):
            await set_up(hass, entry)
        (other,) = modules(hass)

        assert re.fullmatch(r"/dfks/dfks\.js\?v=[0-9a-f]{8}", other)
        assert sha256(MODULE.encode()).hexdigest()[:8] not in other

    async def test_there_may_be_none(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """A Home Assistant without a page has lines all the same."""
        await set_up(hass, entry)
        assert DATA_EXTRA_MODULE_URL not in hass.data
        assert await hass.config_entries.async_remove(entry.entry_id)

    async def test_entry_that_was_never_set_up_can_be_removed(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """There is nothing to take back."""
        entry.add_to_hass(hass)
        assert await hass.config_entries.async_remove(entry.entry_id)


class TestTarget:
    """Where calls go, at the switch of a forwarding."""

    async def test_is_an_attribute_of_the_switch(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """And changes with it."""
        await set_up(hass, entry)
        await write_text(hass, ALWAYS_TARGET, "2424")
        state = hass.states.get(ALWAYS)

        assert state is not None
        assert state.attributes["forward_to"] == "2424"
        assert state.state_info is not None
        assert "forward_to" in state.state_info["unrecorded_attributes"]

    async def test_is_none_where_there_is_none(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """So that a tile shows nothing but the state."""
        await set_up(hass, entry)
        forwarding, quiet = hass.states.get(ALWAYS), hass.states.get(DND)

        assert forwarding is not None
        assert forwarding.attributes["forward_to"] is None
        assert quiet is not None
        assert "forward_to" not in quiet.attributes
