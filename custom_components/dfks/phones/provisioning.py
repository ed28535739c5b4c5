"""What to type into a phone, so that it finds its line here."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
import secrets
from typing import Any, Final

from homeassistant.components import network, webhook
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import (
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_WEBHOOK_ID,
    SERVER_PORT,
)
from homeassistant.core import HomeAssistant

from ..const import (
    CALLS_URL,
    CONF_ADVERTISED_HOST,
    CONF_ADVERTISED_PORT,
    CONF_PBX,
    CONF_TLS,
    CONF_TREAT_CALLS,
    CONF_USER,
    CONF_VENDOR,
    PBX_URL,
    PHONES_URL,
)
from ..settings import is_reported, line_auth_name
from ..sip import bracketed, split_hosts
from ..texts import CommonTexts, async_viewer_texts
from .vendors import OTHER, WEBHOOK, ConfigurationFile, Scope, Settings, Vendor, vendor

# What nobody takes for something else, on a screen or a keypad: no capitals, and
# neither b and 6, g, q and 9, i, j, l and 1, o and 0, s and 5, v, z and 2, nor 8.
# With 16 of these 19 characters there are 2^67 passwords, too many for whoever has
# recorded a login; longer ones are cut by some phones.
PASSWORD_CHARACTERS: Final = "acdefhkmnprtuwxy347"
PASSWORD_LENGTH: Final = 16


def propose_password() -> str:
    """Return a new password that is strong and can be typed without doubt."""
    return "".join(secrets.choice(PASSWORD_CHARACTERS) for _ in range(PASSWORD_LENGTH))


async def async_phone_settings(
    hass: HomeAssistant, entry: ConfigEntry, line: Mapping[str, Any]
) -> dict[str, str]:
    """Return the words of the text that says what to type into a line's phone.

    They are Markdown and contain the password, where the line has one: they are shown
    and nothing else. `line` is the data of its subentry. The page translates the text
    around them for who looks at it. Of what depends on the vendor Home Assistant has
    but one text a dialog, which cannot choose its sentences, so they are put together
    here, in the language of whoever looks.
    """
    listener = entry.data
    say = await async_viewer_texts(hass)
    chosen = vendor(line.get(CONF_VENDOR, OTHER))
    settings = _settings(say, chosen.parameters, _list(chosen.pages))
    return {
        "server": ", ".join(map(_code, await _async_addresses(hass, listener))),
        "port": _ports(listener),
        "user": _code(line[CONF_USER]),
        **(
            _at_pbx(say, entry, line, chosen)
            if CONF_PBX in line
            else {
                "auth_name": _code(line_auth_name(line)),
                "password": _code(line[CONF_PASSWORD]),
            }
        ),
        "settings": settings or say("page_no_setting"),
        "advice": "\n\n".join(_advice(say, line, chosen)),
        "phones_url": PHONES_URL,
        **(
            _to_report(say, await _async_webhook(hass, listener, line), chosen)
            if is_reported(line)
            else {}
        ),
    }


def _advice(say: CommonTexts, line: Mapping[str, Any], chosen: Vendor) -> Iterator[str]:
    """Yield what else there is to say of a line's phone, a paragraph each."""
    if chosen.parameters:
        yield _how_to_load(say, chosen.file)
    yield _whether_it_rings(say, line, chosen)
    if CONF_PBX not in line:
        settings = _settings(
            say, chosen.account_parameters, _list(chosen.account_pages)
        )
        yield say(f"page_accounts_{chosen.accounts}", settings=settings)
    if chosen.codes:
        codes = ", ".join(map(_code, chosen.codes))
        yield say("page_codes", codes=codes)


def _how_to_load(say: CommonTexts, file: ConfigurationFile | None) -> str:
    """Return how settings in a file get into the phone."""
    if file is None:
        return say("page_file")
    if file.page:
        text = say("page_file_page", page=_code(file.page))
    elif file.address:
        text = say("page_file_address", address=_code(file.address))
    else:
        text = say("page_file_name", name=_code(file.name))
    if file.first_line:
        text += f" {say('page_file_first_line', line=_code(file.first_line))}"
    return text


def _whether_it_rings(say: CommonTexts, line: Mapping[str, Any], chosen: Vendor) -> str:
    """Return whether the phone rings in spite of do not disturb, and what to do."""
    local = chosen.local
    if line.get(CONF_TREAT_CALLS):
        return say("page_treated")
    if local.keeps_ringing is not None and not local.keeps_ringing:
        return say("page_acts")
    if local.on:
        return say("page_choice", settings=_block(local.on))
    if local.keeps_ringing is None:
        text = say("page_not_documented")
    else:
        text = say("page_server_only")
    if CONF_PBX in line:
        return f"{text} {say('page_treat_calls')}"
    return f"{text} {say('page_go_to_pbx', pbx_url=PBX_URL)}"


