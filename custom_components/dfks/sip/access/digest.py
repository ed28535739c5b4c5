"""Digest authentication, the server's side (RFC 3261 22, RFC 7616, RFC 8760).

Nonces are stateless: a slot of time, a salt and a keyed hash of both, so that a flood
of unauthenticated requests costs no memory. The hash covers the source that asked, so
that nobody can use a nonce in another's name; the salt is made of the request, so that
a retransmission is challenged with the same octets. Only a nonce that was
answered rightly is remembered, with a window of the nonce counts seen (RFC 7616 3.4).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
import hashlib
import hmac
import re
import secrets

from ..clock import Clock
from ..wire.headers import HeaderError, parse_uri
from ..wire.message import Request

MD5 = "MD5"
SHA256 = "SHA-256"
ALGORITHMS = (MD5, SHA256)

# How long a nonce is taken, in slots of SLOT seconds: long enough for a phone to use
# it again, short enough to make a captured one worthless.
SLOT = 30
LIFETIME_SLOTS = 10

# A nonce is short, because each challenge has it, and challenges go to whoever asks: the
# slot's number, which begins again after three weeks, a salt, and a keyed hash that
# nobody guesses in five minutes. Octets, and characters of base64.
SHORT_SLOTS = 1 << 16
SALT_SIZE = 4
MAC_SIZE = 6
NONCE_LENGTH = 16

# Answered nonces remembered at most, in each of two generations.
MAX_NONCES = 50_000

# Nonce counts below the highest one that may still come: datagrams overtake each other.
NC_WINDOW = 32
_WINDOW_MASK = (1 << NC_WINDOW) - 1

# One parameter of a challenge answer. Possessive and bounded, so that no input makes it
# look at an octet more than a few times.
_PARAMETER = re.compile(
    r"([A-Za-z0-9_.-]{1,32}+)[ \t]{0,8}+=[ \t]{0,8}+"
    r'(?:"((?:[^"\\]++|\\.)*+)"|([^ \t,"]++))'
)
# What most challenge answers look like: parameters that are known, in any order, with
# nothing escaped in them.
_PLAIN_ANSWER = re.compile(
    r'Digest (?:(?:username="([^"]*+)"|realm="([^"]*+)"|nonce="([^"]*+)"'
    r'|uri="([^"]*+)"|response="([^"]*+)"|cnonce="([^"]*+)"'
    r'|algorithm=([A-Za-z0-9-]++|"[A-Za-z0-9-]++")|qop=([a-z]++|"[a-z]++")'
    r'|nc=([0-9a-fA-F]{8})|opaque="[^"]*+")(?:, ?+|\Z))++'
)
_ESCAPE = re.compile(r"\\(.)")
_HEX_32 = re.compile(r"[0-9a-fA-F]{8}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("latin-1"), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("latin-1")).hexdigest()


# The hash of a text whose characters are octets, by algorithm.
HASHES: dict[str, Callable[[str], str]] = {MD5: _md5, SHA256: _sha256}


# H(username:realm:password), one an algorithm: what is kept in place of a password.
type Hashes = tuple[str, ...]


class Outcome(Enum):
    """What a request's credentials are worth."""

    RIGHT = "right"
    # No credentials for this realm in a form that we offered: no failure.
    NONE = "none"
    # The nonce is too old, not from here or its count was used: ask again. Whether the
    # password is right is not looked at: nobody can try passwords without a challenge.
    STALE = "stale"
    WRONG = "wrong"
    # Not looked at, right or wrong.
    BLOCKED = "blocked"


@dataclass(slots=True)
class Verdict:
    """An outcome, and whose credentials the request claims to have."""

    outcome: Outcome
    username: str = ""


