"""REGISTERs on their way to a PBX and their answers: where bindings come from.

A phone's Contact is replaced by one that leads here before the REGISTER is passed, and
put back in the answer, so that the PBX sends calls here and the phone sees its own
registration (RFC 3261 10.2.4). A 2xx proves the flow that the REGISTER came by.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

from ..clock import Clock, Timers
from ..transport.flow import Flow, transport_parameter
from ..wire.headers import (
    MAX_KNOWN,
    Address,
    Uri,
    encode_user,
    number,
    parse_address,
    parse_uri,
    plain_host,
)
from ..wire.message import SipError
from ..wire.splice import PassedMessage
from .location import MAX_EXPIRES, Location, ProxyBinding
from .pbx import ContactMode, Upstream
from .site import ProxyObserver, Site
from .tokens import Tokens

# Contact values that are remembered with what they say: a phone and its PBX write one
# each.
MAX_CONTACTS = 256

# Our parameter of a mirrored Contact.
PARAMETER = "fk"

# REGISTERs whose answers are waited for, and seconds that they are (timer F).
MAX_PENDING = 1024
PENDING_SECONDS = 32.0

# Refusals of a phone's password that are passed before its REGISTERs are answered
# here, and the seconds in which they are counted: a PBX that bans an address would ban
# all phones at once. The same for how long they are.
MAX_REFUSALS = 5
REFUSAL_SECONDS = 300.0
MAX_REFUSAL_SOURCES = 1024

# Requests that have overtaken the answer to their phone's REGISTER, and the seconds that
# they wait for it: a PBX with several threads sends a lamp's NOTIFY before the 200.
MAX_EARLY = 64
EARLY_SECONDS = 1.0

# Seconds between looks for answers and refreshes that have not come.
SWEEP = 30.0


class PendingContact(NamedTuple):
    """One Contact of a REGISTER that was passed."""

    token: str
    uri: str
    instance: str | None
    expires: int


@dataclass(slots=True)
class PendingRegister:
    """A REGISTER whose answer is waited for."""

    upstream: Upstream
    user: str
    domain: str
    name: str
    flow: Flow
    user_agent: str | None
    contacts: list[PendingContact]
    # `Contact: *`
    all_contacts: bool
    with_credentials: bool
    until: float
    answered: bool = False


# A REGISTER, and the seconds that its Contacts were granted, by token.
type Accepted = tuple[PendingRegister, dict[str, int]]

# Takes a Contact value, and what is to stand in its place.
type Show = Callable[[str, str], None]


@dataclass(slots=True)
class _Refusals:
    """When a phone's password was refused, in seconds of the monotonic clock."""

    times: list[float] = field(default_factory=list)


