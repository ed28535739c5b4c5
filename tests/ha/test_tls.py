"""Phones over TLS, and the certificate they are shown, as it comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
import shutil
import socket
import ssl
import warnings

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.tls import (
    LOOK_INTERVAL,
    TlsError,
    TlsFiles,
    TlsProblem,
    load_certificate,
)
from dev.ports import free_port
from tests.phone import DND as DND_FEATURE, Phone, PhoneError
from tests.sip.certificates import client_context

from .common import (
    DND,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    async_fire_time_changed,
    complaints,
    entry_state,
    line_data,
    listener_entry,
    runtime,
    set_up,
    state_of,
    turn,
)
from .conftest import OpenPhone
from .pem import write_pem, write_signed_pem

EXPIRED = timedelta(days=-1)


@pytest.fixture
def tls_port() -> int:
    """Return another port that is free."""
    return free_port()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """Return the listener's certificate and its key."""
    return write_pem(tmp_path, "server")


@pytest.fixture
def mutual(tmp_path: Path) -> TlsFiles | None:
    """Return the certificate that phones must show, None where they need none."""
    return None


@pytest.fixture
def entry(
    port: int, tls_port: int, files: TlsFiles, mutual: TlsFiles | None
) -> MockConfigEntry:
    """Return a listener that serves TLS, not set up yet."""
    tls: dict[str, object] = {
        "certificate": files.certificate,
        "private_key": files.key,
        "port": tls_port,
    }
    if mutual is not None:
        tls["client_authority"] = mutual.certificate
    line = line_data(RECEPTION, "Reception", RECEPTION_DATA)
    return listener_entry(port, [line], settings={"tls": tls})


class Desk:
    """Puts phones of line 201 on TLS."""

    def __init__(self, stack: AsyncExitStack, port: int) -> None:
        """Close them with `stack`."""
        self._stack = stack
        self._server = (LOCALHOST, port)

    async def phone(self, trusted: str, *, own: TlsFiles | None = None) -> Phone:
        """Return one that trusts a certificate, and may show one."""
        context = client_context(Path(trusted))
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        phone = Phone(
            "201", "reception-201", self._server, transport="tls", tls=context
        )
        await self._stack.enter_async_context(phone)
        return phone

    async def subscribed(self, trusted: str, *, own: TlsFiles | None = None) -> Phone:
        """Return one that is subscribed and told the state."""
        phone = await self.phone(trusted, own=own)
        assert (await phone.subscribe()).status == 200
        await phone.notification()
        return phone


@pytest.fixture
async def desk(tls_port: int) -> AsyncIterator[Desk]:
    """Return what puts phones on TLS."""
    async with AsyncExitStack() as stack:
        yield Desk(stack, tls_port)


