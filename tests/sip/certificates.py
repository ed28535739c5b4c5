"""Certificates for loopback, made anew for each run of the tests."""

from datetime import UTC, datetime, timedelta
import ipaddress
from pathlib import Path
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def self_signed(
    key: Key, name: str, *, valid_for: timedelta = timedelta(days=1)
) -> x509.Certificate:
    """Return a certificate of a key for 127.0.0.1."""
    return signed(key, name, name, key, valid_for=valid_for)


def signed(
    key: Key,
    name: str,
    issuer: str,
    issuer_key: Key,
    *,
    valid_for: timedelta = timedelta(days=1),
) -> x509.Certificate:
    """Return a certificate of a key for 127.0.0.1, signed by an authority.

    It says as little as a home-made one: key usage and key identifiers are left out.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + valid_for)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def openssl_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a certificate, as `openssl x509 -fingerprint` writes it."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def write_certificate(folder: Path, name: str) -> Path:
    """Write a self-signed certificate for 127.0.0.1 with its key; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + self_signed(key, name).public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_context(certificate: Path, *, clients: Path | None = None) -> ssl.SSLContext:
    """Return what a server serves TLS with; `clients` must then show that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(trusted: Path, *, own: Path | None = None) -> ssl.SSLContext:
    """Return what a phone connects with: it trusts one certificate and may show one."""
    context = ssl.create_default_context(cafile=str(trusted))
    if own is not None:
        context.load_cert_chain(own)
    return context
