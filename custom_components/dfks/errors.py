"""How a user is told that a change was refused."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN
from .features.model import ChangeRefused, Refusal


def invalid(key: str, **words: str) -> ServiceValidationError:
    """Return the error to raise for a wish that cannot be; `key` is its message's."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key=key,
        translation_placeholders=words,
    )


@callback
def in_words(hass: HomeAssistant, error: HomeAssistantError) -> str:
    """Return the message of an error of ours, to be put into another text.

    It is in Home Assistant's language; that of `str` is English.
    """
    texts = async_get_cached_translations(
        hass, hass.config.language, "exceptions", DOMAIN
    )
    key = f"component.{DOMAIN}.exceptions.{error.translation_key}.message"
    if (text := texts.get(key)) is None:
        return str(error)
    return text.rstrip(".").format(**(error.translation_placeholders or {}))


def refused(err: ChangeRefused, line: str, feature: str) -> HomeAssistantError:
    """Return the error to raise for a refused change; line and feature as users know them.

    A veto is an answer to the user, and so is that a target is missing. All else is a
    fault that somebody has to mend.
    """
    if err.refusal is Refusal.TARGET_MISSING:
        return invalid("target_missing", line=line, feature=feature)
    if err.refusal is not Refusal.VETO:
        return HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key=err.refusal.value,
            translation_placeholders={"line": line, "reason": err.reason},
        )
    if not err.reason:
        return invalid("change_refused_without_reason", line=line)
    return invalid("change_refused", line=line, reason=err.reason)
