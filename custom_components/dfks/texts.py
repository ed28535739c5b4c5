"""Texts of the integration that are put into others as they stand.

Home Assistant's page translates most texts for whoever looks at it. Those in here are
put together by Home Assistant: names that are stored and what Activity says are in its
own language, and what a dialog shows is in that of whoever has opened it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from homeassistant.components.frontend.storage import async_user_store
from homeassistant.components.http import KEY_HASS_USER, current_request
from homeassistant.core import HomeAssistant, callback
from homeassistant.generated.languages import LANGUAGES
from homeassistant.helpers.translation import (
    async_get_cached_translations,
    async_get_translations,
)

from .const import DOMAIN


@callback
def text_of(hass: HomeAssistant, category: str, key: str, **words: str) -> str:
    """Return a text of a category in Home Assistant's language, with words in it."""
    texts = async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
    return texts.get(f"component.{DOMAIN}.{category}.{key}", "").format(**words)


@callback
def common_text(hass: HomeAssistant, key: str, **words: str) -> str:
    """Return a text of the category `common` in Home Assistant's language."""
    return text_of(hass, "common", key, **words)


@dataclass(frozen=True, slots=True)
class CommonTexts:
    """The texts of the category `common` in one language."""

    texts: Mapping[str, str]

    def __call__(self, key: str, **words: str) -> str:
        """Return a text, with words in its open places."""
        return self.texts[f"component.{DOMAIN}.common.{key}"].format(**words)


async def async_viewer_texts(hass: HomeAssistant) -> CommonTexts:
    """Return the texts in the language of whoever sent the request that is answered."""
    language = await _async_viewer_language(hass)
    return CommonTexts(await async_get_translations(hass, language, "common", {DOMAIN}))


async def _async_viewer_language(hass: HomeAssistant) -> str:
    """Return the language that the page has for whoever sent the current request.

    The page takes the language of the user's profile, else the first of the browser's
    that it knows. Home Assistant's own language is for what nobody has asked for.
    """
    if (request := current_request.get()) is None:
        return hass.config.language
    if (user := request.get(KEY_HASS_USER)) is not None:
        store = await async_user_store(hass, user.id)
        profile: Mapping[str, Any] = store.data.get("language") or {}
        if chosen := profile.get("language"):
            return _known(chosen) or chosen
    for wanted in _accepted(request.headers.get("Accept-Language", "")):
        if (known := _known(wanted)) is not None:
            return known
    return hass.config.language


def _accepted(header: str) -> Iterator[str]:
    """Yield the languages of Accept-Language, those that are liked best first."""
    weighed = []
    for item in header.split(","):
        language, _, parameter = item.partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            weighed.append((float(weight or 1), language.strip()))
        except ValueError:
            continue
    weighed.sort(key=lambda pair: -pair[0])
    return (language for _, language in weighed)


def _known(language: str) -> str | None:
    """Return the language, or what it is a region of, if Home Assistant has it."""
    if language in LANGUAGES:
        return language
    general = language.partition("-")[0]
    return general if general in LANGUAGES else None
