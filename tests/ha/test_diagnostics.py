"""What a user hands on: it helps, and gives nobody's secrets away."""

import asyncio
from collections.abc import Awaitable, Callable
import errno
import json
from typing import Any, Final
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import props

from custom_components.dfks.const import DEFAULT_ALLOWED_NETWORKS
from custom_components.dfks.diagnostics import SLICE, async_get_config_entry_diagnostics
from custom_components.dfks.features.model import Feature, FeatureState
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.sip.inspect.trace import KEPT
from tests import phone as desk
from tests.clock import ManualClock
from tests.phone import PATIENCE, RawPeer, set_forwarding

from .common import (
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    MockConfigEntry,
    device_of,
    entry_state,
    get_diagnostics_for_config_entry,
    get_diagnostics_for_device,
    line_data,
    listener_entry,
    press,
)
from .conftest import OpenPhone

type Download = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def download(hass: HomeAssistant, hass_client: Any) -> Download:
    """Return what downloads diagnostics, of an entry or of one of its devices."""

    async def download(
        entry: MockConfigEntry, device: dr.DeviceEntry | None = None
    ) -> dict[str, Any]:
        if device is None:
            data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
        else:
            data = await get_diagnostics_for_device(hass, hass_client, entry, device)
        return dict(data)

    return download


def start_lines(diagnostics: dict[str, Any]) -> list[str]:
    """Return the first line of each message."""
    return [item["message"][0] for item in diagnostics["messages"]]


async def test_snapshot(
    entry: MockConfigEntry,
    listener: DfksListener,
    open_phone: OpenPhone,
    download: Download,
    snapshot: SnapshotAssertion,
) -> None:
    """All of it, but for times and ports of the day."""
    phone = await open_phone()
    await phone.set_forward("always", True, "202")
    await phone.until(lambda lamps: lamps[desk.ALWAYS].on)
    diagnostics = await download(entry)
    del diagnostics["messages"]

    assert diagnostics == snapshot(
        exclude=props("port", "remote", "contact", "expires_at", "last_contact")
    )


async def test_counters_and_messages(
    entry: MockConfigEntry,
    listener: DfksListener,
    open_phone: OpenPhone,
    download: Download,
) -> None:
    """The way of the messages can be followed, with the number of each kind."""
    await open_phone()
    diagnostics = await download(entry)

    assert [item["direction"] for item in diagnostics["messages"]] == [
        *("received", "sent", "received", "sent", "sent", "received")
    ]
    assert start_lines(diagnostics) == [
        f"SUBSCRIBE sip:user-1@address-1:{listener.server.port} SIP/2.0",
        "SIP/2.0 401 Unauthorized",
        f"SUBSCRIBE sip:user-1@address-1:{listener.server.port} SIP/2.0",
        "SIP/2.0 200 OK",
        diagnostics["messages"][4]["message"][0],
        "SIP/2.0 200 OK",
    ]
    notify = diagnostics["messages"][4]
    assert notify["message"][0].startswith("NOTIFY sip:user-1@address-1:")
    assert "  <doNotDisturbOn>false</doNotDisturbOn>" in notify["message"]
    assert notify["remote"].startswith("address-1:")
    watcher = diagnostics["lines"]["line-1"]["watchers"][0]
    assert f"Call-ID: {watcher['call']}" in notify["message"]
    assert diagnostics["listener"]["received"]["SUBSCRIBE"] == 2
    assert diagnostics["listener"]["sent"] == {"200": 1, "401": 1, "NOTIFY": 1}
    assert diagnostics["listener"]["dialogs"] == 1
    assert diagnostics["addresses"] == {"address-1": "IPv4, this machine"}


async def test_only_the_last_messages_are_there(
    entry: MockConfigEntry,
    listener: DfksListener,
    open_phone: OpenPhone,
    download: Download,
) -> None:
    """Fifty, the newest last."""
    phone = await open_phone()
    for _ in range(KEPT):
        await phone.options()
    diagnostics = await download(entry)

    assert len(diagnostics["messages"]) == KEPT
    assert {line.split()[0] for line in start_lines(diagnostics)} == {
        "OPTIONS",
        "SIP/2.0",
    }


