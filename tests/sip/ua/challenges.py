"""Digest authentication as a server does it that shares no code with ours."""

import hashlib

from tests.phone import Request
from tests.phone.digest import parse_fields

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def challenge(
    nonce: str = "nonce-1",
    *,
    algorithm: str | None = "MD5",
    qop: str | None = '"auth"',
    stale: bool = False,
    realm: str = "asterisk",
) -> str:
    """Write a challenge."""
    parts = [f'realm="{realm}"', f'nonce="{nonce}"', 'opaque="opaque-1"']
    if algorithm is not None:
        parts.append(f"algorithm={algorithm}")
    if qop is not None:
        parts.append(f"qop={qop}")
    if stale:
        parts.append("stale=TRUE")
    return f"Digest {', '.join(parts)}"


def is_right(
    request: Request,
    *,
    algorithm: str = "MD5",
    header: str = "Authorization",
) -> bool:
    """Check the credentials of a request as a server does (RFC 7616 3.4.1)."""
    fields = parse_fields(request.get(header))
    assert fields["username"] == "auth-501"
    assert fields["uri"] == request.uri
    assert fields["opaque"] == "opaque-1"

    def hashed(text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()

    secret = hashed(f"auth-501:{fields['realm']}:secret-501")
    middle = fields["nonce"]
    if "qop" in fields:
        middle += f":{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
    wanted = hashed(f"{secret}:{middle}:{hashed(f'{request.method}:{request.uri}')}")
    return fields["response"] == wanted
