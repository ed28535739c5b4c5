"""Certificates in files as users have them: the key apart from the certificate."""

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from custom_components.dfks.tls import TlsFiles
from tests.sip.certificates import Key, self_signed, signed


def write_pem(
    folder: Path,
    name: str,
    *,
    valid_for: timedelta = timedelta(days=1),
    password: bytes | None = None,
    rsa_bits: int | None = None,
) -> TlsFiles:
    """Write a self-signed certificate for 127.0.0.1 and its key.

    The key is encrypted with `password`. It is on an elliptic curve, or is an RSA key of
    `rsa_bits`; OpenSSL takes none of less than 2048.
    """
    key: Key
    if rsa_bits is None:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, rsa_bits)
    return _write(
        folder, name, self_signed(key, name, valid_for=valid_for), key, password
    )


def write_signed_pem(folder: Path, name: str, authority: TlsFiles) -> TlsFiles:
    """Write a certificate for 127.0.0.1 that an authority has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(Path(authority.key).read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = signed(key, name, Path(authority.certificate).stem, signer)
    return _write(folder, name, certificate, key)


def _write(
    folder: Path,
    name: str,
    certificate: x509.Certificate,
    key: Key,
    password: bytes | None = None,
) -> TlsFiles:
    encryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password)
    )
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
