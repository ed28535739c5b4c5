"""The subscriber's side of RFC 6665: one line at a server that notifies.

Theory of operation
-------------------
A subscriber is in one of these states, which `Subscriber.status` tells:

    waiting          the first SUBSCRIBE is to come, or has not led to a NOTIFY yet
    active           the server has accepted, and NOTIFYs come
    unreachable      no answer: asked again by and by
    ended, refused   the server has ended it, or does not want it now: asked again
    not supported    the server does not know the event package: asked in an hour
    wrong password, cannot log in    parked until the line is configured anew

- A subscription is a dialog of its own: Call-ID and From tag are new each time (S1).
  2xx or NOTIFY, whichever comes first, makes it; the From tag of the first NOTIFY stays
  (S4). Only a NOTIFY makes it active; without one 64*T1 after the 2xx, another dialog is
  tried (S6, timer N of RFC 6665 4.1.2.4); so it is after a refresh, because what was
  told last may be old then.
- It is refreshed at 80 to 90 % of its time (S3). What fails for good (481 and the like)
  ends the dialog, and another is begun (S8); what fails for now leaves it until its time
  is over, and is tried again after a while that doubles.
- One request at a time is under way; what is asked with a body waits for it.
- What is wrong with the password is not tried again (S2).
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
import logging
import secrets
from typing import Final, Protocol

from ..access.login import Login
from ..clock import Clock, Timer
from ..transaction.server import ServerTransaction
from ..transaction.timing import TIMEOUT
from ..transport.flow import Flow
from ..wire.headers import (
    HeaderError,
    number,
    parse_address,
    parse_parameters,
    parse_uri,
)
from ..wire.message import Request, Response, SipError
from .exchange import Agent, Exchange, Failure, Link, Outcome
from .pauses import (
    LASTING,
    LONG_PAUSE,
    MAX_BACK_OFF,
    MAX_SILENCE,
    MIN_BACK_OFF,
    BackOff,
    min_expires_of,
    read_retry_after,
    refresh_after,
    retry_after_of,
)
from .subscriber_dialog import EXPIRES, Package, SubscriberConfig, SubscriberDialog

_LOGGER = logging.getLogger(__name__)

# Seconds within which a connection that is lost comes back, and the name of a server is
# found, without a word about it.
GRACE: Final = 5.0

# Answers to a request in a dialog that end the dialog's subscription (RFC 6665 4.1.2.2).
_ENDING: Final = frozenset({404, 405, 410, 416, *range(480, 486), 489, 501, 604})

# What a server says that does not know the package, or SUBSCRIBE at all.
_NOT_SUPPORTED: Final = frozenset({405, 489, 501})

# Reasons of a Subscription-State (RFC 6665 4.1.3).
_AT_ONCE: Final = frozenset({"deactivated", "timeout"})
_LATER: Final = frozenset({"rejected", "noresource", "invariant"})


class SubscriptionStatus(StrEnum):
    """How far a subscription has come."""

    WAITING = "waiting"
    ACTIVE = "active"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_SUPPORTED = "not_supported"
    WRONG_PASSWORD = "wrong_password"
    CANNOT_LOG_IN = "cannot_log_in"


class SubscriberEvents(Protocol):
    """Who is told what a server says."""

    def notified(self, content_type: str, body: bytes) -> None:
        """Take the body of a NOTIFY."""

    def status_changed(self) -> None:
        """Take note of another status, or of a certificate that is refused."""


# Called with the status of the final answer, 0 where there is none.
type Answered = Callable[[int], None]


class Subscriber:
    """Keeps one line subscribed. Nothing is sent before `start`."""

    def __init__(
        self,
        config: SubscriberConfig,
        package: Package,
        agent: Agent,
        link: Link,
        clock: Clock,
        events: SubscriberEvents,
        dialogs: dict[str, Subscriber],
    ) -> None:
        """Subscribe over `link`, and tell `events`.

        `dialogs` has the subscribers that have a dialog, by its Call-ID.
        """
        self.config = config
        self.login = Login(config.username, config.password)
        self.status = SubscriptionStatus.WAITING
        # The status of the answer that led to it, 0 without one.
        self.code = 0
        self._package = package
        self._agent = agent
        self._link = link
        self._clock = clock
        self._events = events
        self._dialogs = dialogs
        self._dialog: SubscriberDialog | None = None
        self._exchange: Exchange | None = None
        self._asks: deque[tuple[bytes, Answered]] = deque()
        self._answered: Answered | None = None
        # The next thing to do by itself, and what a NOTIFY or a connection is waited for.
        self._timer: Timer | None = None
        self._guard: Timer | None = None
        self._expires = EXPIRES
        # The least that the server takes, and whether it has said so since the last 2xx:
        # one that wants ever longer is not asked at once again.
        self._min_expires = 0
        self._lengthened = False
        self._back_off = BackOff()
        self._begun_at = -MIN_BACK_OFF
        # Whether nothing has been tried yet.
        self._is_new = True
        # Whether the last NOTIFY came with a count that was too low.
        self._behind = False
        self._parked = False
        self._stopped = False

    # Life

    def start(self, delay: float = 0.0) -> None:
        """Subscribe, in `delay` seconds; what is tried already is given up."""
        if delay:
            # Its refusal would put this off.
            self._drop()
            self._later(delay, self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        """Send nothing any more, without a word to the server."""
        self._stopped = True
        self._drop()
        self._set_timer(None)

    def end(self, done: Callable[[], None]) -> None:
        """End the subscription with Expires 0; `done` is called when that is over."""
        dialog = self._dialog
        self.stop()
        if dialog is None or dialog.remote_tag is None:
            self._agent.timers.after(0, done)
            return
        dialog.expires, dialog.body = 0, b""
        self._exchange = Exchange(
            self._agent, self._link, self.login, dialog, lambda _: done()
        )

    def park(self, status: SubscriptionStatus, code: int = 0) -> None:
        """Try no more until the line is configured anew."""
        self._drop()
        self._set_timer(None)
        self._parked = True
        self._set_status(status, code)

    def release(self) -> None:
        """Try again, whatever has come of it before."""
        self._parked = False

    def hold(self, status: SubscriptionStatus, code: int = 0) -> None:
        """Take note that something else keeps the line from subscribing for now."""
        self._set_status(status, code)

    @property
    def active(self) -> bool:
        """Whether the server tells what happens."""
        return self.status is SubscriptionStatus.ACTIVE

    @property
    def may_try(self) -> bool:
        """Whether it is only the way to the server that is missing."""
        return self.status in (
            SubscriptionStatus.WAITING,
            SubscriptionStatus.UNREACHABLE,
        )

    @property
    def is_begun(self) -> bool:
        """Whether it has a dialog, or tries to have one."""
        return self._dialog is not None or self._timer is not None or self._parked

    # What is asked

    def ask(self, body: bytes, answered: Answered) -> None:
        """Send a body in the dialog; `answered` gets the status, later, 0 without one."""
        if self._dialog is None or not self._dialog.confirmed or self._stopped:
            self._agent.timers.after(0, lambda: answered(0))
            return
        self._asks.append((body, answered))
        self._go_on()

    def refresh(self) -> None:
        """Ask for the full state, with the next request."""
        if self._dialog is not None and self._dialog.confirmed:
            self._asks.append((b"", _ignore))
            self._go_on()

    def _go_on(self) -> None:
        if self._exchange is None and self._dialog is not None and self._asks:
            body, self._answered = self._asks.popleft()
            self._send(self._dialog, body)

    # Going out

    def _begin(self) -> None:
        """Begin a new dialog (S1)."""
        self._drop()
        self._begun_at = self._clock.monotonic()
        self._dialog = SubscriberDialog(
            self.config,
            self._package,
            self._agent,
            secrets.token_hex(12),
            secrets.token_hex(8),
            routes=self.config.routes(),
        )
        self._dialogs[self._dialog.call_id] = self
        self._send(self._dialog)

    def _send(self, dialog: SubscriberDialog, body: bytes = b"") -> None:
        dialog.body, dialog.notified = body, False
        dialog.expires = self._expires
        if body and dialog.expires_at is not None:
            # A change is no refresh: what is left of the time stays (S9).
            left = round(dialog.expires_at - self._clock.monotonic())
            if left > MIN_BACK_OFF:
                dialog.expires = max(min(left, self._expires), self._min_expires)
        self._exchange = Exchange(
            self._agent,
            self._link,
            self.login,
            dialog,
            lambda outcome: self._finished(dialog, outcome),
        )

    def _drop(self) -> None:
        """Forget the dialog, and all that waits for it."""
        if self._exchange is not None:
            self._exchange.cancel()
        if self._guard is not None:
            self._agent.timers.cancel(self._guard)
        if self._dialog is not None:
            del self._dialogs[self._dialog.call_id]
        asks = [answered for _, answered in self._asks]
        if self._answered is not None:
            asks.insert(0, self._answered)
        self._exchange = self._guard = self._dialog = self._answered = None
        self._asks.clear()
        for answered in asks:
            answered(0)

    # What comes back

    def _finished(self, dialog: SubscriberDialog, outcome: Outcome) -> None:
        """Take what became of a SUBSCRIBE."""
        self._exchange = None
        if self._lengthen(dialog, outcome):
            if dialog.confirmed:
                self._send(dialog, dialog.body)
            else:
                self._later(0.0, self._begin)
            return
        answered, self._answered = self._answered, None
        status = outcome.status if isinstance(outcome, Response) else 0
        try:
            self._take(dialog, outcome)
        finally:
            if answered is not None:
                answered(status)
        self._go_on()

    def _take(self, dialog: SubscriberDialog, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self._take_failure(dialog, outcome)
        elif outcome.status < 300:
            self._take_ok(dialog, outcome)
        elif not dialog.confirmed or outcome.status in _ENDING:
            self._take_end(dialog, outcome)
        elif not dialog.body:
            self._again(self._back_off.pause(retry_after_of(outcome)), dialog)

    def _take_ok(self, dialog: SubscriberDialog, response: Response) -> None:
        """Take a 2xx: it makes the dialog where no NOTIFY has done so before (S4)."""
        if dialog.remote_tag is None:
            try:
                dialog.remote_tag = parse_address(response.get("to") or "").parameters[
                    "tag"
                ]
                routes = response.values("record-route")[::-1]
                dialog.target = _target(response)
            except (HeaderError, KeyError) as err:
                _LOGGER.debug("A 2xx to a SUBSCRIBE is malformed: %s", err)
                self._retry(SubscriptionStatus.REFUSED, response.status)
                return
            if routes:
                dialog.routes = routes
        self._lengthened = False
        granted = number((response.get("expires") or "").strip(), 2**31)
        seconds = granted or dialog.expires
        self._run_until(dialog, min(seconds, dialog.expires))
        if not (dialog.notified or dialog.body) and self._guard is None:
            self._guard = self._agent.timers.after(TIMEOUT, self._not_notified)
        if dialog.confirmed and not self.active and not self._stopped:
            self._back_off.succeeded()
            self._set_status(SubscriptionStatus.ACTIVE)

    def _run_until(self, dialog: SubscriberDialog, seconds: float) -> None:
        """Let a subscription run for some seconds, and refresh it before (S3)."""
        dialog.expires_at = self._clock.monotonic() + seconds
        self._later(refresh_after(seconds), lambda: self._renew(dialog))

    def _renew(self, dialog: SubscriberDialog) -> None:
        """Refresh a subscription, or begin another where its time is over."""
        if (
            dialog is not self._dialog
            or not dialog.confirmed
            or (dialog.expires_at or 0.0) <= self._clock.monotonic()
        ):
            self._begin()
        else:
            self.refresh()

    def _not_notified(self) -> None:
        """Take that no NOTIFY has come (S6)."""
        self._guard = None
        self._retry(
            SubscriptionStatus.UNREACHABLE, 0, at_once=not self._back_off.has_failed
        )

    def _lengthen(self, dialog: SubscriberDialog, outcome: Outcome) -> bool:
        """Ask for as long as a server wants at least; False where that is no answer."""
        if not isinstance(outcome, Response) or outcome.status != 423:
            return False
        wanted = min_expires_of(outcome, dialog.expires)
        if self._lengthened or wanted is None:
            return False
        self._lengthened = True
        self._min_expires = wanted
        self._expires = max(self._expires, wanted)
        return True

    def _take_failure(self, dialog: SubscriberDialog, failure: Failure) -> None:
        if failure is Failure.WRONG_PASSWORD:
            self.park(SubscriptionStatus.WRONG_PASSWORD)
        elif failure is Failure.CANNOT_LOG_IN:
            self.park(SubscriptionStatus.CANNOT_LOG_IN)
        elif dialog.confirmed:
            # It may still be there: it is asked for in its dialog as long as it lasts.
            self._again(self._back_off.pause(longest=MAX_SILENCE), dialog)
            self._set_status(SubscriptionStatus.UNREACHABLE)
        elif failure is Failure.NO_WAY and self._is_new:
            # The name of the server is looked up meanwhile.
            self._is_new = False
            self._drop()
            self._later(GRACE, self._begin)
        else:
            self._retry(SubscriptionStatus.UNREACHABLE, longest=MAX_SILENCE)

    def _take_end(self, dialog: SubscriberDialog, response: Response) -> None:
        """Take an answer after which there is no subscription."""
        code = response.status
        if dialog.confirmed and code in (404, 481):
            # The server has forgotten it: it may have been restarted (S8).
            self._retry(SubscriptionStatus.REFUSED, code, at_once=True)
        elif code in _NOT_SUPPORTED:
            self._retry(SubscriptionStatus.NOT_SUPPORTED, code, pause=LONG_PAUSE)
        elif code in LASTING:
            self._retry(SubscriptionStatus.REFUSED, code, pause=LONG_PAUSE)
        elif code == 408:
            self._retry(SubscriptionStatus.UNREACHABLE, code, longest=MAX_SILENCE)
        else:
            pause = retry_after_of(response)
            self._retry(SubscriptionStatus.REFUSED, code, pause=pause)

    # Trying again

    def _retry(
        self,
        status: SubscriptionStatus,
        code: int = 0,
        *,
        pause: float | None = None,
        longest: float = MAX_BACK_OFF,
        at_once: bool = False,
    ) -> None:
        """Give a dialog up, and begin another one at once or after a while.

        That is `pause`, or one that doubles up to `longest`.
        """
        self._drop()
        self._set_status(status, code)
        # What ends at once again and again is no reason to ask at once again.
        if at_once and self._clock.monotonic() - self._begun_at >= MIN_BACK_OFF:
            self._back_off.failed()
            self._later(0.0, self._begin)
        else:
            self._later(self._back_off.pause(pause, longest), self._begin)

    def _again(self, delay: float, dialog: SubscriberDialog) -> None:
        """Send a SUBSCRIBE in the same dialog, or in another once its time is over."""
        if dialog.confirmed:
            self._later(delay, lambda: self._renew(dialog))
        else:
            self._later(delay, self._begin)

    def _later(self, delay: float, do: Callable[[], None]) -> None:
        if not (self._parked or self._stopped):
            self._set_timer(self._agent.timers.after(delay, do))

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer is not None:
            self._agent.timers.cancel(self._timer)
        self._timer = timer

    def _set_status(self, status: SubscriptionStatus, code: int = 0) -> None:
        if (status, code) != (self.status, self.code):
            self.status, self.code = status, code
            self._events.status_changed()

    # The connection

    def link_lost(self) -> None:
        """Take note that the connection is gone: NOTIFYs may not get through."""
        if self.active and self._guard is None:
            self._guard = self._agent.timers.after(GRACE, self._cut_off)

    def _cut_off(self) -> None:
        self._guard = None
        if self.active:
            self._set_status(SubscriptionStatus.UNREACHABLE)

    def link_found(self, delay: float) -> None:
        """Take note that there is a way again, and use it in `delay` seconds."""
        if self._guard is not None and self._dialog and self._dialog.confirmed:
            self._agent.timers.cancel(self._guard)
            self._guard = None
        if self._dialog is not None and self._dialog.confirmed:
            dialog = self._dialog
            self._later(delay, lambda: self._renew(dialog))
        elif self.may_try and self._exchange is None:
            self._later(delay, self._begin)

    # NOTIFYs

    def is_of(self, request: Request, flow: Flow) -> bool:
        """Whether a NOTIFY with our Call-ID is in our dialog, and from its server.

        By the To tag, and by who sent the first one.
        """
        dialog = self._dialog
        return (
            dialog is not None
            and request.to_tag == dialog.tag
            and request.from_tag is not None
            and dialog.remote_tag in (None, request.from_tag)
            and self._link.speaks(flow)
        )

    def notify(self, transaction: ServerTransaction) -> None:
        """Take a NOTIFY in our dialog. Raises SipError."""
        request, dialog = transaction.request, self._dialog
        assert dialog is not None
        event = (request.get("event") or "").partition(";")[0].strip().lower()
        if event != self._package.event:
            raise SipError(489, None, (f"Allow-Events: {self._package.event}",))
        if request.cseq <= dialog.remote_cseq:
            self._fall_behind()
            raise SipError(500, "CSeq Too Low")
        state, parameters = _read_state(request.get("subscription-state") or "")
        self._behind = False
        dialog.remote_cseq = request.cseq
        self._make(dialog, request)
        transaction.reply(200)
        body = request.body
        if body:
            self._events.notified(request.get("content-type") or "", body)
        if self._stopped or dialog is not self._dialog:
            return
        if state == "terminated":
            self._terminated(parameters)
        else:
            self._confirm(dialog, parameters)

    @staticmethod
    def _make(dialog: SubscriberDialog, request: Request) -> None:
        """Take the server's side of the dialog from its NOTIFY."""
        try:
            target = _target(request)
            routes = request.values("record-route")
        except HeaderError as err:
            _LOGGER.debug("Contact or Record-Route of a NOTIFY: %s", err)
            target, routes = "", []
        if dialog.remote_tag is None:
            dialog.remote_tag = request.from_tag
            if routes:
                dialog.routes = routes
        dialog.target = target or dialog.target

    def _confirm(
        self, dialog: SubscriberDialog, parameters: dict[str, str | None]
    ) -> None:
        """Take a NOTIFY that says that the subscription goes on."""
        dialog.confirmed = dialog.notified = True
        if self._guard is not None:
            self._agent.timers.cancel(self._guard)
            self._guard = None
        left = number((parameters.get("expires") or "").strip(), 2**31)
        at = self._clock.monotonic()
        if left and (dialog.expires_at is None or at + left < dialog.expires_at - 1):
            self._run_until(dialog, left)
        self._back_off.succeeded()
        self._set_status(SubscriptionStatus.ACTIVE)

    def _terminated(self, parameters: dict[str, str | None]) -> None:
        """Take the end of a subscription (S7, RFC 6665 4.1.3)."""
        reason = (parameters.get("reason") or "").lower()
        if reason in _AT_ONCE:
            self._retry(SubscriptionStatus.WAITING, at_once=True)
        elif reason in _LATER:
            self._retry(SubscriptionStatus.REFUSED, pause=LONG_PAUSE)
        else:
            pause = read_retry_after(parameters.get("retry-after") or "")
            self._retry(SubscriptionStatus.REFUSED, pause=pause)

    def _fall_behind(self) -> None:
        """Take a NOTIFY that comes too late, or whose server has lost count (S5).

        What it says is asked for; a server that goes on so is subscribed to anew, as it
        would not be understood for a long time.
        """
        if self._behind:
            self._behind = False
            self._later(
                0.0, lambda: self._retry(SubscriptionStatus.WAITING, at_once=True)
            )
            return
        self._behind = True
        self.refresh()


def _target(message: Request | Response) -> str:
    """Return the URI of Contact, the empty text without one. Raises HeaderError."""
    contacts = message.values("contact")
    if not contacts:
        return ""
    uri = parse_address(contacts[0]).uri
    return uri if parse_uri(uri).is_sip else ""


def _read_state(text: str) -> tuple[str, dict[str, str | None]]:
    """Read a Subscription-State, also FreeSWITCH's `active, N`."""
    state, _, rest = text.partition(";")
    try:
        parameters = parse_parameters(rest)
    except HeaderError:
        parameters = {}
    return state.partition(",")[0].strip().lower(), parameters


def _ignore(_: int) -> None:
    """Do nothing: a refresh is nobody's question."""
