"""Keyed hashes that carry a proxy's memory through the messages that it passes.

A proxy that keeps nothing for a passed message finds what it needs in the message
itself: the branch of its Via says that a response belongs to it, the token in a Contact
or a Record-Route names the binding. All of them are keyed hashes, so nobody can write
one, and they stay the same over a restart as long as the secret does.
"""

from base64 import b32encode
import hashlib
import hmac

from ..headers import Via

COOKIE = "z9hG4bK"

# Octets of a secret.
SECRET_SIZE = 32

# Characters of five bits. A token has 60 bits of keyed hash; a branch has 50 of the
# transaction and 15 of where the request was going.
TOKEN_SIZE = 12
TRANSACTION_SIZE = 10
LOOP_SIZE = 3

# What a branch of ours begins with, by direction. Branches of requests that we make
# ourselves go on with hexadecimal digits.
TO_PBX = f"{COOKIE}u"
TO_PHONE = f"{COOKIE}p"


class Tokens:
    """Writes and recognizes tokens and branches."""

    def __init__(self, secret: bytes) -> None:
        """Use `secret`, which outlives the process; another one ends all tokens."""
        self._secret = secret

    def _hash(self, size: int, *parts: str) -> str:
        octets = "\n".join(parts).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2s(octets, key=self._secret, digest_size=15).digest()
        return b32encode(digest)[:size].decode("ascii").lower()

    def binding(self, pbx: str, user: str, identity: str) -> str:
        """Return the token of a phone's binding.

        `identity` is what stays of a phone when its connection or address changes.
        """
        return self._hash(TOKEN_SIZE, "binding", pbx, user, identity)

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
            + self.loop_part(uri, routes)
        )

    def _transaction(self, direction: str, via: Via, transaction: str) -> str:
        branch = via.branch
        sender = _sender(via)
        if is_unique(branch):
            return self._hash(TRANSACTION_SIZE, direction, branch, sender)
        # It cannot be told from a response, so it is signed.
        plain = self._hash(TRANSACTION_SIZE, direction, transaction, branch, sender)
        return plain + self._hash(TRANSACTION_SIZE, "signature", plain)

    def loop_part(self, uri: str, routes: str) -> str:
        """Return what two passings of a request in a loop have in common (16.3, 4)."""
        return self._hash(LOOP_SIZE, "loop", uri, routes)

    def is_own_branch(self, direction: str, branch: str, sender: Via) -> bool:
        """Whether a response's top branch is ours, by the Via below it."""
        own = branch.removeprefix(direction)
        if is_unique(sender.branch):
            expected = self._hash(
                TRANSACTION_SIZE, direction, sender.branch, _sender(sender)
            )
            return hmac.compare_digest(
                own[:TRANSACTION_SIZE].encode(), expected.encode()
            )
        signed = own[TRANSACTION_SIZE : 2 * TRANSACTION_SIZE]
        expected = self._hash(TRANSACTION_SIZE, "signature", own[:TRANSACTION_SIZE])
        return hmac.compare_digest(signed.encode(), expected.encode())

    def is_loop(self, branch: str, uri: str, routes: str) -> bool:
        """Whether a branch of ours says that nothing has changed since it was passed."""
        return branch.partition(".")[0].endswith(self.loop_part(uri, routes))


def is_unique(branch: str) -> bool:
    """Whether a branch is unique to its transaction (RFC 3261 8.1.1.7)."""
    return len(branch) > len(COOKIE) and branch.startswith(COOKIE)


def direction_of(branch: str) -> str | None:
    """Return the direction of a branch that may be ours, None where it is not."""
    start = branch[: len(TO_PBX)]
    return start if start in (TO_PBX, TO_PHONE) else None


def _sender(via: Via) -> str:
    parameters = via.parameters
    return "{}:{}:{}:{}".format(
        via.host,
        via.port or "",
        parameters.get("received") or "",
        parameters.get("rport") or "",
    )
