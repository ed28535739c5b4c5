"""The client side of digest authentication (RFC 7616, RFC 2617)."""

from dataclasses import dataclass, field
import hashlib
import re
import secrets
from typing import Self

from .wire import Response, unquote

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_FIELD = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)\s*(?:,|$)\s*')


def parse_fields(value: str) -> dict[str, str]:
    """Take a challenge or credentials apart, `Digest` left off, names in lower case."""
    rest = value.strip().partition(" ")[2].strip()
    return {match[1].lower(): unquote(match[2]) for match in _FIELD.finditer(rest)}


@dataclass(kw_only=True)
class Challenge:
    """One WWW-Authenticate header field."""

    realm: str
    nonce: str
    algorithm: str
    qop: tuple[str, ...]
    opaque: str
    stale: bool

    @classmethod
    def parse(cls, value: str) -> Self | None:
        """Read a header value; None where it is no digest challenge."""
        if value.strip().partition(" ")[0].lower() != "digest":
            return None
        fields = parse_fields(value)
        if "realm" not in fields or "nonce" not in fields:
            return None
        return cls(
            realm=fields["realm"],
            nonce=fields["nonce"],
            algorithm=fields.get("algorithm", "MD5").upper(),
            qop=tuple(re.findall(r"[^\s,]+", fields.get("qop", "").lower())),
            opaque=fields.get("opaque", ""),
            stale=fields.get("stale", "").lower() == "true",
        )


@dataclass(kw_only=True)
class Digest:
    """A phone's credentials and the challenge that it answers at present.

    With `algorithm` MD5 it is an old phone that reads the first challenge only; with
    SHA-256 it looks for the challenge that offers it. `without_qop` answers like a
    client of RFC 2069.
    """

    username: str
    password: str = field(repr=False)
    algorithm: str = "MD5"
    without_qop: bool = False
    challenge: Challenge | None = None
    nc: int = 0

    def take(self, response: Response) -> bool:
        """Take the challenge of a 401; False where there is none for this phone."""
        values = response.get_all("WWW-Authenticate")
        offered = [c for c in map(Challenge.parse, values) if c is not None]
        if self.algorithm == "MD5":
            offered = offered[:1]
        chosen = next((c for c in offered if c.algorithm == self.algorithm), None)
        if chosen is None:
            return False
        self.challenge, self.nc = chosen, 0
        return True

    def authorization(self, method: str, uri: str, *, cnonce: str | None = None) -> str:
        """Return the value of Authorization for a request, the nonce count raised.

        Raises ValueError before a challenge was taken.
        """
        if self.challenge is None:
            raise ValueError("no challenge to answer yet")
        challenge = self.challenge
        digest = _HASHES[self.algorithm]

        def hashed(text: str) -> str:
            return digest(text.encode("utf-8", "surrogateescape")).hexdigest()

        self.nc += 1
        ha1 = hashed(f"{self.username}:{challenge.realm}:{self.password}")
        ha2 = hashed(f"{method}:{uri}")
        middle, tail = challenge.nonce, ""
        if "auth" in challenge.qop and not self.without_qop:
            cnonce = cnonce or secrets.token_hex(8)
            middle = f"{challenge.nonce}:{self.nc:08x}:{cnonce}:auth"
            tail = f', qop=auth, nc={self.nc:08x}, cnonce="{cnonce}"'
        if challenge.opaque:
            tail += f", opaque={_quoted(challenge.opaque)}"
        response = hashed(f"{ha1}:{middle}:{ha2}")
        return (
            f"Digest username={_quoted(self.username)}, "
            f"realm={_quoted(challenge.realm)}, nonce={_quoted(challenge.nonce)}, "
            f'uri={_quoted(uri)}, response="{response}", '
            f"algorithm={self.algorithm}{tail}"
        )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
