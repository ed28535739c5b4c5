"""The form of a phone line, and the page after it: what to type into the phone.

That page comes when the line is stored, for a phone that is set up meanwhile has to be
known: it would be refused, and blocked in the end. So it is no step but the words with
which Home Assistant ends the flow, and nothing is lost or done twice by how it is
closed.

Where there are PBXs, the phones that they have accepted and whose lines are not there
are offered first: such a line needs no password, so choosing it is all there is to do.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from homeassistant.config_entries import (
    ConfigSubentry,
    SubentryFlowContext,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME, CONF_PASSWORD, CONF_WEBHOOK_ID
from homeassistant.helpers.selector import (
    AreaSelector,
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
)
import voluptuous as vol

from .capacity import async_has_room
from .const import (
    CONF_AREA,
    CONF_AUTH_NAME,
    CONF_CALLS,
    CONF_FEATURES,
    CONF_LOGIN,
    CONF_PBX,
    CONF_SEE_CALLS,
    CONF_STYLE,
    CONF_SYNCHRONIZATION,
    CONF_TREATMENT,
    CONF_USER,
    CONF_VENDOR,
    DEFAULT_STYLE,
    FEATURE_KEYS,
    TROUBLESHOOTING_URL,
)
from .features.model import NotifyStyle
from .forms import (
    PASSWORD,
    Errors,
    Words,
    choice,
    chosen_features,
    errors_in_sections,
    feature_choice,
    filled,
    form_section,
    in_sections,
    proposals,
    vendor_choice,
    without_sections,
)
from .line_test_flow import LineTestSteps
from .listener import DfksListener, running_listener
from .pbx.lines import label, line_data, line_name
from .pbx.treatment_form import (
    TREATMENT_DEFAULTS,
    check_treatment,
    treatment_fields,
    treatment_shown,
)
from .phones.action_urls import new_webhook_id
from .phones.identifiers import is_auth_name, is_plain, is_user
from .phones.monitor import LinePhone
from .phones.provisioning import async_phone_settings, calls_page, propose_password
from .phones.unknown import UnknownPhone, UnknownPhones
from .phones.vendors import OTHER, vendor_of
from .settings import (
    followed_subentries,
    line_auth_name,
    line_in_the_way,
    line_parts,
    line_subentries,
    pbx_subentries,
    stored_unique_id,
)
from .sip import ProxyBinding

# The field of the phones that are offered, and its last choice: none of them.
CONF_PHONE: Final = "phone"
ANOTHER: Final = "another"

# Where a line is registered that is at no PBX.
HERE: Final = "here"

# What most users leave as it is.
SECTIONS: Final = {
    CONF_LOGIN: (CONF_PASSWORD, CONF_AUTH_NAME),
    CONF_SYNCHRONIZATION: (CONF_FEATURES, CONF_STYLE),
    CONF_CALLS: (CONF_SEE_CALLS,),
    CONF_TREATMENT: tuple(TREATMENT_DEFAULTS),
}

# What a section holds that was never opened.
DEFAULTS: Final[Mapping[str, Any]] = {
    CONF_FEATURES: list(FEATURE_KEYS.values()),
    CONF_STYLE: DEFAULT_STYLE.value,
    CONF_SEE_CALLS: False,
    **TREATMENT_DEFAULTS,
}


class LineFlowContext(SubentryFlowContext, total=False):
    """What a flow may be started with: the user of an unknown phone."""

    user: str


class LineSubentryFlow(LineTestSteps):
    """Adds and reconfigures a phone line."""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add a line: one of a phone that is offered, if there are any."""
        if user_input is None and any(self._offered()) and not self._wanted_user:
            return await self.async_step_phone()
        return await self._async_line_form("user", user_input, stored=None)

    async def async_step_phone(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Offer the phones that a PBX has accepted, or add the line of one."""
        offered = dict(self._offered())
        if user_input is not None:
            if user_input[CONF_PHONE] == ANOTHER:
                return await self._async_line_form("user", None, stored=None)
            if (binding := offered.get(user_input[CONF_PHONE])) is not None:
                return await self._async_add_offered(binding)
        pbxs = pbx_subentries(self._get_entry())
        options = [
            SelectOptionDict(value=key, label=label(binding, pbxs[binding.pbx].title))
            for key, binding in offered.items()
        ]
        options.append(SelectOptionDict(value=ANOTHER, label=ANOTHER))
        schema = vol.Schema({vol.Required(CONF_PHONE): choice(CONF_PHONE, options)})
        return self.async_show_form(
            step_id="phone", data_schema=filled(self, schema, {})
        )

    def _offered(self) -> Iterator[tuple[str, ProxyBinding]]:
        """Yield the phones whose lines can be added, by what names them in the form."""
        if (listener := self._listener()) is not None:
            for binding in listener.pbxs.phones_without_line():
                yield f"{binding.user}@{binding.pbx}", binding

    async def _async_add_offered(self, binding: ProxyBinding) -> SubentryFlowResult:
        data = line_data(binding)
        settings = await async_phone_settings(self.hass, self._get_entry(), data)
        if self._find_duplicate(data, None)[0]:
            return self.async_abort(reason="already_configured")
        if not self._has_room(data, None):
            return self.async_abort(reason="too_many_entities")
        return self._finish(line_name(binding), data, None, settings)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Change a line; one at a PBX can be tested instead."""
        stored = self._get_reconfigure_subentry()
        is_tested = user_input is None and stored.data.get(CONF_PBX) in pbx_subentries(
            self._get_entry()
        )
        if is_tested and self._listener() is not None:
            return await self.async_step_choose()
        return await self._async_line_form("reconfigure", user_input, stored=stored)

    async def async_step_choose(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask what to do with a line at a PBX."""
        return self.async_show_menu(step_id="choose", menu_options=["settings", "test"])

    async def async_step_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show the form of a line that could be tested as well."""
        return await self._async_line_form(
            "reconfigure", None, stored=self._get_reconfigure_subentry()
        )

    async def _async_line_form(
        self,
        step_id: str,
        user_input: dict[str, Any] | None,
        *,
        stored: ConfigSubentry | None,
    ) -> SubentryFlowResult:
        """Show the form, or take it."""
        errors: Errors = {}
        words: Words = {}
        if user_input is not None:
            data, errors = self._check(
                without_sections(
                    user_input, SECTIONS, stored.data if stored else DEFAULTS
                ),
                stored,
            )
            if not errors:
                name = user_input[CONF_NAME].strip()
                settings = await async_phone_settings(
                    self.hass, self._get_entry(), data
                )
                # Nothing is waited for from here on: no other line comes between.
                errors, words = self._find_duplicate(data, stored)
                if not errors and not self._has_room(data, stored):
                    errors = {"base": "too_many_entities"}
                if not errors:
                    return self._finish(name, data, stored, settings)
        values = user_input
        if values is None:
            values = in_sections(
                self._stored_values(stored) if stored else self._proposals(), SECTIONS
            )
        errors = errors_in_sections(errors, SECTIONS)
        return self.async_show_form(
            step_id=step_id,
            data_schema=filled(self, self._schema(stored, errors), values),
            errors=errors,
            description_placeholders={
                **words,
                "troubleshooting_url": TROUBLESHOOTING_URL,
            },
        )

    def _schema(self, stored: ConfigSubentry | None, errors: Errors) -> vol.Schema:
        pbxs = self._pbx_selector(stored)
        if stored is None:
            return vol.Schema(
                _fields(self._user_selector(), pbxs | _AREA)
                | _sections(_PROPOSED_PASSWORD, errors)
            )
        return vol.Schema(
            _status_section(self._phone(stored))
            | _fields(TextSelector(), pbxs)
            | _sections(PASSWORD, errors, is_at_pbx=CONF_PBX in stored.data)
        )

    def _pbx_selector(self, stored: ConfigSubentry | None) -> dict[vol.Marker, Any]:
        """Return the field of where the line is registered, if there is a choice."""
        pbxs = pbx_subentries(self._get_entry())
        if not pbxs and (stored is None or CONF_PBX not in stored.data):
            return {}
        options = [
            SelectOptionDict(value=HERE, label=HERE),
            *(
                SelectOptionDict(value=pbx_id, label=pbx.title)
                for pbx_id, pbx in pbxs.items()
            ),
        ]
        return {
            vol.Required(CONF_PBX, default=HERE): choice(
                CONF_PBX, options, SelectSelectorMode.DROPDOWN
            )
        }

    def _stored_values(self, stored: ConfigSubentry) -> dict[str, Any]:
        """Return what is stored, but for the password: it need not be typed again."""
        values = {
            **treatment_shown(stored.data),
            **stored.data,
            CONF_NAME: stored.title,
        }
        values.pop(CONF_PASSWORD, None)
        if values.get(CONF_PBX, HERE) not in pbx_subentries(self._get_entry()):
            # It was at a PBX that has been removed.
            values[CONF_PBX] = HERE
        if CONF_VENDOR not in values and (phone := self._phone(stored)) is not None:
            values[CONF_VENDOR] = vendor_of(phone.user_agent)
        return values

    @property
    def _wanted_user(self) -> str:
        """The user of the unknown phone whose line is to be added, if any."""
        user: str = cast("LineFlowContext", self.context).get("user", "")
        return user

    def _proposals(self) -> dict[str, Any]:
        """Return what the form of a new line opens with.

        Without a user the page would choose the phone that tried last, maybe somebody
        else's.
        """
        values = {
            CONF_USER: self._wanted_user,
            CONF_PASSWORD: propose_password(),
            **DEFAULTS,
        }
        if (phone := self._unknown_phones().of(self._wanted_user)) is not None:
            values[CONF_VENDOR] = vendor_of(phone.user_agent)
        return values

    def _user_selector(self) -> TextSelector | SelectSelector:
        """Return the field of the user, which offers unknown phones if there are any."""
        return proposals(
            [
                SelectOptionDict(value=phone.user, label=_label(phone))
                for phone in self._unknown_phones()
            ]
        )

    def _check(
        self, user_input: Mapping[str, Any], stored: ConfigSubentry | None
    ) -> tuple[dict[str, Any], Errors]:
        """Return the data of a filled form, and what is wrong with which field."""
        data, errors = _check_line(user_input, stored)
        chosen = user_input[CONF_VENDOR]
        phone = None
        if CONF_PBX not in data:
            phone = self._unknown_phones().of(data[CONF_USER])
        if chosen == OTHER and phone is not None:
            # It has said what it is.
            chosen = vendor_of(phone.user_agent)
        if chosen != OTHER:
            data[CONF_VENDOR] = chosen
        return data, errors

    def _find_duplicate(
        self, data: Mapping[str, Any], stored: ConfigSubentry | None
    ) -> tuple[Errors, Words]:
        """Return the error, and the line's name for it, if another line is in the way."""
        for other in line_subentries(self._get_entry()).values():
            if stored is not None and other.subentry_id == stored.subentry_id:
                continue
            if other.data.get(CONF_PBX) != data.get(CONF_PBX):
                continue
            if other.data[CONF_USER] == data[CONF_USER]:
                return {CONF_USER: "user_in_use"}, {"line": other.title}
            if CONF_PBX not in data and line_auth_name(other.data) == line_auth_name(
                data
            ):
                return {CONF_AUTH_NAME: "auth_name_in_use"}, {"line": other.title}
        followed = line_in_the_way(followed_subentries(self._get_entry()), data, None)
        if followed is not None:
            is_user = followed.data[CONF_USER] == data[CONF_USER]
            field = CONF_USER if is_user else CONF_AUTH_NAME
            error = "user_in_use" if is_user else "auth_name_in_use"
            return {field: error}, {"line": followed.title}
        return {}, {}

    def _has_room(self, data: Mapping[str, Any], stored: ConfigSubentry | None) -> bool:
        """Whether Home Assistant would take all entities of the line."""
        return async_has_room(
            self.hass,
            self._get_entry(),
            line_parts(data),
            line_parts(stored.data) if stored is not None else (),
        )

    def _finish(
        self,
        name: str,
        data: dict[str, Any],
        stored: ConfigSubentry | None,
        settings: Words,
    ) -> SubentryFlowResult:
        """Store the line and end with what to type into its phone."""
        unique_id = stored_unique_id(data)
        page = _page(data, settings)
        if stored is None:
            return self.async_create_entry(
                title=name,
                data=data,
                unique_id=unique_id,
                description=page,
                description_placeholders=settings,
            )
        self.hass.config_entries.async_update_subentry(
            self._get_entry(), stored, title=name, data=data, unique_id=unique_id
        )
        return self.async_abort(
            reason=f"reconfigured_{page}" if page else "reconfigure_successful",
            description_placeholders=settings,
        )

    def _listener(self) -> DfksListener | None:
        """Return the running listener."""
        return running_listener(self._get_entry())

    def _unknown_phones(self) -> UnknownPhones:
        """Return the phones that tried to register and are not known."""
        listener = self._listener()
        return (
            listener.monitor.unknown_phones if listener is not None else UnknownPhones()
        )

    def _phone(self, stored: ConfigSubentry) -> LinePhone | None:
        """Return what is seen of the line's phone."""
        if (listener := self._listener()) is None:
            return None
        line = listener.sync.lines.get(stored.subentry_id)
        return listener.monitor.phone(line) if line is not None else None


# A proposal has to be seen, for it is typed into the phone.
_PROPOSED_PASSWORD: Final = TextSelector(TextSelectorConfig(autocomplete="off"))

_AREA: Final[dict[vol.Marker, Any]] = {vol.Optional(CONF_AREA): AreaSelector()}


def _fields(
    user: TextSelector | SelectSelector, more: dict[vol.Marker, Any]
) -> dict[vol.Marker, Any]:
    """Return what every user has to think of."""
    return {
        vol.Required(CONF_NAME): TextSelector(),
        vol.Required(CONF_USER): user,
        vol.Required(CONF_VENDOR, default=OTHER): vendor_choice(),
        **more,
    }


def _sections(
    password: TextSelector, errors: Errors, *, is_at_pbx: bool = False
) -> dict[vol.Marker, Any]:
    """Return what most users leave as it is, each section folded up.

    The calls of a line can be treated once it is at a PBX.
    """
    fields: dict[str, dict[vol.Marker, Any]] = {
        CONF_LOGIN: {
            vol.Optional(CONF_PASSWORD): password,
            vol.Optional(CONF_AUTH_NAME): TextSelector(),
        },
        CONF_SYNCHRONIZATION: {
            vol.Required(
                CONF_FEATURES, default=DEFAULTS[CONF_FEATURES]
            ): feature_choice(),
            vol.Required(CONF_STYLE, default=DEFAULTS[CONF_STYLE]): choice(
                CONF_STYLE, [style.value for style in NotifyStyle]
            ),
        },
        CONF_CALLS: {
            vol.Required(
                CONF_SEE_CALLS, default=DEFAULTS[CONF_SEE_CALLS]
            ): BooleanSelector(),
        },
    }
    if is_at_pbx:
        fields[CONF_TREATMENT] = treatment_fields()
    return {
        vol.Optional(name): form_section(schema, collapsed=name not in errors)
        for name, schema in fields.items()
    }


def _status_section(phone: LinePhone | None) -> dict[vol.Marker, Any]:
    """Return a part of the form that says how far the phone has come, and what to do.

    It has no fields, but name and description, by the status. A page translates these
    for who looks at it, while words that are put into a text would be in the language
    of Home Assistant.
    """
    if phone is None:
        return {}
    return {vol.Optional(phone.status.value): form_section({}, collapsed=False)}


def _label(phone: UnknownPhone) -> str:
    """Return how an unknown phone is offered."""
    seen = f"{phone.address}, {phone.user_agent}" if phone.user_agent else phone.address
    return f"{phone.user} ({seen})"


def _check_line(
    user_input: Mapping[str, Any], stored: ConfigSubentry | None
) -> tuple[dict[str, Any], Errors]:
    """Return the data of a filled form but the vendor, and what is wrong with it."""
    user = user_input[CONF_USER].strip()
    auth_name = user_input.get(CONF_AUTH_NAME, "").strip()
    password = user_input.get(CONF_PASSWORD, "")
    pbx = user_input.get(CONF_PBX, HERE)
    errors: Errors = {}
    if not is_plain(user_input[CONF_NAME].strip()):
        errors[CONF_NAME] = "invalid_name"
    if not is_user(user):
        errors[CONF_USER] = "invalid_user"
    if not user_input[CONF_FEATURES]:
        errors[CONF_FEATURES] = "no_feature"
    data = {
        CONF_USER: user,
        CONF_FEATURES: chosen_features(user_input),
        CONF_STYLE: user_input[CONF_STYLE],
    }
    if area := user_input.get(CONF_AREA):
        data[CONF_AREA] = area
    if user_input.get(CONF_SEE_CALLS):
        data[CONF_SEE_CALLS] = True
        if pbx == HERE:
            # Its phones report their calls. The address stays as it is typed into them.
            webhook_id = stored and stored.data.get(CONF_WEBHOOK_ID)
            data[CONF_WEBHOOK_ID] = webhook_id or new_webhook_id()
    if pbx != HERE:
        # The PBX asks for the password.
        data[CONF_PBX] = pbx
        treatment, wrong = check_treatment(user_input)
        return data | treatment, errors | wrong
    if not password:
        # A new line has none, nor has one that comes from a PBX; the next page shows it.
        password = (stored and stored.data.get(CONF_PASSWORD)) or propose_password()
    if not is_plain(password):
        errors[CONF_PASSWORD] = "invalid_password"
    data[CONF_PASSWORD] = password
    if auth_name:
        data[CONF_AUTH_NAME] = auth_name
        if not is_auth_name(auth_name):
            errors[CONF_AUTH_NAME] = "invalid_auth_name"
    return data, errors


def _page(data: Mapping[str, Any], settings: Words) -> str | None:
    """Return the text of what to type into the phone, None for the one of most lines."""
    if CONF_PBX in data:
        return "at_pbx"
    return calls_page(data, settings)
