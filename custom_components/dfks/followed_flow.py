"""The forms of lines at a PBX that synchronizes keys: one line, or a list of them.

Nothing is stored before the PBX has told the state of each line, so that what is wrong
is said where it can be mended. A line that registers may throw a phone out where the
PBX keeps one Contact a line: that is looked for before and after.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigSubentry,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_HOST, CONF_NAME, CONF_PASSWORD
import voluptuous as vol

from .capacity import async_has_room
from .const import (
    CONF_AUTH_NAME,
    CONF_FINGERPRINT,
    CONF_PHONE_PASSWORD,
    CONF_REGISTER,
    CONF_SERVE,
    CONF_TRANSPORT,
    CONF_USER,
    FOLLOW_URL,
    SUBENTRY_TYPE_FOLLOWED,
)
from .followed.form import (
    CONF_LINES,
    DEFAULTS,
    SECTIONS,
    WantedLine,
    followed_schema,
    read_form,
    unique_id_of,
)
from .followed.trial import Trial, TrialResult
from .forms import (
    Errors,
    Words,
    async_is_ourselves,
    errors_in_sections,
    filled,
    in_sections,
    without_sections,
)
from .listener import DfksListener, running_listener
from .pbx.certificates import async_prepare_tls
from .phones.provisioning import async_phone_settings, calls_page
from .settings import (
    followed_parts,
    followed_subentries,
    is_reported,
    line_in_the_way,
    line_subentries,
    subscriber_config,
)
from .sip import Contacts, SubscriptionStatus

# Lines that are tried at a time, and the seconds in which those of a list are: what is
# not tried by then counts as not answered. So do all that come after as many without an
# answer.
AT_A_TIME: Final = 10
MAX_SECONDS: Final = 120.0

# What a PBX's answer means to a user: the field and the message, by status.
_PROBLEMS: Final = {
    SubscriptionStatus.WAITING: ("base", "pbx_no_answer"),
    SubscriptionStatus.UNREACHABLE: ("base", "pbx_no_answer"),
    SubscriptionStatus.REFUSED: ("base", "pbx_refused"),
    SubscriptionStatus.NOT_SUPPORTED: ("base", "pbx_not_supported"),
    SubscriptionStatus.WRONG_PASSWORD: (CONF_PASSWORD, "pbx_wrong_password"),
    SubscriptionStatus.CANNOT_LOG_IN: ("base", "pbx_cannot_log_in"),
}
_ANSWERS: Final = {403: "pbx_forbidden", 404: "pbx_not_found"}

# What stands for an answer where there is none, in the list of lines.
_CODES: Final = {
    SubscriptionStatus.WRONG_PASSWORD: 401,
    SubscriptionStatus.CANNOT_LOG_IN: 401,
}
_NO_ANSWER: Final = 408

# What there is to say of a line that the PBX does not answer, and of one that nothing is
# wrong with.
_UNANSWERED: Final = TrialResult(SubscriptionStatus.UNREACHABLE)
_ACCEPTED: Final = TrialResult(SubscriptionStatus.ACTIVE)


class FollowedLineSubentryFlow(ConfigSubentryFlow):
    """Adds and reconfigures lines at a PBX that synchronizes keys."""

    # What is to be stored once it is confirmed that a registration may come between.
    _wanted: Sequence[WantedLine] = ()
    _contacts: Sequence[Contacts] = ()
    _step_id = "one"
    _input: Mapping[str, Any] = MappingProxyType({})

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Offer to add one line or several."""
        if self._listener() is None:
            return self.async_abort(reason="not_loaded")
        return self.async_show_menu(step_id="user", menu_options=["one", "several"])

    async def async_step_one(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add a line."""
        return await self._async_form("one", user_input)

    async def async_step_several(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add the lines of a pasted list."""
        return await self._async_form("several", user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Change a line."""
        if self._listener() is None:
            return self.async_abort(reason="not_loaded")
        return await self._async_form("reconfigure", user_input)

    async def async_step_register(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Warn of phones that are registered already, and go on if that is wanted."""
        if user_input is not None:
            return await self._async_try()
        found = [
            f"{wanted.name}: {len(contacts)}"
            for wanted, contacts in zip(self._wanted, self._contacts, strict=True)
            if contacts
        ]
        return self.async_show_form(
            step_id="register",
            data_schema=filled(self, vol.Schema({}), {}),
            description_placeholders={
                "lines": ", ".join(found),
                "follow_url": FOLLOW_URL,
            },
        )

    # The form

    async def _async_form(
        self, step_id: str, user_input: Mapping[str, Any] | None
    ) -> SubentryFlowResult:
        if user_input is None:
            return self._show(step_id, self._stored_values(), {}, {})
        self._step_id, self._input = step_id, user_input
        before = self._stored_fields()
        fields = without_sections(user_input, SECTIONS, before)
        wanted, errors, words = read_form(fields, before)
        if not errors and await async_is_ourselves(
            self.hass, self._get_entry(), *subscriber_config("", wanted[0].data).way[:3]
        ):
            errors = {CONF_HOST: "pbx_is_home_assistant"}
        if not errors:
            errors, words = self._cannot_come(wanted)
        if errors:
            return self._show(step_id, user_input, errors, words)
        self._wanted = wanted
        await async_prepare_tls(self.hass, (wanted[0].data[CONF_TRANSPORT],))
        if wanted[0].data[CONF_REGISTER] and not self._registers_already(wanted[0]):
            found = await self._async_contacts()
            errors, words = self._problems(
                [item if isinstance(item, TrialResult) else _ACCEPTED for item in found]
            )
            if errors:
                return self._show(step_id, user_input, errors, words)
            self._contacts = [
                item for item in found if not isinstance(item, TrialResult)
            ]
            if any(self._contacts):
                return await self.async_step_register()
        else:
            self._contacts = [None] * len(wanted)
        return await self._async_try()

    def _show(
        self, step_id: str, values: Mapping[str, Any], errors: Errors, words: Words
    ) -> SubentryFlowResult:
        errors = errors_in_sections(errors, SECTIONS)
        return self.async_show_form(
            step_id=step_id,
            data_schema=filled(self, followed_schema(step_id, errors), values),
            errors=errors,
            description_placeholders={"follow_url": FOLLOW_URL, **words},
        )

    def _stored(self) -> ConfigSubentry | None:
        """Return the line that is reconfigured."""
        return (
            self._get_reconfigure_subentry()
            if self.source == SOURCE_RECONFIGURE
            else None
        )

    def _stored_values(self) -> dict[str, Any]:
        """Return what the form opens with; the password need not be typed again."""
        values = self._stored_fields()
        if (stored := self._stored()) is not None:
            values[CONF_NAME] = stored.title
            del values[CONF_PASSWORD]
            values.pop(CONF_PHONE_PASSWORD, None)
        return in_sections(values, SECTIONS)

    def _stored_fields(self) -> dict[str, Any]:
        """Return what is stored, as the fields of the form; of a new line, nothing is."""
        stored = self._stored()
        if stored is None:
            return dict(DEFAULTS)
        serves = CONF_PHONE_PASSWORD in stored.data
        return {**DEFAULTS, **stored.data, CONF_SERVE: serves}

    def _registers_already(self, wanted: WantedLine) -> bool:
        """Whether the line that is changed has a binding of ours, and stays the same."""
        stored = self._stored()
        return (
            stored is not None
            and bool(stored.data[CONF_REGISTER])
            and unique_id_of(stored.data) == unique_id_of(wanted.data)
        )

    def _cannot_come(self, wanted: Sequence[WantedLine]) -> tuple[Errors, Words]:
        """Return why lines that are in order cannot be stored here, if they cannot."""
        errors, words = self._find_duplicate(wanted)
        if not errors and not self._has_room(wanted):
            errors = {"base": "too_many_entities"}
        return errors, words

    def _find_duplicate(self, wanted: Sequence[WantedLine]) -> tuple[Errors, Words]:
        """Return the error, and the name of a line that is there already."""
        stored = self._stored()
        names = {
            unique_id_of(other.data): other.title
            for line_id, other in followed_subentries(self._get_entry()).items()
            if stored is None or line_id != stored.subentry_id
        }
        for line in wanted:
            unique_id = unique_id_of(line.data)
            if unique_id in names:
                field = CONF_LINES if self._step_id == "several" else CONF_USER
                return {field: "line_in_use"}, {"line": names[unique_id]}
            names[unique_id] = line.name
        entry = self._get_entry()
        other = line_in_the_way(
            {**line_subentries(entry), **followed_subentries(entry)},
            wanted[0].data,
            None if stored is None else stored.subentry_id,
        )
        if other is not None:
            return {CONF_USER: "user_in_use"}, {"line": other.title}
        return {}, {}

    def _has_room(self, wanted: Sequence[WantedLine]) -> bool:
        """Whether Home Assistant would take all entities of the lines."""
        stored = self._stored()
        return async_has_room(
            self.hass,
            self._get_entry(),
            [part for line in wanted for part in followed_parts(line.data)],
            followed_parts(stored.data) if stored is not None else (),
        )

    # Trying it

    async def _async_contacts(self) -> Sequence[Contacts | TrialResult]:
        """Return what is registered for each line, or why that cannot be asked."""
        return await _async_each(
            [self._trial(line).async_contacts for line in self._wanted]
        )

    async def _async_try(self) -> SubentryFlowResult:
        """Have the PBX tell the state of each line, and store them."""
        results = await _async_each(
            [
                partial(self._trial(line).async_run, contacts)
                for line, contacts in zip(self._wanted, self._contacts, strict=True)
            ]
        )
        errors, words = self._problems(results)
        settings = await self._async_phone_settings()
        if not errors:
            # Others may have come while the PBX was asked.
            errors, words = self._cannot_come(self._wanted)
        if errors:
            return self._show(self._step_id, self._input, errors, words)
        return self._finish(settings)

    async def _async_phone_settings(self) -> Words:
        """Return what there is to type into phones of the line, if there is anything."""
        data = self._wanted[0].data
        if CONF_PHONE_PASSWORD not in data and not is_reported(data):
            return {}
        phone = {**data, CONF_PASSWORD: data.get(CONF_PHONE_PASSWORD, "")}
        # The name is that at the PBX; here the phone's is its user.
        phone.pop(CONF_AUTH_NAME, None)
        return await async_phone_settings(self.hass, self._get_entry(), phone)

    def _trial(self, line: WantedLine) -> Trial:
        listener = self._listener()
        assert listener is not None
        return Trial(listener.server, subscriber_config("", line.data))

    def _problems(self, results: Sequence[TrialResult]) -> tuple[Errors, Words]:
        """Return what is wrong, in words of the form."""
        bad = {
            line.name: result
            for line, result in zip(self._wanted, results, strict=True)
            if result.status is not SubscriptionStatus.ACTIVE or result.replaced
        }
        if not bad:
            return {}, {}
        is_one_matter = self._step_id != "several" or _is_silence(results)
        for result in bad.values():
            # A certificate, or one registration a line, is no matter of a single line.
            if is_one_matter or result.replaced or result.refused:
                return _problem(result)
        lines = ", ".join(
            f"{name} ({result.code or _CODES.get(result.status, _NO_ANSWER)})"
            for name, result in bad.items()
        )
        return {CONF_LINES: "lines_not_accepted"}, {"lines": lines}

    def _finish(self, settings: Words) -> SubentryFlowResult:
        """Store the lines, and end with what to type into phones, if there is any."""
        entry = self._get_entry()
        *others, (name, data) = self._wanted
        page = _page(data, settings)
        if (stored := self._stored()) is not None:
            self.hass.config_entries.async_update_subentry(
                entry, stored, title=name, data=data, unique_id=unique_id_of(data)
            )
            if (listener := self._listener()) is not None:
                listener.followed.async_retry(stored.subentry_id)
            return self.async_abort(
                reason=f"reconfigured_{page}" if page else "reconfigure_successful",
                description_placeholders=settings,
            )
        for line in others:
            self.hass.config_entries.async_add_subentry(
                entry,
                ConfigSubentry(
                    subentry_type=SUBENTRY_TYPE_FOLLOWED,
                    title=line.name,
                    unique_id=unique_id_of(line.data),
                    data=MappingProxyType(line.data),
                ),
            )
        return self.async_create_entry(
            title=name,
            data=data,
            unique_id=unique_id_of(data),
            description=page,
            description_placeholders={"follow_url": FOLLOW_URL, **settings},
        )

    def _listener(self) -> DfksListener | None:
        return running_listener(self._get_entry())


async def _async_each[T](
    tries: Sequence[Callable[[], Coroutine[Any, Any, T | TrialResult]]],
) -> list[T | TrialResult]:
    """Try some at a time, and return what comes of each.

    Where the PBX does not answer, hundreds would take minutes to show it: then not all
    are tried.
    """
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_A_TIME)
    deadline = loop.time() + MAX_SECONDS
    unanswered = 0

    async def run(
        one: Callable[[], Coroutine[Any, Any, T | TrialResult]],
    ) -> T | TrialResult:
        nonlocal unanswered
        async with gate:
            if unanswered >= AT_A_TIME or loop.time() > deadline:
                return _UNANSWERED
            result = await one()
            unanswered += isinstance(result, TrialResult) and _is_silence((result,))
            return result

    return await asyncio.gather(*map(run, tries))


def _problem(result: TrialResult) -> tuple[Errors, Words]:
    """Return what is wrong with one line, and the words for it."""
    if result.replaced:
        return {CONF_REGISTER: "register_replaced"}, {}
    if (refused := result.refused) is not None:
        if refused.reason is None:
            words = {"fingerprint": refused.fingerprint}
            return {CONF_FINGERPRINT: "pbx_other_certificate"}, words
        return {CONF_HOST: "pbx_certificate"}, refused._asdict()
    field, key = _PROBLEMS[result.status]
    key = _ANSWERS.get(result.code, key)
    return {field: key}, {"code": str(result.code or "–")}


def _is_silence(results: Sequence[TrialResult]) -> bool:
    """Whether the PBX has answered none of these lines."""
    return all(item.status is SubscriptionStatus.UNREACHABLE for item in results)


def _page(data: Mapping[str, Any], settings: Words) -> str | None:
    """Return the text of what to type into phones, None where that is nothing."""
    phones = "phones" if CONF_PHONE_PASSWORD in data else ""
    parts = [part for part in (phones, calls_page(data, settings)) if part]
    return "_".join(parts) or None
