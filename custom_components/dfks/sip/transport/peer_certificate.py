"""What the certificate of a peer that we connect to is checked by (RFC 5922 4)."""

import asyncio
from dataclasses import dataclass
import hashlib
import ssl

# Octets of a SHA-256.
FINGERPRINT_SIZE = 32


@dataclass(frozen=True, slots=True)
class CertificateCheck:
    """Authorities and a name, or one certificate that is pinned.

    context      checks a certificate that is not pinned
    name         what the certificate must be for
    fingerprint  of the only certificate that is accepted, whoever has signed it and
                 whatever it is for, as `fingerprint_of` writes it
    """

    context: ssl.SSLContext
    name: str
    fingerprint: str | None = None

    def handshake(self) -> ssl.SSLContext:
        """Return the context to connect with.

        One that is for a pinned certificate checks nothing: `accepts` has to be asked
        before anything is sent.
        """
        return self.context if self.fingerprint is None else _unchecked()

    def accepts(self, certificate: bytes | None) -> bool:
        """Whether a connection with this certificate (DER) may be used."""
        return self.fingerprint is None or (
            certificate is not None and fingerprint_of(certificate) == self.fingerprint
        )


def fingerprint_of(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (DER), as `openssl x509 -fingerprint` does."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


def read_fingerprint(text: str) -> str:
    """Return a SHA-256 that somebody has typed as `fingerprint_of` writes it.

    With colons, blanks or nothing between the octets, in either case. Raises ValueError.
    """
    octets = bytes.fromhex(text.replace(":", " "))
    if len(octets) != FINGERPRINT_SIZE:
        raise ValueError("Not a SHA-256")
    return octets.hex(":").upper()


async def fetch_certificate(remote: tuple[str, int], name: str) -> bytes | None:
    """Return the certificate (DER) of a peer without trust in it, to be shown.

    Nothing is sent beyond the handshake. Raises OSError.
    """
    _, writer = await asyncio.open_connection(
        *remote, ssl=_unchecked(), server_hostname=name
    )
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
