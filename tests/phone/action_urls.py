"""Desk phones that call a URL when something happens to a call.

    phone = ReportingPhone(YEALINK, settings)
    await phone.rings("202", "Anna")
    await phone.picks_up()
    await phone.hangs_up()

`settings` is what stands in the phone's configuration file, a name and a URL a line. The
vendors differ in how they call the settings, in what they put in for a variable, and in
what becomes of a variable that has no value. The URL goes onto the wire as the phone
makes it, so whoever takes it sees what a phone would send.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
import uuid

from .link import PATIENCE


@dataclass(frozen=True, kw_only=True)
class Make:
    """How the phones of a vendor report."""

    settings: Mapping[str, str]
    """The name of the setting of each event."""
    call_id: str
    """The variable of a call's id."""
    remote: str = "sip:{number}@{host}"
    """What stands for the other side."""
    leaves_unknown: bool = False
    """Whether a variable without a value stays as it was typed; else it is empty."""
    version: str = "1.1"
    """Of HTTP."""


YEALINK = Make(
    settings={
        "boot": "action_url.setup_completed",
        "incoming": "action_url.incoming_call",
        "outgoing": "action_url.outgoing_call",
        "established": "action_url.call_established",
        "terminated": "action_url.call_terminated",
        "missed": "action_url.missed_call",
        "rejected": "action_url.reject_incoming_call",
        "forwarded": "action_url.forward_incoming_call",
        "hold": "action_url.hold",
        "unhold": "action_url.unhold",
        "idle": "action_url.busy_to_idle",
    },
    call_id="$call_id",
)

GRANDSTREAM = Make(
    settings={
        "boot": "P8304",
        "incoming": "P8310",
        "outgoing": "P8311",
        "missed": "P8312",
        "established": "P8313",
        "terminated": "P8314",
        "hold": "P8324",
        "unhold": "P8325",
    },
    call_id="$call-id",
    remote="{number}",
    leaves_unknown=True,
    version="1.0",
)

SNOM = Make(
    settings={
        "boot": "action_setup_url",
        "incoming": "action_incoming_url",
        "outgoing": "action_outgoing_url",
        "established": "action_connected_url",
        "terminated": "action_disconnected_url",
        "missed": "action_missed_url",
        "hold": "action_hold",
        "unhold": "action_unhold",
    },
    call_id="$call-id",
    remote="{number}@{host}",
)

MAKES = {"yealink": YEALINK, "grandstream": GRANDSTREAM, "snom": SNOM}


class ReportingPhone:
    """A phone with one call at a time, and with URLs to call."""

    def __init__(self, make: Make, settings: str, *, host: str = "pbx.example") -> None:
        """Read the configuration; `host` is that of the other side's address."""
        self._make = make
        self._host = host
        self._urls: dict[str, str] = {}
        for line in settings.splitlines():
            name, equals, url = line.partition("=")
            if equals:
                self._urls[name.strip()] = url.strip()
        self._call = ""
        self._number = ""
        self._ringing = False
        self.answers: list[int] = []
        """The status of each answer."""

    @property
    def has_urls(self) -> bool:
        """Whether it is configured at all."""
        return any(name in self._urls for name in self._make.settings.values())

    async def boots(self) -> None:
        """Start anew: there is no call any more."""
        self._call = self._number = ""
        await self._report("boot")

    async def rings(self, number: str) -> None:
        """Be called."""
        self._begin(number, ringing=True)
        await self._report("incoming")

    async def dials(self, number: str) -> None:
        """Call somebody."""
        self._begin(number, ringing=False)
        await self._report("outgoing")

    async def picks_up(self) -> None:
        """Take the call; or the other side does."""
        self._ringing = False
        await self._report("established")

    async def holds(self) -> None:
        """Put the call on hold."""
        await self._report("hold")

    async def goes_on(self) -> None:
        """Take it back."""
        await self._report("unhold")

    async def hangs_up(self) -> None:
        """End the call; or the other side does, before it was taken too."""
        if self._ringing:
            await self._report("missed")
        await self._report("terminated")
        self._call = self._number = ""
        await self._report("idle")

    async def rejects(self) -> None:
        """Press the key that rejects a call."""
        await self._report("rejected")
        await self._report("terminated")

    async def forwards(self) -> None:
        """Send the call elsewhere."""
        await self._report("forwarded")
        await self._report("terminated")

    def _begin(self, number: str, *, ringing: bool) -> None:
        self._call = uuid.uuid4().hex
        self._number = number
        self._ringing = ringing

    async def _report(self, event: str) -> None:
        url = self._urls.get(self._make.settings.get(event, ""))
        if not url:
            return
        number = self._number
        remote = self._make.remote.format(number=number, host=self._host)
        values = {self._make.call_id: self._call, "$remote": remote if number else ""}
        for variable, value in values.items():
            if value or not self._make.leaves_unknown:
                url = url.replace(variable, value)
        self.answers.append(await get(url, version=self._make.version))


async def get(url: str, *, version: str = "1.1", body: bytes = b"") -> int:
    """Call a URL as it stands, with a body as POST; return the status of the answer."""
    parts = urlsplit(url)
    assert parts.scheme == "http"
    assert parts.hostname is not None
    target = url.partition(parts.netloc)[2]
    method = "POST" if body else "GET"
    head = (
        f"{method} {target} HTTP/{version}\r\nHost: {parts.netloc}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(head.encode("latin-1") + body)
            status = (await reader.readline()).split(b" ")[1]
        finally:
            writer.close()
    return int(status)
