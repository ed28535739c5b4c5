"""Serves the dashboard strategy to Home Assistant's web page.

The page imports the module at its start and registers what it defines; a dashboard of
the type `custom:dfks` is made by it. It stays as long as the entry is there, loaded or
not: a dashboard without its strategy would show nothing but an error.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from homeassistant.components.frontend import (
    DOMAIN as FRONTEND_DOMAIN,
    add_extra_js_url,
    remove_extra_js_url,
)
from homeassistant.components.http import StaticPathConfig
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN

_PATH: Final = Path(__file__).with_name("dfks.js")
_URL: Final = f"/{DOMAIN}/dfks.js"


class StrategyModule:
    """The address of the module, and whether the page has been told of it."""

    def __init__(self) -> None:
        """Serve nothing yet."""
        self._url: str | None = None
        self._is_wanted = False
        self._is_added = False

    @callback
    def async_served(self, hass: HomeAssistant, url: str) -> None:
        """Take the address at which the module is served from now on."""
        self._url = url
        self._async_add(hass)

    @callback
    def async_want(self, hass: HomeAssistant) -> None:
        """Have the page import the module as soon as it is served."""
        self._is_wanted = True
        self._async_add(hass)

    @callback
    def _async_add(self, hass: HomeAssistant) -> None:
        """Tell the page, if there is one; once is enough."""
        if (
            self._is_wanted
            and self._url is not None
            and not self._is_added
            and FRONTEND_DOMAIN in hass.config.components
        ):
            add_extra_js_url(hass, self._url)
            self._is_added = True

    @callback
    def async_remove(self, hass: HomeAssistant) -> None:
        """Have the page import the module no longer."""
        self._is_wanted = False
        if self._is_added and self._url is not None:
            remove_extra_js_url(hass, self._url)
            self._is_added = False


_MODULE: Final[HassKey[StrategyModule]] = HassKey(f"{DOMAIN}_strategy_module")


@callback
def async_setup_strategy(hass: HomeAssistant) -> None:
    """Serve the module, once in the life of Home Assistant's web server.

    In the background: phones do not wait for what a page shows.
    """
    module = hass.data[_MODULE] = StrategyModule()
    hass.async_create_background_task(
        _async_serve(hass, module), "dfks serve dashboard strategy"
    )


async def _async_serve(hass: HomeAssistant, module: StrategyModule) -> None:
    # Browsers keep it for a month: each other content needs another address.
    content = await hass.async_add_executor_job(_PATH.read_bytes)
    version = sha256(content).hexdigest()[:8]
    await hass.http.async_register_static_paths(
        [StaticPathConfig(_URL, str(_PATH), cache_headers=True)]
    )
    module.async_served(hass, f"{_URL}?v={version}")


@callback
def async_add_strategy(hass: HomeAssistant) -> None:
    """Have Home Assistant's page import the module."""
    hass.data[_MODULE].async_want(hass)


@callback
def async_remove_strategy(hass: HomeAssistant) -> None:
    """Have Home Assistant's page import the module no longer."""
    # An entry may be removed that was never set up.
    if (module := hass.data.get(_MODULE)) is not None:
        module.async_remove(hass)
