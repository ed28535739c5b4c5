"""The followed lines of a listener, as their subentries come and go.

What keeps a line's PBX from telling its state shows in the line's sync status, in one
line of the log each way, and, where that is its password or the PBX's certificate, in
Settings > Repairs.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
import logging
from secrets import token_hex
from typing import Final, override

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util

from ..const import CONF_TRANSPORT, DOMAIN, FOLLOW_HELP_URL
from ..devices import rename_device
from ..features.follow import Follower, Follows
from ..features.model import Line, LineMemory
from ..features.publisher import Publisher
from ..features.sync import FeatureSync
from ..pbx.certificates import async_prepare_tls, tls_of
from ..phones.monitor import LinePhone, PhoneMonitor, SyncStatus
from ..settings import followed_config, followed_subentries
from ..sip import CertificateProblem, SipServer, SubscriptionStatus, Way

_LOGGER = logging.getLogger(__name__)

# What a user can mend in the form of the line: the text of the issue. The id of the
# line follows in its id.
ISSUE_PASSWORD: Final = "followed_password_refused"
# The certificates of PBXs that are not connected to.
ISSUE_CERTIFICATE: Final = "followed_certificate_refused"
ISSUE_OTHER_CERTIFICATE: Final = "followed_other_certificate"
ATTR_ENTRY: Final = "entry_id"
ATTR_LINE: Final = "line_id"

_STATUSES: Final = {
    SubscriptionStatus.WAITING: SyncStatus.PBX_WAITING,
    SubscriptionStatus.ACTIVE: SyncStatus.SYNCHRONIZED,
    SubscriptionStatus.UNREACHABLE: SyncStatus.PBX_UNREACHABLE,
    SubscriptionStatus.REFUSED: SyncStatus.PBX_REFUSED,
    SubscriptionStatus.NOT_SUPPORTED: SyncStatus.PBX_NOT_SUPPORTED,
    SubscriptionStatus.WRONG_PASSWORD: SyncStatus.PBX_WRONG_PASSWORD,
    SubscriptionStatus.CANNOT_LOG_IN: SyncStatus.PBX_CANNOT_LOG_IN,
}

# For the log, which is in English.
_REASONS: Final = {
    SubscriptionStatus.UNREACHABLE: "it does not answer",
    SubscriptionStatus.REFUSED: "it has ended or refused the subscription",
    SubscriptionStatus.NOT_SUPPORTED: "it does not synchronize feature keys",
    SubscriptionStatus.WRONG_PASSWORD: "it does not accept the password",
    SubscriptionStatus.CANNOT_LOG_IN: "it asks for an unknown kind of login",
}


class FollowedContact(Publisher[[]]):
    """What is seen of the PBX of one followed line, and of the phones that are here.

    What keeps the PBX from telling the state comes first. Where phones log in here for
    the line, the rest is about them.
    """

    def __init__(self, follower: Follower, monitor: PhoneMonitor) -> None:
        """Tell listeners of either; phones are looked at once somebody listens."""
        super().__init__()
        self._follower = follower
        self._monitor = monitor
        self._listens = False
        follower.subscribe(self.publish)

    @override
    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        if not self._listens:
            self._listens = True
            self._phone.subscribe(self.publish)
        return super().subscribe(listener)

    @property
    def _phone(self) -> LinePhone:
        return self._monitor.phone(self._follower.line)

    @property
    def status(self) -> SyncStatus:
        """How far the subscription has come, or a phone that is to show it."""
        status = self._follower.status
        if status is SubscriptionStatus.ACTIVE and self._follower.line.served:
            return self._phone.status
        return _STATUSES[status]

    @property
    def user_agent(self) -> str | None:
        """What the phone calls itself; nobody asks a PBX."""
        return self._phone.user_agent

    @property
    def last_contact(self) -> datetime | None:
        """When the phone said something last, or the PBX where there is no phone."""
        if self._follower.line.served:
            return self._phone.last_contact
        heard_at = self._follower.heard_at
        return None if heard_at is None else dt_util.utc_from_timestamp(heard_at)

    def recall_refusal(self) -> None:
        """Take note of a phone with a wrong password; a PBX is asked anew."""
        self._phone.recall_refusal()


class FollowedLines:
    """Keeps the followed lines of a listener equal to its subentries."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        server: SipServer,
        sync: FeatureSync,
        monitor: PhoneMonitor,
    ) -> None:
        """Follow nothing yet; `monitor` sees the phones that log in here."""
        self._hass = hass
        self._entry = entry
        self._server = server
        self._monitor = monitor
        self._follows = Follows(server, sync, Context)
        self._contacts: dict[str, FollowedContact] = {}
        # The issues of certificates that are shown.
        self._refused: dict[Way, str] = {}
        # The lines of which it was logged that their PBX does not tell their state.
        self._logged: set[str] = set()

    # Life

    async def async_start(self, stored: Mapping[str, LineMemory]) -> None:
        """Add the lines; they subscribe once the server has started."""
        subentries = followed_subentries(self._entry)
        await async_prepare_tls(
            self._hass, (item.data[CONF_TRANSPORT] for item in subentries.values())
        )
        for line_id, subentry in subentries.items():
            self._add(subentry, stored.get(line_id))

    async def async_stop(self) -> None:
        """End the subscriptions; PBXs are told so."""
        self._follows.stop()
        await self._server.following.end()
        for line_id in self._contacts:
            self._delete_issue(line_id)
        for way in list(self._refused):
            self._forget_certificate(way)

    @property
    def line_ids(self) -> Iterable[str]:
        """The ids of the lines."""
        return self._contacts.keys()

    def contact(self, line: Line) -> FollowedContact | None:
        """Return what is seen of the PBX of a line, None of a line that is ours."""
        return self._contacts.get(line.id)

    def follower(self, line_id: str) -> Follower | None:
        """Return what follows a line, None where it is not followed."""
        return self._follows.followers.get(line_id)

    # Lines

    @callback
    def async_update(self, removed: Callable[[str], None]) -> list[Line]:
        """Make the lines equal to the subentries; return those that are new.

        `removed` is called with the id of each that is gone.
        """
        subentries = followed_subentries(self._entry)
        for line_id in self._contacts.keys() - subentries.keys():
            del self._contacts[line_id]
            self._logged.discard(line_id)
            self._delete_issue(line_id)
            self._follows.remove(line_id)
            removed(line_id)
        added = []
        for line_id, subentry in subentries.items():
            if (follower := self.follower(line_id)) is None:
                added.append(self._add(subentry, None))
            else:
                self._update(follower, subentry)
        ways = {
            follower.config.subscriber.way
            for follower in self._follows.followers.values()
        }
        for way in self._refused.keys() - ways:
            self._forget_certificate(way)
        return added

    @callback
    def async_retry(self, line_id: str) -> None:
        """Try a line again that has been tried in vain: its PBX takes it by now."""
        follower, subentry = self.follower(line_id), self._entry.subentries[line_id]
        # Where its settings are others, it is tried with those.
        if follower is not None and follower.config == followed_config(subentry):
            self._follows.retry(line_id)

    def _add(self, subentry: ConfigSubentry, memory: LineMemory | None) -> Line:
        config = followed_config(subentry)
        follower = self._follows.add(
            config,
            memory and memory.states,
            memory and memory.claims,
            tls_of(config.subscriber.transport),
        )
        self._contacts[config.id] = FollowedContact(follower, self._monitor)
        follower.subscribe(lambda: self._follow_status(follower))
        self._let_in(follower.line)
        return follower.line

    def _let_in(self, line: Line) -> None:
        """Let the phones of a new or changed line in, whatever they tried before."""
        if line.served:
            self._monitor.line_added(line)

    def _update(self, follower: Follower, subentry: ConfigSubentry) -> None:
        rename_device(self._hass, self._entry, subentry)
        config = followed_config(subentry)
        if self._follows.update(config, tls_of(config.subscriber.transport)):
            self._let_in(follower.line)
            self._contacts[config.id].publish()

    # What becomes of them

    def _follow_status(self, follower: Follower) -> None:
        """Log that a PBX is gone or back, once each, and show what can be mended."""
        line_id, status = follower.config.id, follower.status
        subentry = self._entry.subentries.get(line_id)
        if subentry is None:
            return
        if follower.certificate_problem is not None:
            self._show_certificate(follower, follower.certificate_problem)
        if status is SubscriptionStatus.WAITING:
            return
        if status is SubscriptionStatus.ACTIVE:
            self._delete_issue(line_id)
            self._forget_certificate(follower.config.subscriber.way)
            if line_id in self._logged:
                self._logged.discard(line_id)
                _LOGGER.info("%s: its PBX tells its state again", subentry.title)
            return
        if line_id not in self._logged:
            self._logged.add(line_id)
            answer = f" ({follower.code})" if follower.code else ""
            _LOGGER.warning(
                "%s is unavailable: its PBX does not tell its state, %s%s",
                subentry.title,
                _REASONS[status],
                answer,
            )
        if status is SubscriptionStatus.WRONG_PASSWORD:
            self._create_issue(subentry)

    def _create_issue(self, subentry: ConfigSubentry) -> None:
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            f"{ISSUE_PASSWORD}_{subentry.subentry_id}",
            data={
                ATTR_ENTRY: self._entry.entry_id,
                ATTR_LINE: subentry.subentry_id,
            },
            is_fixable=True,
            learn_more_url=FOLLOW_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_PASSWORD,
            translation_placeholders={"line": subentry.title},
        )

    def _delete_issue(self, line_id: str) -> None:
        ir.async_delete_issue(self._hass, DOMAIN, f"{ISSUE_PASSWORD}_{line_id}")

    def _show_certificate(
        self, follower: Follower, problem: CertificateProblem
    ) -> None:
        """Show a certificate that is not good, or not the pinned one, once a PBX."""
        way = follower.config.subscriber.way
        # Not the host itself: diagnostics list the ids of issues.
        issue_id = self._refused.setdefault(way, f"{ISSUE_CERTIFICATE}_{token_hex(4)}")
        words = {} if problem.reason is None else {"reason": problem.reason}
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            is_fixable=False,
            learn_more_url=FOLLOW_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_CERTIFICATE if words else ISSUE_OTHER_CERTIFICATE,
            translation_placeholders={
                "pbx": way.host,
                "fingerprint": problem.fingerprint,
                **words,
            },
        )

    def _forget_certificate(self, way: Way) -> None:
        if (issue_id := self._refused.pop(way, None)) is not None:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)