@dataclass(slots=True)
class Answer:
    """What a phone answers to a challenge (RFC 7616 3.4); `qop` is None in RFC 2069's.

    `algorithm` is in capitals, `nc` hexadecimal and None where there is none.
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    cnonce: str
    algorithm: str
    qop: str | None
    nc: str | None


def read_answer(text: str) -> Answer | None:
    """Read an Authorization value; None where it is of another scheme than Digest."""
    if "\\" not in text and (plain := _PLAIN_ANSWER.fullmatch(text)):
        username, realm, nonce, uri, response, cnonce, algorithm, qop, nc = (
            plain.groups()
        )
        if username is not None and realm and nonce and uri and response:
            return Answer(
                username,
                realm,
                nonce,
                uri,
                response,
                cnonce or "",
                algorithm.strip('"').upper() if algorithm else MD5,
                qop and qop.strip('"'),
                nc,
            )
    parameters = parse_digest(text)
    if parameters is None:
        return None
    find = parameters.get
    qop, nc = find("qop"), find("nc")
    return Answer(
        unescaped(find("username", "")),
        unescaped(find("realm", "")),
        find("nonce", ""),
        find("uri", ""),
        find("response", ""),
        find("cnonce", ""),
        find("algorithm", MD5).upper(),
        qop and qop.lower(),
        nc if nc and _HEX_32.fullmatch(nc) else None,
    )


def parse_digest(text: str) -> dict[str, str] | None:
    """Return the parameters of a challenge, or an answer to one, by lower-case name.

    None where it is of another scheme (RFC 3261 22.1: ignored then). What is malformed
    is left out, and missed where it counts.
    """
    scheme, rest = (*text.split(maxsplit=1), "", "")[:2]
    if scheme.lower() != "digest":
        return None
    return {
        name.lower(): quoted or token
        for name, quoted, token in _PARAMETER.findall(rest)
    }


def unescaped(text: str) -> str:
    """Return what a parameter stands for, without its backslashes (RFC 3261 25.1)."""
    return _ESCAPE.sub(r"\1", text)


@dataclass(slots=True)
class _Use:
    """A nonce that was answered rightly, and the nonce counts seen of it."""

    slot: int
    source: str
    highest: int
    # Bit n: the count `highest` - n was seen.
    window: int = 1


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
        self._nobody = self.hash_password("", secrets.token_hex())
        self._uses: dict[str, _Use] = {}
        self._uses_before: dict[str, _Use] = {}
        self._generation = self._slot()
        # Nonces of earlier slots are stale: their counts are no longer remembered.
        self._oldest_slot = 0

    def hash_password(self, username: str, password: str) -> Hashes:
        """Return what to keep of a password."""
        secret = f"{username}:{self.realm}:{password}".encode().decode("latin-1")
        return tuple([HASHES[algorithm](secret) for algorithm in self._algorithms])

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
        lookup: Callable[[str], Hashes | None],
        judges: Callable[[str], bool] | None = None,
    ) -> Verdict:
        """Judge a request's Authorization; `lookup` finds the hashes of a username.

        An unknown username takes the same steps as a wrong password. `judges` tells
        whether credentials of a username are looked at; None is all.
        """
        answer = self._read_answer(request)
        if answer is None:
            return Verdict(Outcome.NONE)
        username = answer.username
        if not username.isascii():
            username = username.encode("latin-1").decode("utf-8", "replace")
        if judges is not None and not judges(username):
            return Verdict(Outcome.BLOCKED, username)
        nonce = answer.nonce
        use = self._uses.get(nonce) or self._uses_before.get(nonce)
        if use is None:
            slot = self._slot_of(nonce, source)
        else:
            slot = use.slot if use.source == source else None
        if slot is None or not self._is_young(slot):
            return Verdict(Outcome.STALE)
        hashes = lookup(username)
        ha1 = (hashes or self._nobody)[self._algorithms.index(answer.algorithm)]
        digest = HASHES[answer.algorithm]
        ha2 = digest(f"{request.method}:{answer.uri}")
        if answer.nc is not None:
            nonce = f"{nonce}:{answer.nc}:{answer.cnonce}:auth"
        expected = digest(f"{ha1}:{nonce}:{ha2}")
        response = answer.response
        if (
            not response.isascii()
            or not hmac.compare_digest(expected, response.lower())
            or hashes is None
            or not _same_target(answer.uri, request.uri)
        ):
            return Verdict(Outcome.WRONG, username)
        # Without qop (RFC 2069) there is no count: the nonce is good for one request.
        count = int(answer.nc, 16) if answer.nc is not None else 0
        if use is None:
            self._remember(answer.nonce, _Use(slot, source, count))
        elif answer.nc is None or not _take(use, count):
            return Verdict(Outcome.STALE)
        return Verdict(Outcome.RIGHT, username)

    def _read_answer(self, request: Request) -> Answer | None:
        """Return the credentials for this realm in a form that was offered."""
        for line in request.lines("authorization"):
            answer = read_answer(line)
            if (
                answer is None
                or answer.realm != self.realm
                or answer.algorithm not in self._algorithms
            ):
                continue
            if answer.qop is None:
                # RFC 2069: a count says nothing there.
                answer.nc = None
                return answer
            if answer.qop == "auth" and answer.nc is not None:
                return answer
        return None

    def _slot(self) -> int:
        return int(self._clock.monotonic() // SLOT)

    def _hash(self, size: int, *parts: object) -> bytes:
        octets = "\n".join(map(str, parts)).encode("latin-1")
        return hashlib.blake2s(octets, key=self._key, digest_size=size).digest()

    def _make_nonce(self, request: Request, source: str) -> str:
        slot = self._slot()
        salt = self._hash(
            SALT_SIZE, slot, request.via.branch, request.call_id, request.cseq
        )
        return self._write_nonce(slot, salt, source)

    def _write_nonce(self, slot: int, salt: bytes, source: str) -> str:
        """Return the nonce of a slot for a source; the hash covers all of the slot."""
        short_slot = (slot % SHORT_SLOTS).to_bytes(2)
        mac = self._hash(MAC_SIZE, slot, salt.hex(), source)
        return base64.urlsafe_b64encode(short_slot + salt + mac).decode()

    def _slot_of(self, nonce: str, source: str) -> int | None:
        """Return when this server made a nonce for a source, None if it did not."""
        if len(nonce) != NONCE_LENGTH:
            return None
        try:
            octets = base64.urlsafe_b64decode(nonce)
        except ValueError:
            return None
        now = self._slot()
        slot = now - (now - int.from_bytes(octets[:2])) % SHORT_SLOTS
        right = self._write_nonce(slot, octets[2 : 2 + SALT_SIZE], source)
        matches = hmac.compare_digest(right.encode(), nonce.encode())
        return slot if matches else None

    def _is_young(self, slot: int) -> bool:
        """Whether a nonce of a slot is within its lifetime."""
        return slot >= self._oldest_slot and self._slot() - slot <= LIFETIME_SLOTS

    def _remember(self, nonce: str, use: _Use) -> None:
        """Keep the counts of a nonce; drop those of nonces that are too old anyway."""
        slot = self._slot()
        if len(self._uses) >= MAX_NONCES:
            # Too many: what was made before now is taken as too old.
            self._oldest_slot = slot
        elif slot - self._generation <= LIFETIME_SLOTS:
            self._uses[nonce] = use
            return
        self._uses_before, self._uses = self._uses, {nonce: use}
        self._generation = slot


def _take(use: _Use, count: int) -> bool:
    """Take note of a nonce count; False where it was seen before, or may have been."""
    ahead = count - use.highest
    if ahead > 0:
        use.window = (use.window << min(ahead, NC_WINDOW) | 1) & _WINDOW_MASK
        use.highest = count
        return True
    bit = 1 << -ahead
    if -ahead >= NC_WINDOW or use.window & bit:
        return False
    use.window |= bit
    return True


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
