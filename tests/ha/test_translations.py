"""The other languages say what the English texts say."""

import json
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.translation import async_get_translations
import pytest

from custom_components.dfks.const import DOMAIN, FEATURE_KEYS

from .common import RECEPTION, MockConfigEntry, set_up
from .test_files import ENGLISH, INTEGRATION, texts

TRANSLATIONS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in (INTEGRATION / "translations").glob("*.json")
}
LANGUAGES = ("de", "es", "fr", "it", "nl")
ENGLISH_TEXTS = dict(texts(ENGLISH))

# The words that are the same in each language, and those that are in some.
EVERYWHERE = {"Home Assistant", "Path", "Realm", "TLS"}
AS_IN_ENGLISH = {
    "de": {"Name", "Port", "Status", "Timer"},
    "es": {"Scripts"},
    "fr": {"Notifications", "Port", "Scripts"},
    "it": {"Area", "Password", "Timer", "User agent"},
    "nl": {"Claim", "Scripts", "Status", "Timer"},
}

# The switch that is in each phone's menu.
DO_NOT_DISTURB = {
    "de": "Nicht stören",
    "es": "No molestar",
    "fr": "Ne pas déranger",
    "it": "Non disturbare",
    "nl": "Niet storen",
}

# What is no language and stays as it is: placeholders, the targets of links, code,
# the names of scripts, features, fields and files, addresses and numbers.
FIXED = re.compile(
    r"{\w+}|\]\([^)]*\)|`[^`]+`|\bscript\.\w+|\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b"
    r"|\b[a-z]+[A-Z]\w+|/ssl/\w+\.pem|\d+(?:[.:/]+\w+)*"
)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """Return each language but English."""
    code: str = request.param
    return code


@pytest.fixture
def translated(language: str) -> dict[str, str]:
    """Return the texts of the language by the paths of their keys."""
    return dict(texts(TRANSLATIONS[language]))


def fixed(text: str) -> set[str]:
    """Return what of a text is the same in each language."""
    return set(FIXED.findall(text))


def test_there_are_six_languages() -> None:
    """All of them known to these tests."""
    assert set(TRANSLATIONS) == {"en", *LANGUAGES}


class TestTexts:
    """What is in the files."""

    def test_none_is_missing_or_left_over(self, translated: dict[str, str]) -> None:
        """Home Assistant shows the English text in place of a missing one."""
        assert translated.keys() == ENGLISH_TEXTS.keys()

    def test_none_is_empty(self, translated: dict[str, str]) -> None:
        """Nor begins or ends with white space."""
        assert [path for path, text in translated.items() if not text.strip()] == []
        assert [path for path, text in translated.items() if text != text.strip()] == []

    def test_placeholders_links_and_code_stay(self, translated: dict[str, str]) -> None:
        """Home Assistant drops a text whose placeholders are not the English ones."""
        english = {path: fixed(ENGLISH_TEXTS[path]) for path in translated}
        assert {path: fixed(text) for path, text in translated.items()} == english

    def test_no_apostrophe_meets_a_brace(self, translated: dict[str, str]) -> None:
        """To Home Assistant's web pages, that is text and no placeholder."""
        assert [text for text in translated.values() if "'{" in text] == []

    def test_none_is_left_in_english(
        self, language: str, translated: dict[str, str]
    ) -> None:
        """Other than words that are the same."""
        same = {
            text for path, text in translated.items() if text == ENGLISH_TEXTS[path]
        }
        assert same <= EVERYWHERE | AS_IN_ENGLISH[language]

    @pytest.mark.parametrize("feature", FEATURE_KEYS.values())
    def test_a_feature_has_one_name(
        self, translated: dict[str, str], feature: str
    ) -> None:
        """In the form, at the switch and in the event."""
        name = translated[f"entity.switch.{feature}.name"]
        event = "entity.event.feature_change.state_attributes"
        assert translated[f"selector.features.options.{feature}"] == name
        assert translated[f"{event}.feature.state.{feature}"] == name
        assert translated[f"{event}.event_type.state.{feature}_on"].startswith(name)


def test_french_signs_keep_their_distance() -> None:
    """By a space at which no line breaks, as in Home Assistant's own texts."""
    loose = re.compile(r"(?<!@ )(?<!\u00a0)(?:[;?!»]|(?<!:):)(?=\s|$)|« |«(?!\u00a0)")
    french = dict(texts(TRANSLATIONS["fr"]))
    assert [text for text in french.values() if loose.search(text)] == []


class TestHomeAssistant:
    """What Home Assistant makes of the files."""

    async def test_takes_every_text(
        self, hass: HomeAssistant, language: str, translated: dict[str, str]
    ) -> None:
        """None is dropped or replaced by the English one."""
        loaded: dict[str, str] = {}
        for category in ENGLISH:
            loaded |= await async_get_translations(hass, language, category, [DOMAIN])
        assert loaded == {
            f"component.{DOMAIN}.{path}": text for path, text in translated.items()
        }

    async def test_names_the_entities_of_a_line(
        self, hass: HomeAssistant, entry: MockConfigEntry, language: str
    ) -> None:
        """In the language it is set to."""
        hass.config.language = language
        await set_up(hass, entry)

        names = {
            registered.original_name
            for registered in er.async_entries_for_config_entry(
                er.async_get(hass), entry.entry_id
            )
            if registered.config_subentry_id == RECEPTION
        }
        assert DO_NOT_DISTURB[language] in names
        own = {
            text
            for path, text in texts(TRANSLATIONS[language]["entity"])
            if path.count(".") == 2
        }
        assert names <= own
