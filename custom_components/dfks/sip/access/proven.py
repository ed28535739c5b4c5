"""Lines at a PBX: the PBX has asked for the password, so nobody here does.

A 2xx to a REGISTER that was passed proves the way it came, its flow, for the line. A
SUBSCRIBE from there needs no credentials; those in it are the PBX's and are not looked
at. In a dialog the To tag is the proof: 64 random bits that only the phone has seen.

A datagram can be written in a phone's name by anybody in its network. So what a phone
changes over UDP counts only in a dialog.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..transaction.server import ServerTransaction
from ..transport.flow import Flow
from ..wire.headers import HeaderError, Uri, parse_address, parse_uri
from ..wire.message import Request, SipError
from .accounts import Account, Accounts

# Seconds after which a phone may ask again whose REGISTER the PBX has not accepted yet,
# or whose line has not been added yet. After a 403 many phones would never ask again.
RETRY_AFTER = 30


class ProvenLine(Protocol):
    """A line of which a PBX has said that its phone knows the password."""

    @property
    def pbx(self) -> str:
        """The id of the PBX."""

    @property
    def user(self) -> str:
        """The user of the line there."""


class Proofs(Protocol):
    """Knows what PBXs have accepted."""

    def proven(self, flow: Flow) -> Sequence[ProvenLine]:
        """Return the lines that a flow is proven for."""

    def is_at_pbx(self, uri: Uri, flow: Flow) -> bool:
        """Whether a URI names a PBX, seen from a flow."""


class ProvenFlows:
    """Vouches for SUBSCRIBEs of lines at a PBX."""

    def __init__(
        self,
        proofs: Proofs,
        accounts: Accounts,
        account_of_dialog: Callable[[Request], Account | None],
        mark_authenticated: Callable[[str], None],
    ) -> None:
        """Vouch for accounts at a PBX; the address of each is marked as known."""
        self._proofs = proofs
        self._accounts = accounts
        self._account_of_dialog = account_of_dialog
        self._mark_authenticated = mark_authenticated

    def vouch(self, transaction: ServerTransaction) -> Account | None:
        """Return the line at a PBX whose SUBSCRIBE it is, None for all else.

        Raises SipError.
        """
        request, flow = transaction.request, transaction.flow
        if request.method != "SUBSCRIBE":
            return None
        account = None
        if request.to_tag is not None:
            account = self._account_of_dialog(request)
            if account is not None and account.pbx is None:
                return None
        if account is None:
            account = self._account_of(request, flow)
            if account is None:
                return None
            transaction.may_change = flow.reliable
        flow.mark_authenticated()
        self._mark_authenticated(flow.remote[0])
        return account

    def _account_of(self, request: Request, flow: Flow) -> Account | None:
        """Return the line of a request in no dialog of ours. Raises SipError."""
        try:
            user = parse_uri(parse_address(request.fields["from"]).uri).user
            to = parse_uri(parse_address(request.fields["to"]).uri)
            at_pbx = self._proofs.is_at_pbx(request.target, flow)
        except HeaderError as err:
            raise SipError(400, str(err)) from err
        is_here = self._accounts.is_here(to.user)
        if is_here and not at_pbx:
            return None
        proven = self._proofs.proven(flow)
        for line in proven:
            if line.user == user == to.user:
                account = self._accounts.at_pbx(line.pbx, user)
                if account is None:
                    raise _not_yet(request)
                return account
        if proven:
            raise SipError(403, "Not your line")
        if is_here:
            return None
        if at_pbx or self._accounts.is_at_any_pbx(to.user):
            raise _not_yet(request)
        return None


def _not_yet(request: Request) -> SipError:
    """Return the answer to a phone that is to ask again later."""
    if request.to_tag is not None:
        return SipError(481)
    return SipError(480, None, (f"Retry-After: {RETRY_AFTER}",))
