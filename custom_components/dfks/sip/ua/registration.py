"""A registration of our own at a server (RFC 3261 10.2), for a line that is followed.

Some servers take a SUBSCRIBE only from who is registered. Calls that come for it are
refused; see `following`.
"""

from collections.abc import Callable, Sequence
import secrets

from ..access.login import Login
from ..clock import Timer
from ..transport.flow import Flow
from ..wire.headers import HeaderError, number, parse_address
from ..wire.message import Response
from .exchange import Agent, Exchange, Failure, Link, Outcome
from .pauses import (
    LASTING,
    LONG_PAUSE,
    MAX_BACK_OFF,
    MAX_SILENCE,
    BackOff,
    min_expires_of,
    refresh_after,
    retry_after_of,
)
from .subscriber_dialog import EXPIRES, SubscriberConfig

# The Contacts of a line, None where the server does not say.
type Contacts = tuple[str, ...] | None


class _Draft:
    """A REGISTER; without `expires` it only asks for the bindings (RFC 3261 10.2.3)."""

    method = "REGISTER"

    def __init__(self, config: SubscriberConfig, agent: Agent) -> None:
        self._config = config
        self._agent = agent
        self._tag = secrets.token_hex(8)
        self._cseq = 0
        self.call_id = secrets.token_hex(12)
        self.expires: int | None = EXPIRES
        self.contact = ""

    def start(self) -> str:
        """Return the Request-URI."""
        return f"sip:{self._config.server_uri}"

    def write(self, flow: Flow) -> tuple[Sequence[str], bytes]:
        """Write a REGISTER with the next CSeq."""
        self._cseq += 1
        config = self._config
        lines = [
            *(f"Route: {route}" for route in config.routes()),
            f"From: <{config.address}>;tag={self._tag}",
            f"To: <{config.address}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self._cseq} REGISTER",
        ]
        if self.expires is not None:
            self.contact = self._agent.contact(config.user, flow)
            lines += [f"Contact: {self.contact}", f"Expires: {self.expires}"]
        return lines, b""


class Registration:
    """Keeps a line registered. Nothing is sent before `start`."""

    def __init__(
        self,
        config: SubscriberConfig,
        agent: Agent,
        link: Link,
        login: Login,
        registered: Callable[[], None],
        failed: Callable[[Failure | int], None],
    ) -> None:
        """Call `registered` with each 2xx, `failed` with the reason or the status."""
        self._agent = agent
        self._link = link
        self._login = login
        self._registered = registered
        self._failed = failed
        self._draft = _Draft(config, agent)
        self._exchange: Exchange | None = None
        self._timer: Timer | None = None
        self._back_off = BackOff()
        # Whether more time was asked for since the last 2xx, as a 423 wanted.
        self._lengthened = False
        # Whether the server has a binding of ours.
        self.is_there = False

    def start(self, delay: float = 0.0) -> None:
        """Register in some seconds, and keep it up from then on."""
        self.stop()
        self._timer = self._agent.timers.after(delay, self._send)

    def stop(self) -> None:
        """Send nothing any more, without a word to the server."""
        if self._timer is not None:
            self._agent.timers.cancel(self._timer)
        if self._exchange is not None:
            self._exchange.cancel()
        self._timer = self._exchange = None

    def end(self, done: Callable[[], None]) -> None:
        """Take our binding away; `done` is called when that is over."""
        self.stop()
        if not self.is_there:
            self._agent.timers.after(0, done)
            return
        self.is_there = False
        self._draft.expires = 0
        self._exchange = Exchange(
            self._agent, self._link, self._login, self._draft, lambda _: done()
        )

    def _send(self) -> None:
        self._timer = None
        self._exchange = Exchange(
            self._agent, self._link, self._login, self._draft, self._finished
        )

    def _finished(self, outcome: Outcome) -> None:
        self._exchange = None
        if isinstance(outcome, Failure):
            if outcome in (Failure.NO_ANSWER, Failure.NO_WAY):
                self._try_later(longest=MAX_SILENCE)
            self._failed(outcome)
        elif outcome.status < 300:
            self.is_there = True
            self._back_off.succeeded()
            self._lengthened = False
            self._timer = self._agent.timers.after(
                refresh_after(self._granted(outcome)), self._send
            )
            self._registered()
        elif outcome.status == 423 and self._lengthen(outcome):
            self._send()
        else:
            # 403 is what some servers say to a wrong password: no more guesses.
            is_lasting = outcome.status in LASTING
            self._try_later(LONG_PAUSE if is_lasting else retry_after_of(outcome))
            self._failed(outcome.status)

    def _try_later(
        self, wanted: float | None = None, *, longest: float = MAX_BACK_OFF
    ) -> None:
        """Try again in `wanted` seconds, or in a while that doubles (S8)."""
        pause = self._back_off.pause(wanted, longest)
        self._timer = self._agent.timers.after(pause, self._send)

    def _lengthen(self, response: Response) -> bool:
        wanted = min_expires_of(response, self._draft.expires or 0)
        if self._lengthened or wanted is None:
            return False
        self._draft.expires = wanted
        self._lengthened = True
        return True

    def _granted(self, response: Response) -> int:
        """Return for how many seconds the server keeps our binding (10.2.4)."""
        try:
            for value in response.values("contact"):
                address = parse_address(value)
                if f"<{address.uri}>" == self._draft.contact:
                    text = address.parameters.get("expires") or ""
                    if seconds := number(text, 2**31):
                        return seconds
        except HeaderError:
            pass
        text = (response.get("expires") or "").strip()
        return number(text, 2**31) or self._draft.expires or EXPIRES


def fetch_contacts(
    config: SubscriberConfig,
    agent: Agent,
    link: Link,
    login: Login,
    done: Callable[[Contacts, Outcome], None],
) -> None:
    """Ask for what is registered for a line, without a Contact of ours (10.2.3)."""
    draft = _Draft(config, agent)
    draft.expires = None

    def finished(outcome: Outcome) -> None:
        contacts: Contacts = None
        if isinstance(outcome, Response) and outcome.status < 300:
            try:
                contacts = tuple(
                    parse_address(value).uri for value in outcome.values("contact")
                )
            except HeaderError:
                contacts = None
        done(contacts, outcome)

    Exchange(agent, link, login, draft, finished)
