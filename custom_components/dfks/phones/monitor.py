"""What is seen of the phones: who is there, what it is, and what keeps it away.

The SIP floor tells each message and each phone to the monitor of its listener. The
monitor keeps a few facts a line, of which the diagnostic sensors, the form that adds a
line, and diagnostics make what people can read.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..features.model import FeatureChanged, Line, LineEvent
from ..features.publisher import Publisher
from ..sip import (
    Account,
    Binding,
    Clock,
    Flow,
    ProxyBinding,
    Request,
    SipServer,
    TimerHandle,
)
from .passed import PassedPhones
from .unknown import UnknownPhones, shown_user_agent

# Seconds in which a phone that has registered gets round to subscribing.
SUBSCRIBE_WAIT: Final = 30.0


class SyncStatus(StrEnum):
    """How far a line's phone has come; each has its advice in the documentation."""

    WAITING = "waiting"
    WRONG_PASSWORD = "wrong_password"
    KEY_SYNC_OFF = "key_sync_off"
    # Of a line at a PBX: no phone has registered there through here.
    NOT_REGISTERED = "not_registered"
    SYNCHRONIZED = "synchronized"
    # Of a line that is followed: what keeps its PBX from telling the state.
    PBX_WAITING = "pbx_waiting"
    PBX_UNREACHABLE = "pbx_unreachable"
    PBX_REFUSED = "pbx_refused"
    PBX_NOT_SUPPORTED = "pbx_not_supported"
    PBX_WRONG_PASSWORD = "pbx_wrong_password"
    PBX_CANNOT_LOG_IN = "pbx_cannot_log_in"


class LineContact(Protocol):
    """What is seen of who is at the other end of a line."""

    @property
    def status(self) -> SyncStatus:
        """How far it has come."""

    @property
    def user_agent(self) -> str | None:
        """What it calls itself."""

    @property
    def last_contact(self) -> datetime | None:
        """When it said something last, None while it has not."""

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when any of it changes; returns what ends that."""

    def recall_refusal(self) -> None:
        """Take note of a wrong password before a restart, if nothing is heard since."""


class SeenPhone(NamedTuple):
    """A phone that is registered or subscribed now."""

    host: str
    user_agent: str

    is_direct: bool
    """Whether nothing between has added itself to the way of its requests."""


class LinePhone(Publisher[[]]):
    """What is seen of the phone of one line, or of its several phones together."""

    def __init__(
        self, line: Line, server: SipServer, passed: PassedPhones, clock: Clock
    ) -> None:
        """Start with what the line's registrations and subscriptions tell."""
        super().__init__()
        self._line = line
        self._server = server
        self._passed = passed
        self._clock = clock
        self._heard_at: float | None = None
        # The address whose password was wrong since the phone was heard last; empty where
        # it was before a restart.
        self._refused_from: str | None = None
        # Since when it is registered without a subscription, by the monotonic clock.
        self._idle_since: float | None = None
        self._timer: TimerHandle | None = None
        self.user_agent: str | None = None
        self.status: SyncStatus = SyncStatus.WAITING
        self._recall()

    def _recall(self) -> None:
        """Take what outlived a restart."""
        for binding in self._bindings():
            self._note_user_agent(binding.user_agent)
        for subscription in self._server.notifier.of(self._line):
            self._note_user_agent(subscription.user_agent)
        self.look()

    def _bindings(self) -> Collection[Binding | ProxyBinding]:
        """Return what phones of the line have registered, here or at its PBX."""
        if self._line.pbx is None:
            return self._server.bindings(self._line)
        return self._passed.of_line(self._line.pbx, self._line.user)

    def seen(self) -> set[SeenPhone]:
        """Return what is registered or subscribed now, each only once."""
        seen = {
            SeenPhone(
                binding.flow.remote[0],
                shown_user_agent(binding.user_agent),
                isinstance(binding, ProxyBinding) or not binding.path,
            )
            for binding in self._bindings()
        }
        return seen | {
            SeenPhone(
                subscription.dialog.flow.remote[0],
                shown_user_agent(subscription.user_agent),
                not subscription.dialog.routes,
            )
            for subscription in self._server.notifier.of(self._line)
        }

    def _note_user_agent(self, user_agent: str | None) -> None:
        self.user_agent = shown_user_agent(user_agent) or self.user_agent

    @property
    def last_contact(self) -> datetime | None:
        """When the phone said something last, None while it has not."""
        if self._heard_at is None:
            return None
        return dt_util.utc_from_timestamp(self._heard_at)

    def heard(self, request: Request) -> None:
        """Take note of a request of the phone."""
        self._heard(request.text("user-agent"))

    def registered(self, binding: ProxyBinding) -> None:
        """Take note of a REGISTER that the line's PBX has accepted."""
        self._heard(binding.user_agent)

    def _heard(self, user_agent: str | None) -> None:
        self._heard_at = self._clock.time()
        self._refused_from = None
        self._note_user_agent(user_agent)
        if not self._line.connected:
            self._idle_since = self._idle_since or self._clock.monotonic()
        self.look()

    def refused(self, flow: Flow) -> None:
        """Take note of a wrong password."""
        self._refused_from = flow.remote[0]
        self.look()

    def recall_refusal(self) -> None:
        """Take note of a wrong password before a restart, if nothing is heard since."""
        if self._heard_at is None and self._refused_from is None:
            self._refused_from = ""
            self.look()

    def forgive(self) -> None:
        """Let the phone try again at once: the line has other credentials now."""
        if self._refused_from is not None:
            if self._refused_from:
                self._server.unblock(self._refused_from)
            self._refused_from = None
            self.look()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """See how far the phone has come, and look again when that may change."""
        self.stop()
        self.status = self._status()
        self.publish()

    def _status(self) -> SyncStatus:
        bindings = self._bindings()
        if self._line.pbx is not None and not bindings:
            self._idle_since = None
            return SyncStatus.NOT_REGISTERED
        if self._line.connected:
            self._idle_since = None
            return SyncStatus.SYNCHRONIZED
        if self._refused_from is not None:
            return SyncStatus.WRONG_PASSWORD
        if self._idle_since is None or not bindings:
            self._idle_since = None
            return SyncStatus.WAITING
        due = self._idle_since + SUBSCRIBE_WAIT
        if due > self._clock.monotonic():
            self._look_at(due)
            return SyncStatus.WAITING
        self._look_at(max(binding.expires_at for binding in bindings))
        return SyncStatus.KEY_SYNC_OFF

    def _look_at(self, when: float) -> None:
        self._timer = self._clock.call_at(when, self.look)


