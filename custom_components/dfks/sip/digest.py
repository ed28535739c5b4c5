"""Digest authentication, the server's side (RFC 3261 22, RFC 7616, RFC 8760).

Nonces are stateless: a slot of time, a salt and a keyed hash of both, so that a flood
of unauthenticated requests costs no memory. The hash covers the source that asked, so
that nobody can use a nonce in another's name; the salt is made of the request, so that
a retransmission is challenged with the same octets. Only a nonce that was
answered rightly is remembered, with a window of the nonce counts seen (RFC 7616 3.4).
"""

from collections.abc import Callable
from enum import Enum
import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from .clock import Clock
from .headers import HeaderError, parse_uri
from .message import Request

MD5 = "MD5"
SHA256 = "SHA-256"
ALGORITHMS = (MD5, SHA256)

# How long a nonce is taken, in slots of SLOT seconds: long enough for a phone to use
# it again, short enough to make a captured one worthless.
SLOT = 30
LIFETIME_SLOTS = 10

# Answered nonces remembered at most, in each of two generations.
MAX_NONCES = 50_000

# Nonce counts below the highest one that may still come: datagrams overtake each other.
NC_WINDOW = 32

# One parameter of a challenge answer; possessive, so that no input makes it try twice.
_PARAMETER = re.compile(
    r"[ \t,]*+([A-Za-z0-9_.-]++)[ \t]*+=[ \t]*+"
    r'(?:"((?:[^"\\]++|\\.)*+)"|([^ \t,"]++))[ \t]*+(?=,|\Z)'
)
_ESCAPE = re.compile(r"\\(.)")
_HEX_32 = re.compile(r"[0-9a-fA-F]{8}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("latin-1"), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("latin-1")).hexdigest()


_HASHES: dict[str, Callable[[str], str]] = {MD5: _md5, SHA256: _sha256}


class Credentials:
    """Who may log in: a username and, in place of the password, its hashes."""

    __slots__ = ("_ha1", "username")

    def __init__(self, username: str, realm: str, password: str) -> None:
        """Hash the password; it is not kept."""
        self.username = username
        secret = f"{username}:{realm}:{password}".encode().decode("latin-1")
        self._ha1 = {name: digest(secret) for name, digest in _HASHES.items()}

    def ha1(self, algorithm: str) -> str:
        """Return H(username:realm:password) for an algorithm."""
        return self._ha1[algorithm]


class Outcome(Enum):
    """What a request's credentials are worth."""

    RIGHT = "right"
    # No credentials for this realm in a form that we offered: no failure.
    NONE = "none"
    # The nonce is too old, not from here or its count was used: ask again. Whether the
    # password is right is not looked at: nobody can try passwords without a challenge.
    STALE = "stale"
    WRONG = "wrong"


class Verdict(NamedTuple):
    """An outcome and, with RIGHT, whose credentials they are.

    `username` is what the request claimed, for the log.
    """

    outcome: Outcome
    credentials: Credentials | None = None
    username: str | None = None


class _Answer(NamedTuple):
    """The parts of an Authorization field that count."""

    username: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str | None
    nc: str
    cnonce: str


def parse_credentials(text: str) -> dict[str, str] | None:
    """Return the parameters of a Digest Authorization value by lower-case name.

    None where it is of another scheme or malformed (RFC 3261 22.1: ignored then).
    """
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "digest":
        return None
    parameters: dict[str, str] = {}
    position = 0
    rest = rest.strip(" \t,")
    while position < len(rest):
        match = _PARAMETER.match(rest, position)
        if match is None:
            return None
        name, quoted, token = match.groups()
        parameters[name.lower()] = token if quoted is None else quoted
        position = match.end()
    return parameters


class Authenticator:
    """Challenges requests and checks the answers for one realm."""

    def __init__(
        self,
        realm: str,
        clock: Clock,
        algorithms: tuple[str, ...] = ALGORITHMS,
    ) -> None:
        """Offer `algorithms` in their order (the first is all that old phones read)."""
        self.realm = realm
        self._algorithms = algorithms
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._nobody = Credentials("", realm, secrets.token_hex())
        self._seen: dict[str, tuple[int, int]] = {}
        self._seen_before: dict[str, tuple[int, int]] = {}
        self._generation = self._slot()
        # Nonces of earlier slots are stale: their counts are no longer remembered.
        self._oldest_slot = 0

    def challenge(
        self, request: Request, source: str, *, stale: bool = False
    ) -> tuple[str, ...]:
        """Return the WWW-Authenticate lines for a request, one an algorithm."""
        nonce = self._make_nonce(request, source)
        suffix = ", stale=true" if stale else ""
        return tuple(
            f'WWW-Authenticate: Digest realm="{self.realm}", nonce="{nonce}", '
            f'algorithm={algorithm}, qop="auth"{suffix}'
            for algorithm in self._algorithms
        )

    def check(
        self,
        request: Request,
        source: str,
        lookup: Callable[[str], Credentials | None],
    ) -> Verdict:
        """Judge a request's Authorization; `lookup` finds credentials by username.

        An unknown username takes the same steps as a wrong password.
        """
        answer = self._read_answer(request)
        if answer is None:
            return Verdict(Outcome.NONE)
        if not self._is_ours(answer.nonce, source):
            return Verdict(Outcome.STALE)
        username = answer.username.encode("latin-1").decode("utf-8", "replace")
        credentials = lookup(username)
        digest = _HASHES[answer.algorithm]
        ha1 = (credentials or self._nobody).ha1(answer.algorithm)
        ha2 = digest(f"{request.method}:{answer.uri}")
        if answer.qop is None:
            expected = digest(f"{ha1}:{answer.nonce}:{ha2}")
        else:
            expected = digest(
                f"{ha1}:{answer.nonce}:{answer.nc}:{answer.cnonce}:auth:{ha2}"
            )
        given = answer.response.lower().encode("latin-1")
        if (
            not hmac.compare_digest(expected.encode(), given)
            or credentials is None
            or not _same_target(answer.uri, request.uri)
        ):
            return Verdict(Outcome.WRONG, username=username)
        if not self._use(answer):
            return Verdict(Outcome.STALE)
        return Verdict(Outcome.RIGHT, credentials, username)

    def _read_answer(self, request: Request) -> _Answer | None:
        for line in request.lines("authorization"):
            parameters = parse_credentials(line)
            if parameters is None or self._unescape(parameters, "realm") != self.realm:
                continue
            algorithm = parameters.get("algorithm", MD5).upper()
            qop = parameters.get("qop")
            nc = parameters.get("nc", "")
            if algorithm not in self._algorithms or (
                qop is not None and (qop.lower() != "auth" or not _HEX_32.fullmatch(nc))
            ):
                continue
            return _Answer(
                self._unescape(parameters, "username"),
                parameters.get("nonce", ""),
                parameters.get("uri", ""),
                parameters.get("response", ""),
                algorithm,
                qop,
                nc,
                parameters.get("cnonce", ""),
            )
        return None

    @staticmethod
    def _unescape(parameters: dict[str, str], name: str) -> str:
        value = parameters.get(name, "")
        return _ESCAPE.sub(r"\1", value) if "\\" in value else value

    def _slot(self) -> int:
        return int(self._clock.monotonic() // SLOT) & 0xFFFFFFFF

    def _hash(self, text: str) -> str:
        octets = text.encode("latin-1")
        return hashlib.blake2s(octets, key=self._key, digest_size=10).hexdigest()

    def _make_nonce(self, request: Request, source: str) -> str:
        slot = f"{self._slot():08x}"
        salt = self._hash(
            f"{slot}{request.via.branch}\n{request.call_id}\n{request.cseq}"
        )
        return f"{slot}{salt}{self._hash(slot + salt + source)}"

    def _is_ours(self, nonce: str, source: str) -> bool:
        """Whether this server made the nonce for a source, within its lifetime."""
        if len(nonce) != 48 or not _HEX_32.match(nonce):
            return False
        slot = int(nonce[:8], 16)
        return (
            0 <= self._slot() - slot <= LIFETIME_SLOTS
            and slot >= self._oldest_slot
            and hmac.compare_digest(self._hash(nonce[:28] + source), nonce[28:])
        )

    def _use(self, answer: _Answer) -> bool:
        """Take note of a nonce count; False where it was used before.

        Without qop (RFC 2069) there is no count: the nonce is good for one request.
        """
        self._forget_old()
        nonce = answer.nonce
        count = 0 if answer.qop is None else int(answer.nc, 16)
        seen = self._seen.get(nonce) or self._seen_before.get(nonce)
        if seen is None:
            self._seen[nonce] = (count, 1)
            return True
        highest, window = seen
        if answer.qop is None:
            return False
        if count > highest:
            window = ((window << min(count - highest, NC_WINDOW)) | 1) & (
                (1 << NC_WINDOW) - 1
            )
            self._seen[nonce] = (count, window)
            return True
        bit = 1 << (highest - count)
        if highest - count >= NC_WINDOW or window & bit:
            return False
        self._seen[nonce] = (highest, window | bit)
        return True

    def _forget_old(self) -> None:
        """Drop nonces that are past their lifetime, or the older half when too many."""
        slot = self._slot()
        if slot - self._generation > LIFETIME_SLOTS:
            self._seen_before, self._seen = self._seen, {}
            self._generation = slot
        elif len(self._seen) >= MAX_NONCES:
            self._seen_before, self._seen = self._seen, {}
            self._generation = slot
            self._oldest_slot = slot


def _same_target(one: str, other: str) -> bool:
    """Whether a digest uri fits the Request-URI.

    Phones write either of them with other hosts, ports and parameters than the other
    one has; what the two must not do is name different users (RFC 3261 22.4).
    """
    if one == other:
        return True
    try:
        first, second = parse_uri(one), parse_uri(other)
    except HeaderError:
        return False
    return (
        first.is_sip
        and second.is_sip
        and (not first.user or not second.user or first.user == second.user)
    )
