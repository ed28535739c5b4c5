"""TLS: the certificate that phones are shown, and its renewal.

The user names files, which something else renews in their place. They are read when
the listener starts and again when they change. A certificate that cannot be used must
not silence the phones that come without TLS, so it stops nothing: the one that was
read before stays in use, and a repair issue says what is wrong until it is mended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
import logging
from pathlib import Path
import ssl
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from .const import (
    CONF_CERTIFICATE,
    CONF_CLIENT_AUTHORITY,
    CONF_PRIVATE_KEY,
    CONF_TLS,
    DOMAIN,
    TLS_HELP_URL,
)
from .errors import in_words

_LOGGER = logging.getLogger(__name__)

# Between two looks at the files.
LOOK_INTERVAL: Final = timedelta(minutes=5)

# Octets that are read of a file; bundles of all authorities have a quarter of it.
MAX_FILE: Final = 1024 * 1024

# The one repair issue, and its texts: TLS is not served at all, or with an earlier
# certificate, or with one that has expired.
ISSUE_TLS: Final = "tls"
ISSUE_NOT_SERVED: Final = "tls_not_served"
ISSUE_NOT_RENEWED: Final = "tls_not_renewed"
ISSUE_EXPIRED: Final = "tls_expired"

# TLS 1.0 and 1.1 have been withdrawn (RFC 8996, section 2). Desk phones have had 1.2
# since 2014 or so.
MINIMUM_VERSION: Final = ssl.TLSVersion.TLSv1_2

# The ciphers of TLS 1.2, best first: the server chooses. Those of TLS 1.3 are all good
# and come from OpenSSL.
CIPHERS: Final = (
    # What every current phone and proxy has.
    "ECDHE+AESGCM:ECDHE+CHACHA20:"
    # Older phones have TLS 1.2 without AES-GCM or without elliptic curves. They have no
    # better way to TLS, and no encryption at all is worse.
    "ECDHE+AES:kRSA+AESGCM:kRSA+AES"
)

# What OpenSSL says of a key that belongs to another certificate.
_MISMATCH: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class TlsProblem(StrEnum):
    """What can be wrong with the files, as the key of the message that says so."""

    FILE_NOT_FOUND = "tls_file_not_found"
    FILE_NOT_READABLE = "tls_file_not_readable"
    NOT_A_CERTIFICATE = "tls_not_a_certificate"
    NOT_A_KEY = "tls_not_a_key"
    KEY_ENCRYPTED = "tls_key_encrypted"
    KEY_MISMATCH = "tls_key_mismatch"
    CERTIFICATE_EXPIRED = "tls_certificate_expired"
    UNUSABLE = "tls_unusable"


class TlsError(HomeAssistantError):
    """TLS cannot be served with these files; the text names the file."""

    def __init__(self, problem: TlsProblem, **words: str) -> None:
        """Say what is wrong."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=problem.value,
            translation_placeholders=words,
        )
        self.problem = problem
        self.words = words


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where certificate and key are, all paths absolute."""

    certificate: str
    key: str
    # The authorities of the certificates that phones must show; None asks for none.
    clients: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        clients = () if self.clients is None else (self.clients,)
        return self.certificate, self.key, *clients


def tls_files(hass: HomeAssistant, data: Mapping[str, Any]) -> TlsFiles | None:
    """Return the files that a listener's settings name, None where it has no TLS."""
    if (tls := data.get(CONF_TLS)) is None:
        return None
    clients = tls.get(CONF_CLIENT_AUTHORITY)
    return TlsFiles(
        certificate=hass.config.path(tls[CONF_CERTIFICATE]),
        key=hass.config.path(tls[CONF_PRIVATE_KEY]),
        clients=hass.config.path(clients) if clients else None,
    )


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was read from the files."""

    path: str
    context: ssl.SSLContext
    valid_until: datetime

    @property
    def expired(self) -> TlsError | None:
        """The error of a certificate whose time is over."""
        if self.valid_until > dt_util.utcnow():
            return None
        return TlsError(
            TlsProblem.CERTIFICATE_EXPIRED,
            path=self.path,
            date=_date(self.valid_until),
        )


def load_certificate(files: TlsFiles) -> Certificate:
    """Read the files. Raises TlsError; blocks, so it is for a thread.

    Each time a context of its own is made: one that is in use is never touched, because
    a load that fails leaves it without a key.
    """
    valid_until = _valid_until(files.certificate)
    _check_key(files.key)
    context = _server_context()
    if files.clients is not None:
        _valid_until(files.clients)
        context.verify_mode = ssl.CERT_REQUIRED
    try:
        # A password that is given is never asked for at the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
        if files.clients is not None:
            context.load_verify_locations(files.clients)
    except ssl.SSLError as err:
        words = {"certificate": files.certificate, "key": files.key}
        if err.reason in _MISMATCH:
            raise TlsError(TlsProblem.KEY_MISMATCH, **words) from err
        raise TlsError(
            TlsProblem.UNUSABLE, path=files.certificate, reason=err.reason or str(err)
        ) from err
    return Certificate(files.certificate, context, valid_until)


def _server_context() -> ssl.SSLContext:
    """Return a context without a certificate, for phones of today and of 2014."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = MINIMUM_VERSION
    context.set_ciphers(CIPHERS)
    # The certificates that makers put into phones and those of home-made authorities
    # often lack an extension that RFC 5280 demands, such as a key identifier.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def check_files(files: TlsFiles) -> None:
    """Make sure that TLS can be served. Raises TlsError; blocks like the above."""
    if (expired := load_certificate(files).expired) is not None:
        raise expired


