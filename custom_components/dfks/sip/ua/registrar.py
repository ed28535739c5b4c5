"""Lines and their bindings: the registrar (RFC 3261 10.3).

A line registered here gets no calls; phones register because that is how they find
the server to subscribe at, and many subscribe only after a successful REGISTER.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
import re

from ..access.accounts import Account, Binding
from ..clock import Clock
from ..snapshot import BindingRecord, flow_record
from ..transport.flow import Flow
from ..wire.headers import (
    HeaderError,
    Parameters,
    Uri,
    is_token,
    number,
    parse_address,
    parse_uri,
    same_uri,
)
from ..wire.message import MAX_VALUES, Request, SipError

# Seconds. A phone that asks for nothing gets the default.
DEFAULT_EXPIRES = 3600

# Bindings of one line, and octets of one Contact.
MAX_BINDINGS = 10
MAX_CONTACT = 1024

# RFC 3261 25.1: qvalue.
_QVALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a REGISTER asks of one Contact."""

    uri: Uri
    text: str
    seconds: int
    instance: str | None
    reg_id: str | None


def parse_expires(text: str | None, default: int) -> int:
    """Return seconds of an Expires value; malformed or too large is the default."""
    if text is None:
        return default
    seconds = number(text, 2**32 - 1)
    return default if seconds is None else seconds


def instance_of(request: Request) -> str | None:
    """Return +sip.instance of the first Contact (RFC 5626 4.1), None without one."""
    line = request.get("contact")
    if line is None or "+sip.instance" not in line.lower():
        return None
    try:
        return parse_address(request.values("contact")[0]).parameters.get(
            "+sip.instance"
        )
    except HeaderError:
        return None


class Registrar:
    """Keeps the bindings of accounts."""

    def __init__(self, clock: Clock, min_expires: int, max_expires: int) -> None:
        """Grant between `min_expires` and `max_expires` seconds."""
        self._clock = clock
        self._min_expires = min_expires
        self._max_expires = max_expires

    def bindings(self, account: Account) -> tuple[Binding, ...]:
        """Return the live bindings of an account, dropping those that have expired."""
        now = self._clock.monotonic()
        if any(binding.expires_at <= now for binding in account.bindings):
            account.bindings = tuple(
                binding for binding in account.bindings if binding.expires_at > now
            )
        return account.bindings

    def register(
        self, account: Account, request: Request, flow: Flow
    ) -> tuple[str, ...]:
        """Process a REGISTER; return the header lines of its 200.

        All or nothing: raises SipError and changes nothing then (10.3, step 7).
        """
        try:
            contacts = request.values("contact")
        except HeaderError as err:
            raise SipError(400, f"Contact: {err}") from err
        if len(contacts) > MAX_VALUES:
            raise SipError(400, "Too many Contacts")
        current = self.bindings(account)
        if "*" in contacts:
            account.bindings = self._remove_all(current, contacts, request)
        elif contacts:
            wishes = [self._read(contact, request) for contact in contacts]
            account.bindings = self._update(current, wishes, request, flow)
        return self._answer(account, request)

    @staticmethod
    def _remove_all(
        current: tuple[Binding, ...], contacts: list[str], request: Request
    ) -> tuple[Binding, ...]:
        """Process `Contact: *` (10.3, step 6)."""
        if len(contacts) > 1 or number(request.get("expires") or "", 0) != 0:
            raise SipError(400, "Contact * needs Expires 0 and no other Contact")
        for binding in current:
            _check_order(binding, request)
        return ()

    def _read(self, contact: str, request: Request) -> _Wish:
        """Understand one Contact. Raises SipError."""
        try:
            address = parse_address(contact)
            uri = parse_uri(address.uri)
        except HeaderError as err:
            raise SipError(400, f"Contact: {err}") from err
        if len(contact) > MAX_CONTACT:
            raise SipError(403, "Contact too long")
        q = address.parameters.get("q")
        if q is not None and not _QVALUE.fullmatch(q):
            raise SipError(400, "Contact: q is not from 0 to 1")
        expires = address.parameters.get("expires") or request.get("expires")
        seconds = parse_expires(expires, DEFAULT_EXPIRES)
        # 423 only where RFC 3261 10.3 allows it: below an hour and not 0.
        if 0 < seconds < self._min_expires:
            raise SipError(423, None, (f"Min-Expires: {self._min_expires}",))
        return _Wish(
            uri,
            _without_expires(address.uri, contact, address.parameters),
            min(seconds, self._max_expires),
            address.parameters.get("+sip.instance"),
            address.parameters.get("reg-id"),
        )

    def _update(
        self,
        current: tuple[Binding, ...],
        wishes: list[_Wish],
        request: Request,
        flow: Flow,
    ) -> tuple[Binding, ...]:
        """Return the bindings after a REGISTER. Raises SipError."""
        now = self._clock.monotonic()
        path = _path(request)
        kept, new = list(current), list[Binding]()
        for wish in wishes:
            old = _find(kept, wish)
            if old is not None:
                _check_order(old, request)
                kept.remove(old)
            # The last one counts of those that a REGISTER has twice.
            twin = _find(new, wish)
            if twin is not None:
                new.remove(twin)
            if not wish.seconds:
                continue
            new.append(
                Binding(
                    uri=wish.uri,
                    text=wish.text,
                    expires_at=now + wish.seconds,
                    call_id=request.call_id,
                    cseq=request.cseq,
                    path=path,
                    instance=wish.instance,
                    reg_id=wish.reg_id,
                    user_agent=request.text("user-agent"),
                    flow=flow,
                )
            )
        if len(new) > MAX_BINDINGS:
            raise SipError(403, "Too many bindings")
        return (*_newest(kept, MAX_BINDINGS - len(new)), *new)

    def records(self, account: Account) -> Iterator[BindingRecord]:
        """Return what there is to remember of an account's bindings."""
        offset = self._clock.time() - self._clock.monotonic()
        for binding in self.bindings(account):
            yield BindingRecord(
                line=account.id,
                contact=binding.text,
                expires_at=binding.expires_at + offset,
                call_id=binding.call_id,
                cseq=binding.cseq,
                path=list(binding.path),
                user_agent=binding.user_agent,
                flow=flow_record(binding.flow),
            )

    def restore(
        self, account: Account, record: BindingRecord, flow: Flow, grace: float
    ) -> None:
        """Take back a binding. Raises KeyError, TypeError or ValueError."""
        address = parse_address(record["contact"])
        left = record["expires_at"] - self._clock.time() + grace
        if left <= 0:
            return
        account.bindings += (
            Binding(
                uri=parse_uri(address.uri),
                text=record["contact"],
                expires_at=self._clock.monotonic() + min(left, self._max_expires),
                call_id=record["call_id"],
                cseq=record["cseq"],
                path=tuple(record["path"]),
                instance=address.parameters.get("+sip.instance"),
                reg_id=address.parameters.get("reg-id"),
                user_agent=record["user_agent"],
                flow=flow,
            ),
        )

    def _answer(self, account: Account, request: Request) -> tuple[str, ...]:
        """Return the lines of the 200: all bindings, what is left of each, the date."""
        now = self._clock.monotonic()
        lines = [
            f"Contact: {binding.text};expires={max(1, round(binding.expires_at - now))}"
            for binding in account.bindings
        ]
        lines += [f"Path: {value}" for value in _path(request)]
        lines.append(f"Date: {formatdate(self._clock.time(), usegmt=True)}")
        return tuple(lines)


