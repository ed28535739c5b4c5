"""Who a request is from: the first that can say so decides.

A trusted proxy has asked for the password itself. Everybody else is asked for it by a
digest challenge; who guesses is slowed down and blocked. Other proofs, such as a flow
that is proven, come before the digest as further vouchers.
"""

from collections.abc import Callable
import contextlib
from functools import partial

from ..clock import Timers
from ..inspect.observer import PhoneObserver
from ..inspect.source_log import SourceLog
from ..transaction.server import ServerTransaction, TransactionKey
from ..transport.flow import FlowError
from ..wire.message import Request, SipError
from .accounts import Account, Accounts
from .digest import Authenticator, Outcome
from .guard import Guard

# Challenges that wait at one time because their sources failed before.
MAX_DELAYED = 100

# Returns whose request it is, None where that cannot be said. Raises SipError.
type Voucher = Callable[[ServerTransaction], Account | None]

# Returns the account whose dialog a request is in.
type DialogAccount = Callable[[Request], Account | None]


class Admission:
    """Decides whose request it is, or challenges who sent it."""

    def __init__(
        self,
        timers: Timers,
        guard: Guard,
        authenticator: Authenticator,
        accounts: Accounts,
        log: SourceLog,
        account_of_dialog: DialogAccount,
        is_full: Callable[[str], bool],
    ) -> None:
        """Ask a digest of everybody but trusted proxies.

        `account_of_dialog` finds the account of a request in a dialog, `is_full` says
        whether a source has as many transactions as it may have.
        """
        self._timers = timers
        self._guard = guard
        self._authenticator = authenticator
        self._accounts = accounts
        self._log = log
        self._account_of_dialog = account_of_dialog
        self._is_full = is_full
        self._delayed: set[TransactionKey] = set()
        self.vouchers: list[Voucher] = [self._vouched_by_proxy]
        self.observer: PhoneObserver | None = None

    @property
    def delayed(self) -> int:
        """How many challenges wait because their sources failed before."""
        return len(self._delayed)

    def trust_everybody(self) -> None:
        """Ask nobody for a password; only to measure what the rest costs."""
        self.vouchers.append(self._line_of)

    def admit(self, transaction: ServerTransaction) -> bool:
        """Fill in the account; else answer, or drop the request, and return False.

        Raises SipError.
        """
        for voucher in self.vouchers:
            account = voucher(transaction)
            if account is not None:
                transaction.account = account
                return True
        return self._check_digest(transaction)

    def _check_digest(self, transaction: ServerTransaction) -> bool:
        request, flow = transaction.request, transaction.flow
        address = flow.remote[0]
        guard = self._guard
        verdict = self._authenticator.check(
            request,
            address,
            self._accounts.hashes_of,
            partial(self._judges, request, address) if guard.watchful else None,
        )
        if verdict.outcome is Outcome.RIGHT:
            self._note_login(transaction, verdict.username)
            return True
        if verdict.outcome is Outcome.BLOCKED:
            self._log.info(address, "A user is blocked there after wrong passwords")
            return False
        stale = verdict.outcome is Outcome.STALE
        challenge = self._authenticator.challenge(request, address, stale=stale)
        if verdict.outcome is Outcome.WRONG:
            self._log.info(
                address,
                "Wrong user or password in a %s of %r",
                request.method,
                verdict.username,
            )
            if self.observer is not None:
                self.observer.turned_away(request, verdict.username, flow)
            delay = guard.failed(
                address, verdict.username, request.fields["authorization"]
            )
            if delay is None:
                return False
            if delay:
                self._challenge_later(delay, transaction, challenge)
                return False
        transaction.reply(401, challenge)
        return False

    def _note_login(self, transaction: ServerTransaction, username: str) -> None:
        """Note a right password. Raises SipError where the source asks too much."""
        account = self._accounts.named(username)
        assert account is not None
        transaction.flow.mark_authenticated()
        address = transaction.flow.remote[0]
        account.add_source(self._guard.succeeded(address, username))
        if self._is_full(address):
            raise SipError(503, "Too many requests", ("Retry-After: 32",))
        transaction.account = account

    def _judges(self, request: Request, address: str, username: str) -> bool:
        """Whether credentials are looked at although something is blocked."""
        guard = self._guard
        account = self._accounts.named(username)
        known = (
            account is not None and guard.standing(address).source in account.sources
        )
        if guard.judges(address, username, known=known):
            return True
        if account is None or request.to_tag is None:
            return False
        return self._account_of_dialog(request) is account and guard.spares_dialog(
            address, username
        )

    def _vouched_by_proxy(self, transaction: ServerTransaction) -> Account | None:
        """Return the line of a request that a trusted proxy has let through."""
        flow = transaction.flow
        if not self._guard.standing(flow.remote[0]).proxy:
            return None
        flow.mark_authenticated()
        return self._line_of(transaction)

    def _line_of(self, transaction: ServerTransaction) -> Account:
        """Return the line that a request names. Raises SipError."""
        request = transaction.request
        account = None
        if request.to_tag is not None:
            account = self._account_of_dialog(request)
        account = account or self._accounts.of_target(request)
        if account is None:
            raise SipError(404, "No such line")
        return account

    def _challenge_later(
        self,
        delay: float,
        transaction: ServerTransaction,
        challenge: tuple[str, ...],
    ) -> None:
        """Slow a guesser down; where many are being slowed down, stay silent."""
        key = transaction.key
        if key in self._delayed or len(self._delayed) >= MAX_DELAYED:
            return

        def send() -> None:
            self._delayed.discard(key)
            with contextlib.suppress(FlowError):
                transaction.reply(401, challenge)

        self._delayed.add(key)
        self._timers.after(delay, send)