async def _async_webhook(
    hass: HomeAssistant, listener: Mapping[str, Any], line: Mapping[str, Any]
) -> str:
    """Return the address that the phones of a line report their calls to.

    Where Home Assistant does not know how it is reached in its own network, it is
    where phones reach the listener.
    """
    base = hass.config.internal_url
    if base is None:
        api = hass.config.api
        port = api.port if api is not None else SERVER_PORT
        scheme = "https" if api is not None and api.use_ssl else "http"
        host = (await _async_addresses(hass, listener))[0]
        base = f"{scheme}://{bracketed(host)}:{port}"
    path = webhook.async_generate_path(line[CONF_WEBHOOK_ID])
    return f"{base.rstrip('/')}{path}"


def _to_report(say: CommonTexts, address: str, chosen: Vendor) -> dict[str, str]:
    """Return the words for a phone that is to report its calls."""
    settings = {
        models: tuple(setting.replace(WEBHOOK, address) for setting in lines)
        for models, lines in chosen.calls.items()
    }
    return {
        "webhook": _code(address),
        "action_urls": _settings(say, settings) or say("page_undocumented"),
        "calls_url": CALLS_URL,
    }


def calls_page(line: Mapping[str, Any], settings: Mapping[str, str]) -> str | None:
    """Return the text that says how phones report calls; None where they do not.

    `settings` are the words of the page.
    """
    if not is_reported(line):
        return None
    # Phones do not trust every certificate.
    return "calls_https" if settings["webhook"].startswith("`https:") else "calls"


def _at_pbx(
    say: CommonTexts, entry: ConfigEntry, line: Mapping[str, Any], chosen: Vendor
) -> dict[str, str]:
    """Return the words for a phone that keeps its account at a PBX."""
    undocumented = say("page_undocumented")
    return {
        "pbx": entry.subentries[line[CONF_PBX]].title,
        "outbound_proxy": _settings(say, chosen.outbound_proxy) or undocumented,
        "second_way": _settings(say, chosen.second_way) or undocumented,
        "pbx_url": PBX_URL,
    }


async def _async_addresses(hass: HomeAssistant, data: Mapping[str, Any]) -> list[str]:
    """Return where phones reach the listener; the addresses of the loopback last."""
    if (advertised := data.get(CONF_ADVERTISED_HOST)) is not None:
        return [advertised]
    hosts = [ip_address(host) for host in split_hosts(data[CONF_HOST])]
    addresses = [host for host in hosts if not host.is_unspecified]
    everywhere = {host.version for host in hosts if host.is_unspecified}
    if everywhere:
        addresses += [
            address
            for address in await network.async_get_enabled_source_ips(hass)
            if address.version in everywhere and not address.is_link_local
        ]
    from_outside = [address for address in addresses if not address.is_loopback]
    # Better the address as it was typed than none.
    return [str(address) for address in from_outside or addresses or hosts]


def _ports(data: Mapping[str, Any]) -> str:
    """Return each port with its transports; their names are the same everywhere."""
    port = data.get(CONF_ADVERTISED_PORT, data[CONF_PORT])
    ports = f"{_code(str(port))} (UDP, TCP)"
    if CONF_TLS in data:
        ports += f", {_code(str(data[CONF_TLS][CONF_PORT]))} (TLS)"
    return ports


def _code(text: str) -> str:
    """Return the text as code of Markdown, in which nothing has a meaning.

    What is longer than any run of backticks in it ends it, and one space is taken off
    both ends (CommonMark section 6.1).
    """
    fence = "`"
    while fence in text:
        fence += "`"
    space = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{space}{text}{space}{fence}"


def _list(settings: Iterable[str]) -> str:
    return "\n".join(f"- {_code(setting)}" for setting in settings)


def _settings(say: CommonTexts, settings: Settings, first: str = "") -> str:
    """Return settings under the models that have them; empty where there are none."""
    blocks = [first] if first else []
    for models, lines in settings.items():
        if isinstance(models, Scope):
            title = say(f"page_scope_{models.name.lower()}")
        else:
            title = models
        blocks.append(f"{title}:\n{_block(lines)}" if title else _block(lines))
    return "\n\n".join(blocks)


def _block(settings: Iterable[str]) -> str:
    """Return settings to be copied together; empty where there are none."""
    lines = "\n".join(settings)
    return f"```\n{lines}\n```" if lines else ""