class PhoneMonitor:
    """What is seen of all phones of a listener, known or not.

    It observes the phones of the server and the events of the lines.
    """

    def __init__(
        self,
        server: SipServer,
        lines: Mapping[str, Line],
        passed: PassedPhones,
        unknown_phones: UnknownPhones,
        clock: Clock,
    ) -> None:
        """Start with no phone seen.

        `passed` are those that are registered at PBXs, `unknown_phones` takes those
        that are not known.
        """
        self.unknown_phones = unknown_phones
        self._server = server
        self._lines = lines
        self._passed = passed
        self._clock = clock
        self._phones: dict[str, LinePhone] = {}

    def stop(self) -> None:
        """Look no more."""
        for phone in self._phones.values():
            phone.stop()

    def phone(self, line: Line) -> LinePhone:
        """Return what is seen of the phone of a line."""
        phone = self._phones.get(line.id)
        if phone is None:
            phone = self._phones[line.id] = LinePhone(
                line, self._server, self._passed, self._clock
            )
        return phone

    def line_added(self, line: Line) -> None:
        """Let the phone of a new or changed line in, whatever it tried before."""
        if line.pbx is None:
            if (address := self.unknown_phones.take(line.user)) is not None:
                self._server.unblock(address)
        if line.id in self._phones:
            self._phones[line.id].forgive()
            self._phones[line.id].look()

    def forget(self, line_id: str) -> None:
        """Forget the phone of a line that is no more."""
        if (phone := self._phones.pop(line_id, None)) is not None:
            phone.stop()

    @callback
    def handle_line_event(self, event: LineEvent) -> None:
        """Look at the phone of a line that has gained or lost a subscription."""
        if isinstance(event, FeatureChanged):
            return
        if (phone := self._phones.get(event.line.id)) is not None:
            phone.look()

    # Told by the SIP floor

    def registered(self, binding: ProxyBinding) -> None:
        """Take note of a phone that its PBX has accepted."""
        if (phone := self._phone_at_pbx(binding)) is not None:
            phone.registered(binding)

    def look_at_pbx(self, binding: ProxyBinding) -> None:
        """See how far a phone at a PBX has come, as something there has changed."""
        if (phone := self._phone_at_pbx(binding)) is not None:
            phone.look()

    def _phone_at_pbx(self, binding: ProxyBinding) -> LinePhone | None:
        account = self._server.account_at_pbx(binding.pbx, binding.user)
        line = None if account is None else self._lines.get(account.id)
        return None if line is None else self.phone(line)

    def heard(self, account: Account, request: Request) -> None:
        """Take note of a request of a line's phone."""
        if (line := self._lines.get(account.id)) is not None:
            self.phone(line).heard(request)

    def turned_away(self, request: Request, username: str, flow: Flow) -> None:
        """Take note of a phone with wrong credentials, or none of ours."""
        if (line := self._line_of(request, username)) is not None:
            self.phone(line).refused(flow)
        else:
            self.unknown_phones.note(request, flow)

    def _line_of(self, request: Request, username: str) -> Line | None:
        """Return the line that a phone with wrong credentials wants to be."""
        account = self._server.claimed_account(username, request.to_user)
        return None if account is None else self._lines.get(account.id)