async def test_retransmissions_and_blocks_are_counted(
    clock: ManualClock,
    entry: MockConfigEntry,
    listener: DfksListener,
    open_phone: OpenPhone,
    download: Download,
) -> None:
    """Ours, the phones', and those who guess passwords."""
    phone = await open_phone()
    phone.answer_next(desk.SILENCE)
    await press(entry, Feature.DO_NOT_DISTURB, status=True)
    await phone.notification()
    clock.advance(0.5)
    async with await RawPeer.open((LOCALHOST, listener.server.port)) as peer:
        first = peer.request("REGISTER")
        request = peer.signed(first, await peer.ask(first), "reception-201")
        assert (await peer.ask(request)).status == 200
        assert (await peer.ask(request)).status == 200
    for count in range(20):
        listener.server._guard.failed("192.0.2.1", "201", str(count))

    counters = (await download(entry))["listener"]
    assert counters["retransmissions_sent"] == 1
    assert counters["retransmissions_received"] == 1
    assert counters["sources_blocked"] == counters["sources_blocked_total"] == 1

    clock.advance(901)
    counters = (await download(entry))["listener"]
    assert counters["sources_blocked"] == 0
    assert counters["sources_blocked_total"] == 1


async def answer_to(peer: RawPeer, request: bytes, digest: desk.Digest) -> int:
    """Send a request, answer the challenge, and return the status in the end.

    The NOTIFYs that come meanwhile are not answered.
    """
    status = 401
    for _ in range(2):
        peer.send(request)
        while not isinstance(response := await peer.next(), desk.Response):
            pass
        status = response.status
        if status != 401:
            break
        request = peer.signed(request, response, "", digest=digest)
    return status