def shake_hands(phone: ssl.SSLContext, files: TlsFiles) -> tuple[str, str]:
    """Return version and cipher of a connection. Raises ssl.SSLError where it fails."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = load_certificate(files).context.wrap_bio(up, down, server_side=True)
    client = phone.wrap_bio(down, up, server_hostname=LOCALHOST)
    for side in (client, server) * 3:
        # It has said what it can, and needs an answer.
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    version, cipher = client.version(), client.cipher()
    assert version is not None
    assert cipher is not None
    return version, cipher[0]


async def look(hass: HomeAssistant) -> None:
    """Let the time come at which the files are looked at."""
    async_fire_time_changed(hass, dt_util.utcnow() + LOOK_INTERVAL)
    await hass.async_block_till_done(wait_background_tasks=True)


def issue(hass: HomeAssistant) -> ir.IssueEntry | None:
    """Return the repair issue about TLS."""
    return ir.async_get(hass).async_get_issue("dfks", "tls")


def issue_key(hass: HomeAssistant) -> str | None:
    """Return which text the repair issue has."""
    found = issue(hass)
    return found.translation_key if found is not None else None


async def test_key_and_switch_move_together(
    hass: HomeAssistant, entry: MockConfigEntry, files: TlsFiles, desk: Desk
) -> None:
    """As over UDP and TCP."""
    await set_up(hass, entry)
    phone = await desk.subscribed(files.certificate)

    await phone.set_dnd(True)
    await phone.until(lambda lamps: lamps[DND_FEATURE].on)
    assert state_of(hass, DND) == "on"
    await turn(hass, DND, "off")
    await phone.until(lambda lamps: not lamps[DND_FEATURE].on)
    assert phone.violations == []
    assert issue(hass) is None


class TestHandshake:
    """What phones of different ages agree on with the listener."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> TlsFiles:
        """Return a certificate with an RSA key, which every phone can use."""
        return write_pem(tmp_path, "server", rsa_bits=2048)

    @pytest.fixture
    def phone(self, files: TlsFiles) -> ssl.SSLContext:
        """Return what a phone connects with."""
        return client_context(Path(files.certificate))

    def test_phone_of_today_gets_tls_1_3(
        self, files: TlsFiles, phone: ssl.SSLContext
    ) -> None:
        """With no setting at all."""
        version, _ = shake_hands(phone, files)
        assert version == "TLSv1.3"

    @pytest.mark.parametrize(
        "cipher",
        [
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "ECDHE-RSA-AES128-SHA",
            "AES128-GCM-SHA256",
            "AES256-SHA256",
            "AES256-SHA",
            "AES128-SHA",
        ],
    )
    def test_phone_with_one_cipher_of_tls_1_2_gets_it(
        self, files: TlsFiles, phone: ssl.SSLContext, cipher: str
    ) -> None:
        """Some have neither AES-GCM nor elliptic curves."""
        phone.maximum_version = ssl.TLSVersion.TLSv1_2
        phone.set_ciphers(cipher)

        assert shake_hands(phone, files) == ("TLSv1.2", cipher)

    def test_best_cipher_is_chosen_whatever_the_phone_prefers(
        self, files: TlsFiles, phone: ssl.SSLContext
    ) -> None:
        """Its order may be as old as its firmware."""
        phone.maximum_version = ssl.TLSVersion.TLSv1_2
        phone.set_ciphers("AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384")

        _, cipher = shake_hands(phone, files)
        assert cipher == "ECDHE-RSA-AES256-GCM-SHA384"

    @pytest.mark.parametrize(
        "cipher", ["AECDH-AES256-SHA", "NULL-SHA256", "AES128-CCM8"]
    )
    def test_cipher_that_protects_too_little_is_refused(
        self, files: TlsFiles, phone: ssl.SSLContext, cipher: str
    ) -> None:
        """No certificate, no encryption, or a tag that can be guessed."""
        phone.maximum_version = ssl.TLSVersion.TLSv1_2
        phone.set_ciphers(f"{cipher}:@SECLEVEL=0")

        with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
            shake_hands(phone, files)

    def test_tls_1_1_is_refused(self, files: TlsFiles, phone: ssl.SSLContext) -> None:
        """It has been withdrawn."""
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            phone.minimum_version = ssl.TLSVersion.TLSv1
            phone.maximum_version = ssl.TLSVersion.TLSv1_1
        phone.set_ciphers("ALL:@SECLEVEL=0")

        with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
            shake_hands(phone, files)

    def test_phones_certificate_of_a_home_made_authority_is_taken(
        self, files: TlsFiles, phone: ssl.SSLContext, tmp_path: Path
    ) -> None:
        """It lacks key usage and key identifiers, as those of many makers do."""
        authority = write_pem(tmp_path, "authority")
        own = write_signed_pem(tmp_path, "phone", authority)
        phone.load_cert_chain(own.certificate, own.key)

        mutual = replace(files, clients=authority.certificate)
        version, _ = shake_hands(phone, mutual)
        assert version == "TLSv1.3"