class Registrations:
    """The REGISTERs whose answers are waited for, and what is learned from answers."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        tokens: Tokens,
        site: Site,
        location: Location,
        changed: Callable[[], None],
    ) -> None:
        """Put bindings into `location`; `changed` is called when there is a new one."""
        self._clock = clock
        self._timers = timers
        self._tokens = tokens
        self._site = site
        self._location = location
        self._changed = changed
        self.observer: ProxyObserver | None = None
        self._pending: OrderedDict[str, PendingRegister] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], _Refusals] = OrderedDict()
        # Bindings that the observer has been told of, by token.
        self._told: dict[str, ProxyBinding] = {}
        self._sweeping = False
        # What takes an early request once more, by the token that it is for.
        self._early: dict[str, list[Callable[[], object]]] = {}
        # A phone refreshes with the same Contact.
        self._mirror_once = lru_cache(MAX_CONTACTS)(self._mirror)

    def observe(self, observer: ProxyObserver) -> None:
        """Tell an observer what is learned from now on, and what is known so far."""
        self.observer = observer
        self._told.clear()
        for binding in self._location:
            self._tell(binding)

    # On the way to the PBX

    def prepare(
        self, message: PassedMessage, flow: Flow, upstream: Upstream, way: Flow
    ) -> PendingRegister:
        """Write Contacts that lead here into a REGISTER.

        Raises HeaderError, and SipError where it is not to be passed.
        """
        pending = self.begin(
            message.uri_of("to"),
            message.first("from") or "",
            flow,
            upstream,
            user_agent=message.first("user-agent"),
            with_credentials=message.has("authorization"),
        )
        mirrors = upstream.config.contact_mode is ContactMode.MIRROR
        default = number(message.first("expires") or "", 2**32 - 1)
        for text in message.values("contact"):
            if text == "*":
                pending.all_contacts = True
                continue
            own = self.add_contact(pending, text, default, way)
            if mirrors:
                message.replace_value("contact", text, own)
        if not mirrors and pending.contacts:
            value = f"<sip:{pending.contacts[0].token}@{self._site.sent_by(way)}"
            parameter = transport_parameter(way.transport)
            message.put_on_top(f"Path: {value}{parameter};lr>")
            if "path" not in [item.lower() for item in message.values("supported")]:
                message.add("Supported: path")
        self.check_room(pending)
        return pending

    def begin(
        self,
        to: Uri,
        from_: str,
        flow: Flow,
        upstream: Upstream,
        *,
        user_agent: str | None,
        with_credentials: bool,
    ) -> PendingRegister:
        """Return what is to be known of a REGISTER while it is answered.

        `to` is the URI of To. Raises HeaderError, and SipError where the REGISTER is
        not to be passed.
        """
        self._check_refusals(flow.remote[0], to.user)
        return PendingRegister(
            upstream=upstream,
            user=to.user,
            domain=plain_host(to.host),
            name="" if from_[:1] == "<" else parse_address(from_).display_name,
            flow=flow,
            user_agent=user_agent,
            contacts=[],
            all_contacts=False,
            with_credentials=with_credentials,
            until=self._clock.monotonic() + PENDING_SECONDS,
        )

    def add_contact(
        self, pending: PendingRegister, text: str, default: int | None, way: Flow
    ) -> str:
        """Take a Contact value of a REGISTER; return it with a URI that leads here.

        `default` is the value of Expires. Raises HeaderError.
        """
        aor = f"{pending.user}@{pending.domain}"
        is_short = len(text) + len(aor) <= MAX_KNOWN
        contact, own = (self._mirror_once if is_short else self._mirror)(
            pending.upstream.config.id,
            aor,
            text,
            default,
            self._site.sent_by(way),
            way.transport,
        )
        pending.contacts.append(contact)
        return own

    def _mirror(
        self,
        pbx: str,
        aor: str,
        text: str,
        default: int | None,
        sent_by: str,
        transport: str,
    ) -> tuple[PendingContact, str]:
        """Return a Contact value as read, and the one that leads here (16.6)."""
        address, uri = _read_contact(text)
        instance = address.parameters.get("+sip.instance")
        identity = address.uri
        if instance:
            identity = f"{instance} {address.parameters.get('reg-id') or ''}"
        token = self._tokens.binding(pbx, aor, identity)
        expires = number(address.parameters.get("expires") or "", 2**32 - 1)
        if expires is None:
            expires = 3600 if default is None else default
        user = f"{encode_user(uri.user)}@" if uri.user else ""
        own = (
            f"{uri.scheme}:{user}{sent_by}{transport_parameter(transport)}"
            f";{PARAMETER}={token}"
        )
        contact = PendingContact(token, address.uri, instance, expires)
        return contact, _with_uri(text, address.uri, own)

    def forget_contacts(self) -> None:
        """Write all Contacts anew: their tokens are of another secret now."""
        self._mirror_once.cache_clear()

    def check_room(self, pending: PendingRegister) -> None:
        """Raise SipError where there is no room for what a REGISTER may bring."""
        if not self._location.has_room({item.token for item in pending.contacts}):
            raise SipError(503, "Too many bindings", ("Retry-After: 300",))

    def passed(self, branch: str, pending: PendingRegister) -> None:
        """Wait for the answer to a REGISTER that has gone out."""
        self._drop_old()
        self._pending.setdefault(branch, pending)
        self._watch()

    def hold(self, token: str, pbx: str, take: Callable[[], object]) -> bool:
        """Hold a request of a PBX whose answer to the REGISTER is still to come.

        Whether it does, and `take` is called then, or after a while. Nothing is sent to
        a phone that the PBX has not accepted.
        """
        if sum(map(len, self._early.values())) >= MAX_EARLY or not any(
            contact.token == token
            for pending in self._pending.values()
            if not pending.answered and pending.upstream.config.id == pbx
            for contact in pending.contacts
        ):
            return False
        self._early.setdefault(token, []).append(take)
        self._timers.after(EARLY_SECONDS, partial(self._release, token))
        return True

    def _release(self, token: str) -> None:
        for take in self._early.pop(token, ()):
            take()

    def came_back(self, branch: str) -> None:
        """Take a REGISTER that ICMP has sent back."""
        pending = self._pending.get(branch)
        if pending is not None and not pending.answered:
            pending.answered = True
            pending.upstream.failed()

    # On the way back

    def answered(self, message: PassedMessage, branch: str) -> Accepted | None:
        """Read the answer to a REGISTER, and show the phone its own Contact in it.

        Return what the PBX has accepted, for `learn`. Raises HeaderError.
        """
        pending = self._pending.get(branch)
        if pending is None or message.status < 200:
            return None
        first, pending.answered = not pending.answered, True
        if message.status < 300:
            default = number(message.first("expires") or "", 2**32 - 1)
            return self.accept(
                pending,
                message.values("contact"),
                default,
                partial(message.replace_value, "contact"),
            )
        if message.status in (401, 403) and first and pending.with_credentials:
            self._refused(message, pending)
        return None

    def waiting(self, branch: str) -> PendingRegister | None:
        """Return the REGISTER whose answer this branch brings, if it is known."""
        return self._pending.get(branch)

    def accept(
        self,
        pending: PendingRegister,
        values: list[str],
        default: int | None,
        show: Show,
    ) -> Accepted:
        """Take a 2xx with some Contact values; return what it grants, for `learn`.

        `default` is the value of Expires. What the phone is to see in the place of a
        value goes to `show`. Raises HeaderError.
        """
        self._refusals.pop((pending.flow.remote[0], pending.user), None)
        granted: dict[str, int] = {}
        strange: list[tuple[str, Address]] = []
        for text in values:
            address, uri = _read_contact(text)
            token = uri.parameters.get(PARAMETER) or ""
            contact = _contact_of(address.uri, token, pending.contacts)
            if contact is not None:
                _grant(contact, text, address, default, granted, show)
                continue
            known = self._location.find(token)
            if known is None:
                strange.append((text, address))
            elif known.contact != address.uri:
                show(text, _with_uri(text, address.uri, known.contact))
        if len(pending.contacts) == 1 and not granted and len(strange) == 1:
            # The PBX has written it in its own way (`rewrite_contact`).
            _grant(pending.contacts[0], *strange[0], default, granted, show)
        return pending, granted

    def learn(self, accepted: Accepted) -> None:
        """Take what the PBX has granted; what was asked to end has ended."""
        pending, granted = accepted
        now = self._clock.monotonic()
        pbx = pending.upstream.config.id
        if pending.all_contacts:
            for binding in self._location.of_line(pbx, pending.user):
                if binding.flow.remote[0] == pending.flow.remote[0]:
                    self._end(binding)
        for contact in pending.contacts:
            expires = granted.get(contact.token, 0)
            if not expires or not contact.expires:
                known = self._location.find(contact.token)
                if known is not None:
                    self._end(known)
                continue
            binding = ProxyBinding(
                token=contact.token,
                pbx=pbx,
                user=pending.user,
                domain=pending.domain,
                name=pending.name,
                contact=contact.uri,
                instance=contact.instance,
                user_agent=pending.user_agent,
                flow=pending.flow,
                expires_at=now + expires,
            )
            before = self._location.find_in_dialog(contact.token)
            self._location.update(binding)
            self._changed()
            self._site.accepted(binding, before)
            self._tell(binding)
            self._release(contact.token)

    def _end(self, binding: ProxyBinding) -> None:
        self._location.end(binding)
        self._changed()
        self._tell_end(binding)

    def _tell(self, binding: ProxyBinding) -> None:
        if self.observer is None:
            return
        self._told[binding.token] = binding
        self.observer.registered(binding)
        self._watch()

    def reached(self, binding: ProxyBinding) -> None:
        """Tell of a request that was passed to a phone."""
        if self.observer is not None:
            self.observer.reached(binding)

    def _tell_end(self, binding: ProxyBinding) -> None:
        if self._told.pop(binding.token, None) is not None and (
            self.observer is not None
        ):
            self.observer.unregistered(binding)

    def _watch(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._timers.after(SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Tell of what has not come in time: answers of PBXs, and refreshes of phones."""
        self._sweeping = False
        self._drop_old()
        for token, binding in list(self._told.items()):
            if self._location.find(token) is None:
                self._tell_end(binding)
        if self._told or self._pending:
            self._watch()

    def _drop_old(self) -> None:
        """Let go of REGISTERs that were answered, or not, some time ago."""
        now = self._clock.monotonic()
        while self._pending:
            branch = next(iter(self._pending))
            pending = self._pending[branch]
            if pending.until > now and len(self._pending) < MAX_PENDING:
                return
            del self._pending[branch]
            if not pending.answered:
                pending.upstream.failed()

    # What is noticed

    def _refused(self, message: PassedMessage, pending: PendingRegister) -> None:
        """Count a password that the PBX has refused; a stale nonce is no such."""
        challenge = message.first("www-authenticate") or ""
        if "stale=true" in challenge.lower().replace('"', "").replace(" ", ""):
            return
        now = self._clock.monotonic()
        key = pending.flow.remote[0], pending.user
        refusals = self._refusals.setdefault(key, _Refusals())
        recent = [time for time in refusals.times if time > now - REFUSAL_SECONDS]
        refusals.times = [*recent, now]
        if len(self._refusals) > MAX_REFUSAL_SOURCES:
            self._refusals.popitem(last=False)
        if len(refusals.times) == MAX_REFUSALS and self.observer is not None:
            self.observer.password_refused(
                pending.upstream.config.id, pending.user, pending.flow.remote[0]
            )

    def _check_refusals(self, source: str, user: str) -> None:
        """Refuse a phone that has tried a wrong password too often. Raises SipError."""
        refusals = self._refusals.get((source, user))
        if refusals is None or len(refusals.times) < MAX_REFUSALS:
            return
        left = refusals.times[-1] + REFUSAL_SECONDS - self._clock.monotonic()
        if left > 0:
            raise SipError(403, "Wrong password", (f"Retry-After: {int(left) + 1}",))
        del self._refusals[source, user]