class TestSecrets:
    """What nobody but the user may know."""

    SETTINGS: Final = {
        "realm": "realm-of-zulu",
        "advertised_host": "pbx.zulu.example",
        "advertised_port": 15060,
        "something_new": "zulu-something",
    }
    OPTIONS: Final = {
        "set_script": "zulu_set_script",
        "get_script": "zulu_get_script",
        "allowed_networks": "127.0.0.0/8, 198.51.100.0/24, 2001:db8:77::/48",
        "trusted_proxies": "203.0.113.99",
        "domains": f"sip.zulu.example, {LOCALHOST}, 198.51.100.7",
    }
    LINE: Final = {
        "user": "49301700201",
        "password": "zulu-password",
        "auth_name": "zulu-auth",
        "features": RECEPTION_DATA["features"],
        "notify_style": "multipart",
    }
    # As they stand in settings and messages, and what is made of them.
    PLANTED: Final = (
        *("realm-of-zulu", "pbx.zulu.example", "sip.zulu.example", "zulu-something"),
        *("zulu_set_script", "zulu_get_script"),
        *("198.51.100", "2001:db8:77", "203.0.113.99"),
        *("49301700201", "zulu-password", "zulu-auth", "zulu-line"),
        # The name of the line, and the one that the phone shows.
        *("Zebulon", "Quartz"),
        *("4989123456", "805ec0a1b2c3", "80:5e:c0:a1:b2:c3", "192.0.2.77"),
        *("fe80::c0ff:ee77", "zulu-domain.example", "zulu-call", "zulu-tag"),
        *("zulu-subject", "zulu-text", LOCALHOST),
    )
    HEADERS: Final = {
        "Call-ID": "zulu-call@192.0.2.77",
        "From": '"Anna Quartz" <sip:49301700201@zulu-domain.example>;tag=zulu-tag',
        "User-Agent": "Yealink SIP-T46S 66.86.0.15 805ec0a1b2c3 Zebulon Quartz",
        "Subject": "zulu-subject",
        "X-Zulu-Subject": "zulu-subject",
        "Organization": "Quartz",
        "P-Asserted-Identity": '"Quartz" <tel:+4989123456>',
        "Record-Route": "<sip:192.0.2.77;lr;x=zulu-tag>, <sip:[fe80::c0ff:ee77];lr>",
        "Warning": '399 192.0.2.77 "zulu-text"',
        "Contact": (
            '"Quartz" <sip:49301700201@127.0.0.1:5062;x=zulu-tag>'
            ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-805ec0a1b2c3>"'
        ),
    }

    @pytest.fixture
    def entry(self, port: int) -> MockConfigEntry:
        """Return a listener that holds a secret in every setting."""
        return listener_entry(
            port,
            [line_data("zulu-line", "Anna Zebulon", self.LINE)],
            settings=self.SETTINGS,
            options=self.OPTIONS,
        )

    async def test_nothing_gives_them_away(
        self, entry: MockConfigEntry, listener: DfksListener, download: Download
    ) -> None:
        """Neither settings, nor lines, nor messages, whatever form they have."""
        bodies = (
            set_forwarding("always", True, "+4989123456"),
            b"<x:SetForwarding xmlns:x='zulu-text'><x:forwardDN>&#x34;989123456</x:forwardDN></x:SetForwarding>",
            b"<SetForwarding>zulu-text 4989123456",
            b"zulu-text 4989123456",
        )
        # The set script is not there, so no key can do it.
        listener.sync.lines["zulu-line"].store(
            Feature.CALL_FORWARDING_ALWAYS, FeatureState(True, "+4989123456")
        )
        digest = desk.Digest(username="zulu-auth", password="zulu-password")
        server = LOCALHOST, listener.server.port
        async with await RawPeer.open(server, user="49301700201") as peer:
            for count, body in enumerate(bodies):
                headers = {
                    **self.HEADERS,
                    "Call-ID": f"zulu-call{count}@192.0.2.77",
                    "Event": "as-feature-event",
                    "Content-Type": desk.CONTENT_TYPE if count < 3 else "text/plain",
                }
                request = peer.request("SUBSCRIBE", None, headers, body)
                assert await answer_to(peer, request, digest) in (200, 400, 415)
            registration = peer.request("REGISTER", None, self.HEADERS)
            assert await answer_to(peer, registration, digest) == 200
            peer.send(b"zulu-text 4989123456")
            await answer_to(peer, peer.request("OPTIONS"), digest)
            diagnostics = await download(entry)

        assert len(diagnostics["messages"]) > 10
        line = diagnostics["lines"]["line-1"]
        assert line["watchers"] and line["bindings"]
        assert line["states"]["call_forwarding_always"] == {
            "status": True,
            "forward_to": "number-1",
        }
        dump = json.dumps(diagnostics).lower()
        assert [secret for secret in self.PLANTED if secret.lower() in dump] == []
        # What is worth knowing is there all the same.
        assert "yealink sip-t46s 66.86.0.15" in dump
        assert diagnostics["entry"]["data"]["realm"] == "realm-1"
        assert diagnostics["entry"]["options"]["set_script"] == "**REDACTED**"


class TestDevice:
    """Diagnostics of one line."""

    async def test_only_that_line_is_told(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        download: Download,
    ) -> None:
        """Its settings, its phones and their messages; strangers' are left out."""
        await open_phone(RECEPTION)
        await open_phone(WORKSHOP)
        server = LOCALHOST, listener.server.port
        async with await RawPeer.open(server, user="202") as peer:
            peer.send(b"hello")
            for user in ("201", "202"):
                headers = {"To": f"<sip:{user}@h>", "CSeq": "1 SUBSCRIBE"}
                await peer.ask(peer.request("REGISTER", None, headers))
            await peer.ask(peer.request("REGISTER", None, {"To": "<"}))
        diagnostics = await download(entry, device_of(hass, WORKSHOP))

        assert list(diagnostics["lines"]) == ["line-1"]
        assert diagnostics["lines"]["line-1"]["sync_status"] == "synchronized"
        assert len(diagnostics["lines"]["line-1"]["watchers"]) == 1
        # The phone's six, and a bad request that says whose it is.
        assert len(diagnostics["messages"]) == 8
        assert start_lines(diagnostics)[-1] == "SIP/2.0 400 CSeq names another method"
        assert all("user-2" not in str(item) for item in diagnostics["messages"])

    async def test_snapshot(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        download: Download,
        snapshot: SnapshotAssertion,
    ) -> None:
        """Of a line whose phone was never there."""
        diagnostics = await download(entry, device_of(hass, WORKSHOP))
        assert diagnostics["lines"] == snapshot


