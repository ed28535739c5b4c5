"""One request of ours to a server, with the answers to its challenges (RFC 3261 22.2).

A request that is challenged is sent again with credentials, in the same dialog with the
next CSeq. It is a wrong password where the server challenges what was answered for the
nonce that it had just given, unless it calls that nonce stale: it is not tried again,
because servers block who guesses.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol, override

from ..access.login import Login
from ..clock import Timers
from ..transaction.client import ClientTransaction, ClientTransactions, ClientUser
from ..transport.flow import Flow, FlowError
from ..wire.message import Response

# Times that one request is sent with a new nonce because the last one was stale.
MAX_STALE: Final = 3


class Link(Protocol):
    """The way to a server, which all lines at it share."""

    def flow(self) -> Flow:
        """Return the way. Raises FlowError where there is none."""

    def speaks(self, flow: Flow) -> bool:
        """Whether a request comes from the server: its address, or our connection."""

    def answered(self) -> None:
        """Count the server as one that answers."""

    def failed(self) -> None:
        """Count a request that was not answered."""


class Agent(Protocol):
    """What a user agent of ours asks of the server that it is a part of."""

    timers: Timers
    requests: ClientTransactions

    def sent_by(self, flow: Flow) -> str:
        """Return our host and port for Via."""

    def contact(self, user: str, flow: Flow) -> str:
        """Return our Contact for a user."""


class Draft(Protocol):
    """A request that can be written any number of times, each with a CSeq of its own."""

    method: str
    call_id: str

    def start(self) -> str:
        """Return the Request-URI."""

    def write(self, flow: Flow) -> tuple[Sequence[str], bytes]:
        """Return header lines and body; not Via, Max-Forwards, credentials, length."""


class Failure(Enum):
    """Why a request has no final answer that says something about it."""

    NO_ANSWER = "no_answer"
    # There was no way to send it over.
    NO_WAY = "no_way"
    WRONG_PASSWORD = "wrong_password"
    # The server asks for a login that we do not have.
    CANNOT_LOG_IN = "cannot_log_in"


type Outcome = Response | Failure


class Exchange(ClientUser):
    """Sends a request, answers challenges, and hands on what comes of it, once."""

    __slots__ = (
        "_agent",
        "_answered",
        "_done",
        "_draft",
        "_link",
        "_login",
        "_stale",
        "_transaction",
    )

    def __init__(
        self,
        agent: Agent,
        link: Link,
        login: Login,
        draft: Draft,
        done: Callable[[Outcome], None],
    ) -> None:
        """Send the request; `done` is called later, never at once."""
        self._agent = agent
        self._link = link
        self._login = login
        self._draft = draft
        self._done = done
        # The challenges that were answered, by status: a proxy and the server behind it
        # may both ask (RFC 3261 22.3).
        self._answered: set[int] = set()
        self._stale = 0
        self._transaction: ClientTransaction | None = None
        self._send()

    def cancel(self) -> None:
        """Forget the request, whatever comes of it."""
        self._done = _ignore
        if self._transaction is not None:
            self._agent.requests.forget(self._transaction)

    def _send(self) -> None:
        draft = self._draft
        requests = self._agent.requests
        branch = requests.new_branch()
        try:
            flow = self._link.flow()
            sent_by = self._agent.sent_by(flow)
            uri = draft.start()
            lines, body = draft.write(flow)
            head = "\r\n".join(
                (
                    f"{draft.method} {uri} SIP/2.0",
                    f"Via: SIP/2.0/{flow.transport} {sent_by};branch={branch};rport",
                    "Max-Forwards: 70",
                    *lines,
                    *self._login.lines(draft.method, uri),
                    f"Content-Length: {len(body)}\r\n\r\n",
                )
            )
            self._transaction = requests.send(
                draft.method,
                branch,
                draft.call_id,
                head.encode("latin-1") + body,
                flow,
                self,
            )
        except FlowError:
            self._agent.timers.after(0, self._has_no_way)

    def _has_no_way(self) -> None:
        self._done(Failure.NO_WAY)

    @override
    def succeeded(self) -> None:
        """Take a 2xx that nobody has read; only those to NOTIFYs are left unread."""

    @override
    def accepted(self, response: Response) -> None:
        """Hand on a 2xx."""
        self._link.answered()
        self._done(response)

    @override
    def refused(self, response: Response) -> None:
        """Answer a challenge, or hand the answer on."""
        self._link.answered()
        if response.status not in (401, 407):
            self._done(response)
            return
        is_stale = self._login.is_stale(response) and self._stale < MAX_STALE
        if response.status in self._answered and not is_stale:
            self._done(Failure.WRONG_PASSWORD)
            return
        if not self._login.take(response):
            self._done(Failure.CANNOT_LOG_IN)
            return
        self._stale += is_stale
        self._answered.add(response.status)
        self._send()

    @override
    def failed(self) -> None:
        """Hand on that nothing came back."""
        self._link.failed()
        self._done(Failure.NO_ANSWER)

    @override
    def unanswered(self) -> bool:
        """Have no other form of a request."""
        return False


def _ignore(_: Outcome) -> None:
    """Do nothing: nobody wants to know any more."""