def _read_contact(text: str) -> tuple[Address, Uri]:
    """Parse a Contact value and its URI; a phone's come again. Raises HeaderError."""
    return _read_once(text) if len(text) <= MAX_KNOWN else _read(text)


@lru_cache(maxsize=MAX_CONTACTS)
def _read_once(text: str) -> tuple[Address, Uri]:
    return _read(text)


def _read(text: str) -> tuple[Address, Uri]:
    address = parse_address(text)
    return address, parse_uri(address.uri)


def _contact_of(
    uri: str, token: str, contacts: list[PendingContact]
) -> PendingContact | None:
    """Return the Contact that a URI in an answer is of, by the token in it first."""
    for contact in contacts:
        if contact.token == token:
            return contact
    for contact in contacts:
        if contact.uri == uri:
            return contact
    return None


def _grant(
    contact: PendingContact,
    text: str,
    address: Address,
    default: int | None,
    granted: dict[str, int],
    show: Show,
) -> None:
    """Take what a Contact value of a 2xx grants."""
    expires = number(address.parameters.get("expires") or "", 2**32 - 1)
    if expires is None:
        expires = contact.expires if default is None else default
    granted[contact.token] = min(expires, MAX_EXPIRES)
    if address.uri != contact.uri:
        show(text, _with_uri(text, address.uri, contact.uri))


def _with_uri(text: str, old: str, new: str) -> str:
    """Return a Contact value with another URI, and all else as it stands."""
    if f"<{old}>" in text:
        return text.replace(f"<{old}>", f"<{new}>", 1)
    # Without <> the parameters behind the URI are the field's (20.10).
    return text.replace(old, f"<{new}>", 1)