class TestMutual:
    """Where phones must show a certificate."""

    @pytest.fixture
    def mutual(self, tmp_path: Path) -> TlsFiles:
        """Return the phone's certificate, which is its own authority."""
        return write_pem(tmp_path, "phone")

    async def test_phone_with_a_certificate_is_served(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        files: TlsFiles,
        mutual: TlsFiles,
        desk: Desk,
    ) -> None:
        """It still has to know its password."""
        await set_up(hass, entry)
        phone = await desk.subscribed(files.certificate, own=mutual)

        await phone.set_dnd(True)
        await phone.until(lambda lamps: lamps[DND_FEATURE].on)

    async def test_phone_without_a_certificate_is_turned_away(
        self, hass: HomeAssistant, entry: MockConfigEntry, files: TlsFiles, desk: Desk
    ) -> None:
        """Before it has said a word of SIP."""
        await set_up(hass, entry)
        # asyncio tells of handshakes that fail only where it is debugged.
        hass.loop.set_debug(False)

        async def register() -> None:
            phone = await desk.phone(files.certificate)
            await phone.register()

        with pytest.raises((OSError, PhoneError)):
            await register()

    async def test_renewed_authority_is_used_without_a_reload(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        files: TlsFiles,
        mutual: TlsFiles,
        tmp_path: Path,
        desk: Desk,
    ) -> None:
        """Phones with certificates of the new one come in."""
        listener = await set_up(hass, entry)
        write_pem(tmp_path, "phone")
        await look(hass)

        await desk.subscribed(files.certificate, own=mutual)
        assert runtime(entry) is listener


async def test_renewed_certificate_is_shown_without_a_reload(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    files: TlsFiles,
    tmp_path: Path,
    desk: Desk,
) -> None:
    """To the next phone; the connections that there are go on."""
    listener = await set_up(hass, entry)
    old = await desk.subscribed(files.certificate)
    write_pem(tmp_path, "server")
    await look(hass)

    await desk.subscribed(files.certificate)
    await old.set_dnd(True)
    await old.until(lambda lamps: lamps[DND_FEATURE].on)
    assert runtime(entry) is listener
    assert issue(hass) is None


def _remove(files: TlsFiles) -> None:
    Path(files.key).unlink()


def _garble(files: TlsFiles) -> None:
    Path(files.certificate).write_text("no certificate\n")


def _garble_key(files: TlsFiles) -> None:
    Path(files.key).write_text("no key\n")


def _swap_key(files: TlsFiles) -> None:
    folder = Path(files.key).parent
    Path(write_pem(folder, "other").key).replace(files.key)


def _expire(files: TlsFiles) -> None:
    folder = Path(files.key).parent
    write_pem(folder, Path(files.certificate).stem, valid_for=EXPIRED)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_remove, "does not exist"),
        (_garble, "does not contain a certificate"),
        (_garble_key, "does not contain a private key"),
        (_swap_key, "does not belong to"),
        (_expire, "expired on"),
    ],
)
async def test_broken_renewal_keeps_the_old_certificate(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    files: TlsFiles,
    tmp_path: Path,
    desk: Desk,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[TlsFiles], None],
    said: str,
) -> None:
    """It is said once, and taken back when it is mended."""
    await set_up(hass, entry)
    trusted = shutil.copy(files.certificate, tmp_path / "trusted.pem")
    spoil(files)
    await look(hass)
    await look(hass)

    await desk.subscribed(str(trusted))
    found = issue(hass)
    assert found is not None
    assert found.translation_key == "tls_not_renewed"
    assert found.translation_placeholders is not None
    assert said in found.translation_placeholders["error"]
    assert [said in text for text in complaints(caplog)] == [True]

    write_pem(tmp_path, "server")
    await look(hass)
    await desk.subscribed(files.certificate)
    assert issue(hass) is None


async def test_what_is_wrong_is_said_in_home_assistants_language(
    hass: HomeAssistant, entry: MockConfigEntry, files: TlsFiles
) -> None:
    """It stands in the midst of a text that is."""
    hass.config.language = "de"
    _garble_key(files)
    await set_up(hass, entry)
    found = issue(hass)
    assert found is not None
    assert found.translation_placeholders is not None
    assert (
        "enthält keinen privaten Schlüssel" in (found.translation_placeholders["error"])
    )