class TestNotLoaded:
    """A listener that does not run is what people ask about most."""

    async def test_tells_why(
        self, hass: HomeAssistant, entry: MockConfigEntry, download: Download
    ) -> None:
        """The settings, and the reason."""
        entry.add_to_hass(hass)
        in_use = OSError(errno.EADDRINUSE, "Address already in use")
        with patch("custom_components.dfks.listener.probe", side_effect=in_use):
            assert not await hass.config_entries.async_setup(entry.entry_id)
        assert entry_state(entry) is ConfigEntryState.SETUP_RETRY
        diagnostics = await download(entry)

        assert diagnostics["entry"]["state"] == "setup_retry"
        assert diagnostics["entry"]["reason"] == "port_in_use"
        assert diagnostics["listener"] is None
        assert diagnostics["messages"] == []
        assert diagnostics["lines"]["line-2"] == {
            "user": "user-2",
            "password": "**REDACTED**",
            "features": RECEPTION_DATA["features"],
            "notify_style": "multipart",
        }

    async def test_device_of_an_unloaded_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        download: Download,
    ) -> None:
        """The line's settings."""
        device = device_of(hass)
        assert await hass.config_entries.async_unload(entry.entry_id)
        diagnostics = await download(entry, device)

        assert diagnostics["entry"]["state"] == "not_loaded"
        assert diagnostics["lines"]["line-1"]["user"] == "user-1"
        assert "watchers" not in diagnostics["lines"]["line-1"]


async def test_suspended_watcher_and_hidden_feature(
    clock: ManualClock,
    entry: MockConfigEntry,
    listener: DfksListener,
    open_phone: OpenPhone,
    download: Download,
) -> None:
    """What is the matter with a phone that does not follow."""
    phone = await open_phone(transport="tcp")
    await phone.close()
    watcher = listener.server.notifier.of(listener.sync.lines[RECEPTION])[0]
    async with asyncio.timeout(PATIENCE):
        while not watcher.suspended:
            await asyncio.sleep(0)
    found = (await download(entry))["lines"]["line-1"]

    assert found["sync_status"] == "waiting"
    assert found["watchers"][0]["transport"] == "TCP"
    assert found["watchers"][0]["suspended"]
    assert found["watchers"][0]["connection_lost"]


async def test_settings_that_tell_nothing_stay(hass: HomeAssistant, port: int) -> None:
    """What is left empty, and what is as it comes."""
    networks = DEFAULT_ALLOWED_NETWORKS
    line = {**RECEPTION_DATA, "vendor": "yealink"}
    entry = listener_entry(
        port,
        [line_data(RECEPTION, "Reception", line)],
        settings={"host": "0.0.0.0", "advertised_host": None},
        options={"allowed_networks": networks, "digest": "md5", "trusted_proxies": ""},
    )
    entry.add_to_hass(hass)
    diagnostics = await async_get_config_entry_diagnostics(hass, entry)

    assert diagnostics["entry"]["data"] == {
        "host": "0.0.0.0",
        "port": port,
        "realm": "homeassistant",
        "advertised_host": None,
    }
    assert diagnostics["entry"]["options"] == {
        "allowed_networks": "default",
        "digest": "md5",
        "trusted_proxies": "",
    }
    assert diagnostics["lines"]["line-1"]["vendor"] == "yealink"


async def test_many_lines_do_not_hold_the_loop(hass: HomeAssistant, port: int) -> None:
    """Others get their turn in between."""
    lines = [
        line_data(
            f"line{count}", f"Line {count}", {**RECEPTION_DATA, "user": f"{count}"}
        )
        for count in range(SLICE * 3)
    ]
    entry = listener_entry(port, lines)
    entry.add_to_hass(hass)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        hass.loop.call_soon(turn)

    hass.loop.call_soon(turn)
    diagnostics = await async_get_config_entry_diagnostics(hass, entry)
    assert len(diagnostics["lines"]) == SLICE * 3
    assert turns >= 3