def _read(path: str) -> bytes:
    try:
        if not Path(path).is_file():
            raise TlsError(TlsProblem.FILE_NOT_FOUND, path=path)
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as err:
        raise TlsError(
            TlsProblem.FILE_NOT_READABLE, path=path, reason=err.strerror or str(err)
        ) from err


def _valid_until(path: str) -> datetime:
    """Return when the first certificate of a file expires: it is the one shown."""
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
    except (ValueError, x509.InvalidVersion) as err:
        raise TlsError(TlsProblem.NOT_A_CERTIFICATE, path=path) from err
    return certificates[0].not_valid_after_utc


def _check_key(path: str) -> None:
    try:
        load_pem_private_key(_read(path), None)
    except TypeError as err:
        raise TlsError(TlsProblem.KEY_ENCRYPTED, path=path) from err
    except (ValueError, UnsupportedAlgorithm) as err:
        raise TlsError(TlsProblem.NOT_A_KEY, path=path) from err


def _stamps(files: TlsFiles) -> list[tuple[int, int, int] | None]:
    """Return what changes when a file is replaced or written."""
    return [_stamp(Path(path)) for path in files.paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError, ValueError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _date(when: datetime) -> str:
    return dt_util.as_local(when).date().isoformat()


class CertificateKeeper:
    """Keeps the certificate that phones are shown up to date."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], files: TlsFiles
    ) -> None:
        """Nothing is read before the start."""
        self._hass = hass
        self._entry = entry
        self._files = files
        self._stamps: list[tuple[int, int, int] | None] = []
        self._current: Certificate | None = None
        self._problem: TlsError | None = None
        # What was logged last, until it is mended.
        self._said = ""
        self._unsubscribe: CALLBACK_TYPE | None = None

    async def async_start(self) -> ssl.SSLContext | None:
        """Read the files, and keep looking at them.

        Returns what TLS is served with, None where the files are no good.
        """
        await self._async_look()
        self._unsubscribe = async_track_time_interval(
            self._hass,
            self._async_look,
            LOOK_INTERVAL,
            name="dfks look at certificate",
            cancel_on_shutdown=True,
        )
        if self._current is None:
            return None
        context = self._current.context
        context.sni_callback = self._show_current
        return context

    @callback
    def async_stop(self) -> None:
        """Look no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        ir.async_delete_issue(self._hass, DOMAIN, ISSUE_TLS)

    def _show_current(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Give a new connection the certificate of now.

        The listening socket keeps its context for good. OpenSSL asks here at the start
        of each handshake, whether the phone names a host or not.
        """
        if self._current is not None:
            connection.context = self._current.context

    async def _async_look(self, _now: datetime | None = None) -> None:
        """Read the files again if they have changed, and see whether all is well."""
        stamps = await self._hass.async_add_executor_job(_stamps, self._files)
        if stamps != self._stamps:
            self._stamps = stamps
            self._problem = await self._async_read()
        current = self._current
        if self._problem is None and current is not None:
            self._problem = current.expired
        if self._problem is None:
            self._all_is_well()
        else:
            self._complain(self._problem, current)

    async def _async_read(self) -> TlsError | None:
        """Take what is in the files into use, or return why not."""
        try:
            found = await self._hass.async_add_executor_job(
                load_certificate, self._files
            )
        except TlsError as err:
            return err
        if self._current is not None and (expired := found.expired) is not None:
            return expired
        _LOGGER.debug(
            "The certificate in %s is valid until %s", found.path, found.valid_until
        )
        if self._current is None and self._unsubscribe is not None:
            # There is no TLS socket yet. Phones do not lose their dialogs by this.
            self._hass.config_entries.async_schedule_reload(self._entry.entry_id)
        self._current = found
        return None

    def _all_is_well(self) -> None:
        if self._said:
            self._said = ""
            _LOGGER.info("The TLS certificate is in order again")
        ir.async_delete_issue(self._hass, DOMAIN, ISSUE_TLS)

    def _complain(self, problem: TlsError, current: Certificate | None) -> None:
        text = str(problem)
        if text != self._said:
            self._said = text
            _LOGGER.warning("TLS: %s", text)
        key = ISSUE_NOT_RENEWED
        words = {"error": in_words(self._hass, problem)}
        if current is None:
            key = ISSUE_NOT_SERVED
        elif current.expired is not None:
            key = ISSUE_EXPIRED
        else:
            words["date"] = _date(current.valid_until)
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            ISSUE_TLS,
            is_fixable=False,
            learn_more_url=TLS_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=key,
            translation_placeholders=words,
        )
