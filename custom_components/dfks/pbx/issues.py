"""What is not as it should be at a PBX, in Settings > Repairs."""

from hashlib import blake2s
from secrets import token_bytes
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import CONF_PBX, CONF_USER, DOMAIN, PBX_HELP_URL
from ..features.display import printable
from ..phones.unknown import MAX_USER
from ..settings import line_subentries, pbx_subentries
from ..sip import Clock, ProxyBinding

# The texts of the issues; the id of the PBX follows in their ids, and where a phone's
# password is wrong, what stands for its user.
ISSUE_UNREACHABLE: Final = "pbx_unreachable"
ISSUE_CERTIFICATE: Final = "pbx_certificate_refused"
ISSUE_OTHER_CERTIFICATE: Final = "pbx_other_certificate"
ISSUE_KEYS: Final = "pbx_synchronizes_keys"
ISSUE_PASSWORD: Final = "pbx_password_refused"
ISSUE_PAST: Final = "pbx_calls_go_past"
ISSUE_NO_PBX: Final = "lines_without_pbx"

# Phones with a wrong password that are shown at one time.
MAX_PASSWORDS: Final = 20

# Seconds in which a PBX sends something to a phone that is registered at it: a call, or
# a look whether it is there.
SILENCE: Final = 24 * 3600.0

# Seconds between looks for phones that got nothing.
LOOK: Final = 3600.0


