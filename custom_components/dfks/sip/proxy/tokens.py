"""Keyed hashes that carry a proxy's memory through the messages that it passes.

A proxy that keeps nothing for a passed message finds what it needs in the message
itself: the branch of its Via says that a response belongs to it, the token in a Contact
or a Record-Route names the binding. All of them are keyed hashes, so nobody can write
one, and they stay the same over a restart as long as the secret does.
"""

import hashlib
import hmac
from zlib import crc32

from ..wire.headers import MAGIC_COOKIE, Via
from ..wire.splice import PassedMessage

# Octets of a secret.
SECRET_SIZE = 32

# Hexadecimal digits. A token is 48 bits of a keyed hash, so is what a branch says of its
# transaction; 16 bits more say where the request was going.
TOKEN_SIZE = 12
TRANSACTION_SIZE = 12

# What a branch of ours begins with, by direction. Branches of requests that we make
# ourselves go on with hexadecimal digits.
TO_PBX = f"{MAGIC_COOKIE}u"
TO_PHONE = f"{MAGIC_COOKIE}p"


class Tokens:
    """Writes and recognizes tokens and branches."""

    def __init__(self, secret: bytes) -> None:
        """Use `secret`, which outlives the process; another one ends all tokens."""
        self.use(secret)

    def use(self, secret: bytes) -> None:
        """Use another secret from now on: that of an earlier run."""
        # A hash to begin with, since the key takes a block of its own.
        self._keyed = hashlib.blake2s(key=secret, digest_size=6)

    def _hash(self, *parts: str) -> str:
        keyed = self._keyed.copy()
        keyed.update("\n".join(parts).encode("utf-8", "surrogateescape"))
        return keyed.hexdigest()

    def tag(self, *parts: str) -> str:
        """Return a To tag that a retransmission gets again (RFC 3261 8.2.7)."""
        return self._hash("tag", *parts)

    def binding(self, pbx: str, user: str, identity: str) -> str:
        """Return the token of a phone's binding.

        `identity` is what stays of a phone when its connection or address changes.
        """
        return self._hash("binding", pbx, user, identity)

    def branch(
        self, direction: str, via: Via, uri: str, routes: str, transaction: str
    ) -> str:
        """Return the branch of a request that is passed (RFC 3261 16.11).

        `via` is the one of whoever sent it, with received and rport. A retransmission,
        a CANCEL and an ACK to a refusal get the branch of their request again. The last
        part is about `uri` and `routes` as they leave: a request that comes back with
        the same ones is in a loop. `transaction` tells requests apart whose branch does
        not (RFC 2543).
        """
        return (
            direction
            + self._transaction(direction, via, transaction)
            + loop_part(uri, routes)
        )

    def transaction(self, direction: str, branch: str, sender: str) -> str:
        """Return what our branch says of a transaction whose own is unique.

        `sender` as from `sender_text`.
        """
        return self._hash(direction, branch, sender)

    def is_own_transaction(
        self, direction: str, branch: str, theirs: str, sender: str
    ) -> bool:
        """Whether a branch is ours, of a transaction whose own, `theirs`, is unique.

        `sender` as from `sender_text`.
        """
        start = len(direction)
        own = branch[start : start + TRANSACTION_SIZE]
        return _is_same(own, self.transaction(direction, theirs, sender))

    def _transaction(self, direction: str, via: Via, transaction: str) -> str:
        branch = via.branch
        sender = _sender(via)
        if is_unique(branch):
            return self.transaction(direction, branch, sender)
        # It cannot be told from a response, so it is signed.
        plain = self._hash(direction, transaction, branch, sender)
        return plain + self._hash("signature", plain)

    def is_own_branch(self, direction: str, branch: str, sender: Via) -> bool:
        """Whether a response's top branch is ours, by the Via below it."""
        if is_unique(sender.branch):
            return self.is_own_transaction(
                direction, branch, sender.branch, _sender(sender)
            )
        own = branch.removeprefix(direction)
        signed = own[TRANSACTION_SIZE : 2 * TRANSACTION_SIZE]
        expected = self._hash("signature", own[:TRANSACTION_SIZE])
        return _is_same(signed, expected)


def is_token(user: str) -> bool:
    """Whether a user part may be a token of ours."""
    # One of 280 has decimal digits alone, for which `islower` would be false.
    return len(user) == TOKEN_SIZE and user.isalnum() and user == user.lower()


def loop_part(uri: str, routes: str) -> str:
    """Return what two passings of a request in a loop have in common (16.3, 4)."""
    octets = f"{uri}\n{routes}".encode("utf-8", "surrogateescape")
    return f"{crc32(octets) & 0xFFFF:04x}"


def is_loop(branch: str, uri: str, routes: str) -> bool:
    """Whether a branch of ours says that nothing has changed since it was passed."""
    return branch.partition(".")[0].endswith(loop_part(uri, routes))


def _is_same(one: str, other: str) -> bool:
    """Compare in a time that says nothing of where the two differ."""
    return hmac.compare_digest(one.encode("latin-1"), other.encode("latin-1"))


def is_unique(branch: str) -> bool:
    """Whether a branch is unique to its transaction (RFC 3261 8.1.1.7)."""
    return len(branch) > len(MAGIC_COOKIE) and branch.startswith(MAGIC_COOKIE)


def transaction_text(message: PassedMessage) -> str:
    """Return what tells transactions apart whose branches do not (16.11)."""
    digits = (message.first("cseq") or "").partition(" ")[0]
    return "\n".join(
        (
            message.uri,
            message.tag("from") or "",
            message.first("call-id") or "",
            digits,
        )
    )


def direction_of(branch: str) -> str | None:
    """Return the direction of a branch that may be ours, None where it is not."""
    start = branch[: len(TO_PBX)]
    return start if start in (TO_PBX, TO_PHONE) else None


def _sender(via: Via) -> str:
    parameters = via.parameters
    return sender_text(
        via.host,
        via.port or "",
        parameters.get("received") or "",
        parameters.get("rport") or "",
    )


def sender_text(host: str, port: str | int, received: str, rport: str) -> str:
    """Return what a Via says of its sender; what it does not say is empty.

    `host` is in lower case.
    """
    return f"{host}:{port}:{received}:{rport}"