@pytest.mark.parametrize("spoil", [_remove, _garble, _swap_key])
async def test_bad_certificate_does_not_silence_udp(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    files: TlsFiles,
    tmp_path: Path,
    tls_port: int,
    desk: Desk,
    open_phone: OpenPhone,
    spoil: Callable[[TlsFiles], None],
) -> None:
    """TLS comes up when it is mended, and nobody has to do more for it."""
    spoil(files)
    await set_up(hass, entry)
    phone = await open_phone()
    await phone.set_dnd(True)
    assert issue_key(hass) == "tls_not_served"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(LOCALHOST, tls_port)

    write_pem(tmp_path, "server")
    await look(hass)
    secure = await desk.subscribed(files.certificate)
    assert secure.features[DND_FEATURE].on
    assert issue(hass) is None


async def test_certificate_that_has_expired_is_shown_all_the_same(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    files: TlsFiles,
    tmp_path: Path,
    tls_port: int,
    desk: Desk,
) -> None:
    """Many phones do not look at the date; those that do are helped by no other way."""
    _expire(files)
    listener = await set_up(hass, entry)
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    phone = Phone(
        "201",
        "reception-201",
        (LOCALHOST, tls_port),
        transport="tls",
        tls=careless,
    )
    async with phone:
        assert (await phone.register()).status == 200
    assert issue_key(hass) == "tls_expired"

    write_pem(tmp_path, "server")
    await look(hass)
    await desk.subscribed(files.certificate)
    assert issue(hass) is None
    assert runtime(entry) is listener


async def test_certificate_that_expires_is_noticed(
    hass: HomeAssistant, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """Whoever forgot to renew it is told."""
    await set_up(hass, entry)
    assert issue(hass) is None
    freezer.tick(timedelta(days=2))
    await look(hass)

    assert issue_key(hass) == "tls_expired"


async def test_issue_goes_with_the_listener(
    hass: HomeAssistant, entry: MockConfigEntry, files: TlsFiles
) -> None:
    """Who turns the listener off has nothing left to repair."""
    _remove(files)
    await set_up(hass, entry)
    assert issue(hass) is not None

    assert await hass.config_entries.async_unload(entry.entry_id)
    assert issue(hass) is None


async def test_taken_tls_port_is_not_ready(
    hass: HomeAssistant, entry: MockConfigEntry, tls_port: int
) -> None:
    """The message names this port, not the other."""
    entry.add_to_hass(hass)
    with socket.create_server((LOCALHOST, tls_port)):
        assert not await hass.config_entries.async_setup(entry.entry_id)

    assert entry_state(entry) is ConfigEntryState.SETUP_RETRY
    assert entry.reason is not None
    assert f"Port {tls_port} is already in use" in entry.reason


class TestFiles:
    """What can be wrong with them."""

    def test_encrypted_key_is_not_asked_for_at_the_terminal(
        self, tmp_path: Path
    ) -> None:
        """It is refused."""
        files = write_pem(tmp_path, "server", password=b"secret")

        with pytest.raises(TlsError) as err:
            load_certificate(files)
        assert err.value.problem is TlsProblem.KEY_ENCRYPTED

    def test_weak_key_is_refused_in_the_words_of_openssl(self, tmp_path: Path) -> None:
        """There are more reasons than anybody could translate."""
        files = write_pem(tmp_path, "server", rsa_bits=1024)

        with pytest.raises(TlsError) as err:
            load_certificate(files)
        assert err.value.problem is TlsProblem.UNUSABLE
        assert err.value.words["reason"] == "EE_KEY_TOO_SMALL"

    def test_file_that_cannot_be_read(self, files: TlsFiles) -> None:
        """The memory of this process is a file, and its first page is nobody's."""
        with pytest.raises(TlsError) as err:
            load_certificate(replace(files, key="/proc/self/mem"))
        assert err.value.problem is TlsProblem.FILE_NOT_READABLE
        assert err.value.words["reason"] == "Input/output error"