def _path(request: Request) -> tuple[str, ...]:
    """Return the Path values of a phone that knows about them (RFC 3327 5.3)."""
    if "path" not in request.tokens("supported"):
        return ()
    return tuple(request.lines("path"))


def _newest(bindings: list[Binding], count: int) -> list[Binding]:
    """Return so many of a line's bindings, in their order.

    A phone that connects anew each time from another port leaves its bindings behind:
    those whose connection is gone go first, then those that were refreshed longest ago.
    """
    surplus = len(bindings) - count
    if surplus <= 0:
        return bindings
    order = sorted(bindings, key=lambda binding: not binding.flow.closed)
    going = {id(binding) for binding in order[:surplus]}
    return [binding for binding in bindings if id(binding) not in going]


def _find(bindings: list[Binding], wish: _Wish) -> Binding | None:
    """Return the binding that a Contact is about.

    By instance and reg-id where the phone gives both (RFC 5626 6), else by URI.
    """
    for binding in bindings:
        if wish.instance and wish.reg_id:
            if (binding.instance, binding.reg_id) == (wish.instance, wish.reg_id):
                return binding
        elif same_uri(binding.uri, wish.uri):
            return binding
    return None


def _check_order(binding: Binding, request: Request) -> None:
    """Refuse a REGISTER that overtook a later one of its Call-ID (10.3, step 7)."""
    if binding.call_id == request.call_id and request.cseq <= binding.cseq:
        raise SipError(500, "CSeq is not higher than before")


def _without_expires(uri: str, contact: str, parameters: Parameters) -> str:
    """Return a Contact in <> with its parameters, but for expires."""
    if "expires" not in parameters and contact.rstrip().startswith(("<", '"')):
        return contact
    kept = "".join(
        f";{name}" if value is None else f";{name}={_quoted(value)}"
        for name, value in parameters.items()
        if name != "expires"
    )
    return f"<{uri}>{kept}"


def _quoted(value: str) -> str:
    """Quote a parameter value where it is no token."""
    if is_token(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
