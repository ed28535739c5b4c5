"""Digest authentication, the client's side (RFC 3261 22.2, RFC 7616 3.4, RFC 8760).

A password leaves only as part of a digest. A challenge of another scheme, or with an
algorithm or qop that is not known here, is not answered at all.
"""

import re
import secrets
from typing import Final, NamedTuple

from ..wire.message import Response
from .digest import HASHES, MD5, parse_digest, unescaped

# Characters that have to be escaped in a quoted string.
_SPECIAL: Final = re.compile(r'(["\\])')

# The fields of a challenge and of its answer, by status (RFC 3261 22.2, 22.3).
_FIELDS: Final = {
    401: ("www-authenticate", "Authorization"),
    407: ("proxy-authenticate", "Proxy-Authorization"),
}


class _Challenge(NamedTuple):
    """A challenge that can be answered; realm and opaque as they stand on the wire."""

    realm: str
    nonce: str
    algorithm: str
    # Whether `algorithm` was named: old servers do not expect what they did not send.
    named: bool
    qop: bool
    opaque: str | None
    stale: bool


class Login:
    """User name and password for one server, and the nonces that it has given last.

    A nonce is used again for later requests, with a count that rises.
    """

    def __init__(self, username: str, password: str) -> None:
        """Know no challenge yet."""
        # UTF-8, an octet a character.
        self._username = username.encode().decode("latin-1")
        self._password = password.encode().decode("latin-1")
        # By the field of the answer, with how often the nonce was used.
        self._challenges: dict[str, _Challenge] = {}
        self._counts: dict[str, int] = {}

    def take(self, response: Response) -> bool:
        """Take the challenge of a 401 or 407; False where it cannot be answered."""
        field, answer = _FIELDS[response.status]
        # The first that is known: servers name the one they prefer first (RFC 8760 2.4).
        for line in response.lines(field):
            challenge = _read(line)
            if challenge is not None:
                self._challenges[answer] = challenge
                self._counts[answer] = 0
                return True
        return False

    def is_stale(self, response: Response) -> bool:
        """Whether a challenge says that only the nonce was too old (RFC 7616 3.3)."""
        field, _ = _FIELDS[response.status]
        challenges = map(_read, response.lines(field))
        return any(item is not None and item.stale for item in challenges)

    def lines(self, method: str, uri: str) -> list[str]:
        """Return the header lines with the credentials of a request, if any."""
        return [
            f"{field}: {self._answer(field, challenge, method, uri)}"
            for field, challenge in self._challenges.items()
        ]

    def _answer(self, field: str, challenge: _Challenge, method: str, uri: str) -> str:
        digest = HASHES[challenge.algorithm]
        ha1 = digest(f"{self._username}:{challenge.realm}:{self._password}")
        ha2 = digest(f"{method}:{uri}")
        parts = [
            f"username={_quoted(self._username)}",
            f"realm={_quoted(challenge.realm)}",
            f"nonce={_quoted(challenge.nonce)}",
            f'uri="{uri}"',
        ]
        middle = challenge.nonce
        if challenge.qop:
            self._counts[field] += 1
            count = f"{self._counts[field]:08x}"
            cnonce = secrets.token_hex(8)
            middle = f"{middle}:{count}:{cnonce}:auth"
            parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
        response = digest(f"{ha1}:{middle}:{ha2}")
        parts.append(f'response="{response}"')
        if challenge.named:
            parts.append(f"algorithm={challenge.algorithm}")
        if challenge.opaque is not None:
            parts.append(f"opaque={_quoted(challenge.opaque)}")
        return f"Digest {', '.join(parts)}"


def _read(line: str) -> _Challenge | None:
    """Read one challenge, None where it cannot be answered."""
    parameters = parse_digest(line)
    if parameters is None:
        return None
    algorithm = parameters.get("algorithm", MD5).upper()
    qops = parameters.get("qop")
    offered = [] if qops is None else re.split(r"[ \t,]+", qops.strip().lower())
    nonce = parameters.get("nonce", "")
    if (
        algorithm not in HASHES
        or not nonce
        or "realm" not in parameters
        or (qops is not None and "auth" not in offered)
    ):
        return None
    return _Challenge(
        unescaped(parameters["realm"]),
        unescaped(nonce),
        algorithm,
        "algorithm" in parameters,
        qops is not None,
        unescaped(parameters["opaque"]) if "opaque" in parameters else None,
        parameters.get("stale", "").lower() == "true",
    )


def _quoted(text: str) -> str:
    return f'"{_SPECIAL.sub(r"\\\1", text)}"'
