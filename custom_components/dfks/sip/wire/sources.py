"""What a Via says of where its request came from (RFC 3261 18.2.1, RFC 3581 4)."""

import re

from .headers import Via, unbracketed

# Parameters of a Via that are not the sender's to write.
_RPORT = re.compile(r";[ \t]*rport[ \t]*(=[^;]*)?(?=;|\Z)", re.IGNORECASE)
_RECEIVED = re.compile(r";[ \t]*received[ \t]*=[^;]*", re.IGNORECASE)


def with_source(text: str, via: Via, host: str, port: int) -> str:
    """Return a Via value, of which `via` is what is in it, with its true source.

    `received` and, where it was asked for, `rport`. Where nothing has to be said it is
    the same string.
    """
    wants_port = "rport" in via.parameters
    if not wants_port and unbracketed(via.host) == host:
        return text
    if "received" in via.parameters:
        text = _RECEIVED.sub("", text)
    if not wants_port:
        return f"{text};received={host}"
    plain = text.endswith(";rport")
    text = text.removesuffix(";rport") if plain else _RPORT.sub("", text)
    return f"{text};rport={port};received={host}"