class PbxIssues:
    """Shows what is wrong, as long as it is."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, clock: Clock) -> None:
        """Show nothing yet."""
        self._hass = hass
        self._entry = entry
        self._clock = clock
        self._shown: dict[str, str] = {}
        # What makes an id of a user, so that nobody can make the user of the id.
        self._key = token_bytes(16)
        # Since when a phone has been registered without a request of its PBX, by token,
        # in seconds of the monotonic clock.
        self._quiet_since: dict[str, tuple[float, ProxyBinding]] = {}
        self._cancel_look: CALLBACK_TYPE | None = None

    @callback
    def async_stop(self) -> None:
        """Take everything back: a new listener starts without grudges."""
        if self._cancel_look is not None:
            self._cancel_look()
            self._cancel_look = None
        for issue_id in list(self._shown):
            self._delete(issue_id)
        ir.async_delete_issue(self._hass, DOMAIN, ISSUE_NO_PBX)

    def forget(self, pbx: str) -> None:
        """Take back what is shown of a PBX that is removed or changed."""
        for issue_id, of_pbx in list(self._shown.items()):
            if of_pbx == pbx:
                self._delete(issue_id)
        for token, (_, binding) in list(self._quiet_since.items()):
            if binding.pbx == pbx:
                del self._quiet_since[token]

    def _create(
        self,
        issue_id: str,
        key: str,
        pbx: str,
        severity: ir.IssueSeverity,
        **words: str,
    ) -> None:
        subentry = self._entry.subentries.get(pbx)
        if subentry is None:
            return
        self._shown[issue_id] = pbx
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            is_fixable=False,
            learn_more_url=PBX_HELP_URL,
            severity=severity,
            translation_key=key,
            translation_placeholders={"pbx": subentry.title, **words},
        )

    def _delete(self, issue_id: str) -> None:
        if self._shown.pop(issue_id, None) is not None:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    def _line_names(self, pbx: str) -> dict[str, str]:
        """Return what the lines at a PBX are called, by their users."""
        return {
            subentry.data[CONF_USER]: subentry.title
            for subentry in line_subentries(self._entry).values()
            if subentry.data.get(CONF_PBX) == pbx
        }

    # Whether it answers, and who synchronizes the keys

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Show a PBX that does not answer, until it does."""
        issue_id = f"{ISSUE_UNREACHABLE}_{pbx}"
        if reachable:
            self._delete(issue_id)
            self._delete(f"{ISSUE_CERTIFICATE}_{pbx}")
        else:
            self._create(issue_id, ISSUE_UNREACHABLE, pbx, ir.IssueSeverity.ERROR)

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Show a PBX whose certificate is not good, until it answers.

        Without `reason` it is not the one whose fingerprint is configured.
        """
        key = ISSUE_CERTIFICATE if reason is not None else ISSUE_OTHER_CERTIFICATE
        self._create(
            f"{ISSUE_CERTIFICATE}_{pbx}",
            key,
            pbx,
            ir.IssueSeverity.ERROR,
            fingerprint=fingerprint,
            **({} if reason is None else {"reason": reason}),
        )

    def synchronizes_keys(self, pbx: str) -> None:
        """Show a PBX that synchronizes the keys itself, until it is configured so."""
        issue_id = f"{ISSUE_KEYS}_{pbx}"
        if issue_id not in self._shown:
            self._create(issue_id, ISSUE_KEYS, pbx, ir.IssueSeverity.WARNING)

    # Passwords

    def password_refused(self, pbx: str, user: str, source: str) -> None:
        """Show a phone whose password its PBX does not take, until it does."""
        if sum(issue.startswith(ISSUE_PASSWORD) for issue in self._shown) < (
            MAX_PASSWORDS
        ):
            self._create(
                self._password_issue(pbx, user),
                ISSUE_PASSWORD,
                pbx,
                ir.IssueSeverity.WARNING,
                line=self._line_names(pbx).get(user) or printable(user, MAX_USER),
                source=source,
            )

    def _password_issue(self, pbx: str, user: str) -> str:
        """Return the id of an issue, without the user: diagnostics list these ids."""
        name = blake2s(user.encode(errors="replace"), key=self._key, digest_size=8)
        return f"{ISSUE_PASSWORD}_{pbx}_{name.hexdigest()}"

    # Calls that go past Home Assistant

    def registered(self, binding: ProxyBinding) -> None:
        """Take note of a phone that its PBX has accepted."""
        self._delete(self._password_issue(binding.pbx, binding.user))
        now = self._clock.monotonic()
        since, _ = self._quiet_since.get(binding.token, (now, binding))
        self._quiet_since[binding.token] = since, binding

    def unregistered(self, binding: ProxyBinding) -> None:
        """Take note of a phone that is gone."""
        self._quiet_since.pop(binding.token, None)

    def reached(self, binding: ProxyBinding) -> None:
        """Take note of a request of a PBX that is passed to a phone: a good sign."""
        self._quiet_since[binding.token] = self._clock.monotonic(), binding
        if f"{ISSUE_PAST}_{binding.pbx}" in self._shown:
            self._show_quiet(binding.pbx)

    @callback
    def async_look(self, _now: object = None) -> None:
        """Look for phones that got nothing, and for lines whose PBX is gone."""
        if self._cancel_look is not None:
            self._cancel_look()
            self._cancel_look = None
        self._show_lines_without_pbx()
        pbxs = pbx_subentries(self._entry)
        if not pbxs:
            return
        for pbx in pbxs:
            self._show_quiet(pbx)
        self._cancel_look = async_call_later(
            self._hass,
            LOOK,
            HassJob(self.async_look, "dfks look at PBXs", cancel_on_shutdown=True),
        )

    def _show_quiet(self, pbx: str) -> None:
        """Show the lines at a PBX whose phones got nothing for too long."""
        until = self._clock.monotonic() - SILENCE
        names = self._line_names(pbx)
        quiet = {
            names[binding.user]
            for since, binding in self._quiet_since.values()
            if binding.pbx == pbx and since <= until and binding.user in names
        }
        issue_id = f"{ISSUE_PAST}_{pbx}"
        if quiet:
            lines = ", ".join(sorted(quiet))
            self._create(
                issue_id, ISSUE_PAST, pbx, ir.IssueSeverity.WARNING, lines=lines
            )
        else:
            self._delete(issue_id)

    def _show_lines_without_pbx(self) -> None:
        """Show the lines that are at a PBX which has been removed."""
        names = [
            subentry.title
            for subentry in line_subentries(self._entry).values()
            if subentry.data.get(CONF_PBX, "") not in ("", *self._entry.subentries)
        ]
        if not names:
            ir.async_delete_issue(self._hass, DOMAIN, ISSUE_NO_PBX)
            return
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            ISSUE_NO_PBX,
            is_fixable=False,
            learn_more_url=PBX_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_NO_PBX,
            translation_placeholders={"lines": ", ".join(names)},
        )
