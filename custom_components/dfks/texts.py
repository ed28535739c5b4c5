"""Texts in Home Assistant's language, for what is put into others as it stands."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN


@callback
def text_of(hass: HomeAssistant, category: str, key: str, **words: str) -> str:
    """Return a text of a category, with words in its open places."""
    texts = async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
    return texts.get(f"component.{DOMAIN}.{category}.{key}", "").format(**words)


@callback
def common_text(hass: HomeAssistant, key: str, **words: str) -> str:
    """Return a text of the category `common`, with words in its open places."""
    return text_of(hass, "common", key, **words)
