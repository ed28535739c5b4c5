"""Certificates in files as users have them: the key apart from the certificate."""

from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from custom_components.dfks.tls import TlsFiles
from tests.sip.certificates import self_signed


def write_pem(
    folder: Path,
    name: str,
    *,
    valid_for: timedelta = timedelta(days=1),
    password: bytes | None = None,
    weak: bool = False,
) -> TlsFiles:
    """Write a self-signed certificate for 127.0.0.1 and its key.

    The key is encrypted with `password`, or a `weak` one that OpenSSL does not take.
    """
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if weak:
        key = rsa.generate_private_key(65537, 1024)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    encryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password)
    )
    certificate = self_signed(key, name, valid_for=valid_for)
    files = TlsFiles(
        certificate=str(folder / f"{name}.pem"), key=str(folder / f"{name}.key")
    )
    Path(files.certificate).write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
    )
    Path(files.key).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    )
    return files
