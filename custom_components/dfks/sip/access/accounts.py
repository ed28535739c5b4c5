"""The lines that may log in, and which of them a request is about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..checks import target_of
from ..transport.flow import Flow
from ..wire.headers import HeaderError, Uri, parse_address, parse_uri
from ..wire.message import Request, SipError
from .digest import Hashes

# Sources remembered as those of one line; of more the one that came first is forgotten.
MAX_SOURCES = 8


@dataclass(slots=True, kw_only=True)
class Binding:
    """One Contact of a line."""

    uri: Uri
    # The Contact as the phone wrote it, without expires.
    text: str
    expires_at: float
    call_id: str
    cseq: int
    path: tuple[str, ...]
    instance: str | None
    reg_id: str | None
    user_agent: str | None
    flow: Flow


class Account:
    """One line as SIP knows it: an address-of-record, and who may log in for it.

    Compared by identity: an account keeps its dialogs when user or password change.
    """

    __slots__ = ("bindings", "hashes", "id", "pbx", "sources", "user", "username")

    def __init__(
        self,
        id: str,
        user: str,
        username: str,
        hashes: Hashes,
        pbx: str | None = None,
    ) -> None:
        """Make an account without bindings.

        `id` stays when all else changes; `user` is decoded. `username` and `hashes`
        are for digest. `pbx` is the id of the PBX where the phones of the line are
        registered, through here; None for a line that is registered here. A line at a
        PBX has neither username nor hashes: the PBX has asked for the password.
        """
        self.id = id
        self.user = user
        self.pbx = pbx
        self.username = username
        self.hashes = hashes
        # Tuples, because most lines have few and every list takes memory. `sources`
        # are those that have logged in for the account, as `Standing` has them.
        self.bindings: tuple[Binding, ...] = ()
        self.sources: tuple[str, ...] = ()

    def add_source(self, source: str) -> None:
        """Remember a source that has logged in for the account."""
        if source not in self.sources:
            self.sources = (*self.sources[1 - MAX_SOURCES :], source)

    def check_target(self, target: Account | None) -> None:
        """Refuse a request for no line, or for another line than this. Raises SipError."""
        if target is None:
            raise SipError(404, "No such line")
        if target is not self:
            raise SipError(403, "Not your line")


class Accounts:
    """All accounts: by user and authentication name, and those at PBXs by both ids.

    The same user may be registered here and at any number of PBXs.
    """

    def __init__(
        self, make_account: Callable[[str], Account | None] | None = None
    ) -> None:
        """Start without accounts; `make_account` makes that of a user that has none."""
        self._by_user: dict[str, Account] = {}
        # By the id of the PBX and the user there.
        self._at_pbx: dict[tuple[str, str], Account] = {}
        self._by_username: dict[str, Account] = {}
        self._make_account = make_account

    def __iter__(self) -> Iterator[Account]:
        """Iterate over all accounts; they may come and go meanwhile."""
        return iter([*self._by_user.values(), *self._at_pbx.values()])

    def add(self, account: Account) -> None:
        """Add an account. Raises ValueError where user or username is taken."""
        if account.pbx is not None:
            if (account.pbx, account.user) in self._at_pbx:
                raise ValueError("The user is taken at this PBX")
            self._at_pbx[account.pbx, account.user] = account
            return
        username = account.username
        if account.user in self._by_user:
            raise ValueError("The user is taken")
        if username in self._by_username:
            raise ValueError("The authentication name is taken")
        self._by_user[account.user] = account
        self._by_username[username] = account

    def change(
        self,
        account: Account,
        user: str,
        username: str,
        hashes: Hashes,
        pbx: str | None = None,
    ) -> None:
        """Give an account another user, username or password, or move it.

        `pbx` is where it lives from now on. Raises ValueError where user or username
        is taken, and changes nothing then.
        """
        before = account.user, account.username, account.hashes, account.pbx
        self.remove(account)
        account.user, account.username, account.hashes = user, username, hashes
        account.pbx = pbx
        try:
            self.add(account)
        except ValueError:
            account.user, account.username, account.hashes, account.pbx = before
            self.add(account)
            raise

    def remove(self, account: Account) -> None:
        """Remove an account."""
        if account.pbx is not None:
            del self._at_pbx[account.pbx, account.user]
            return
        del self._by_user[account.user]
        del self._by_username[account.username]

    def has(self, account: Account) -> bool:
        """Whether an account is still there."""
        if account.pbx is not None:
            return self._at_pbx.get((account.pbx, account.user)) is account
        return self._by_user.get(account.user) is account

    def at_pbx(self, pbx: str, user: str) -> Account | None:
        """Return the account of a user at a PBX."""
        return self._at_pbx.get((pbx, user))

    def is_here(self, user: str) -> bool:
        """Whether a user is registered here."""
        return user in self._by_user

    def is_at_any_pbx(self, user: str) -> bool:
        """Whether a user is known at a PBX, whichever it is."""
        return any(user == known for _, known in self._at_pbx)

    def named(self, username: str) -> Account | None:
        """Return the account of an authentication name."""
        return self._by_username.get(username)

    def claimed(self, username: str, user: str | None) -> Account | None:
        """Return the account of a username of credentials, else that of a user."""
        return self._by_username.get(username) or self._by_user.get(user or "")

    def hashes_of(self, username: str) -> Hashes | None:
        """Return the hashes of an authentication name's password."""
        account = self._by_username.get(username)
        if account is None and self._make_account is not None:
            account = self._make_account(username)
        return None if account is None else account.hashes

    def of_target(self, request: Request) -> Account | None:
        """Return the line of an initial request: by Request-URI, else by To.

        Raises SipError.
        """
        user = request.plain_user
        if user is None:
            user = target_of(request).user
        return self._find(user) or self.of_to(request)

    def of_to(self, request: Request) -> Account | None:
        """Return the line that To names. Raises SipError."""
        try:
            uri = parse_uri(parse_address(request.fields["to"]).uri)
        except HeaderError as err:
            raise SipError(400, f"To: {err}") from err
        return self._find(uri.user)

    def _find(self, user: str) -> Account | None:
        account = self._by_user.get(user)
        if account is None and self._make_account is not None:
            account = self._make_account(user)
        return account
