"""The addresses that phones call to report their calls: a webhook for each line.

Home Assistant's own check of where a webhook is called from knows neither the networks
of VPNs nor public IPv6 addresses, so the listener's allowed networks decide here, as
they do for SIP.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
import logging
import secrets
from typing import NamedTuple

from aiohttp.web import Request, Response
from homeassistant.components import webhook
from homeassistant.core import HomeAssistant, callback

from ..const import DOMAIN
from ..features.reported_calls import MAX_REPORT, Report, read_document, read_query
from ..features.seen import SeenCalls
from ..sip import Allowance, Clock, Network

_LOGGER = logging.getLogger(__name__)

# Octets of a webhook's id, which nobody can guess. Home Assistant's own are longer, but
# some phones take addresses of 128 characters at most.
ID_SIZE = 16

# Reports to a webhook: a line with twenty phones that all ring for a call, and then one
# a second. More would only fill the history.
REPORT_BURST = 120
REPORT_RATE = 1.0

# Seconds until it is logged again that there are more.
TOLD_TIME = 3600.0

# Seconds in which a phone has to send the whole of its report.
PATIENCE = 10.0


def new_webhook_id() -> str:
    """Return an id for the webhook of a line."""
    return secrets.token_hex(ID_SIZE)


class Hook(NamedTuple):
    """Where the reports to a webhook go, and what Home Assistant's page calls it."""

    calls: SeenCalls
    name: str


class _Limit:
    """How many reports a webhook takes."""

    def __init__(self, clock: Clock) -> None:
        """Start with the whole burst."""
        self._clock = clock
        self._allowance = Allowance(REPORT_RATE, REPORT_BURST)
        self._told_at = -TOLD_TIME

    def takes(self, name: str) -> bool:
        """Whether one more is taken; where it is not, it is logged now and then."""
        now = self._clock.monotonic()
        if not self._allowance.take(now, 0):
            return True
        if now - self._told_at >= TOLD_TIME:
            self._told_at = now
            _LOGGER.warning("Too many reports of the calls of %s; some are lost", name)
        return False


class ActionUrls:
    """Takes what phones report of the calls of their lines."""

    def __init__(
        self, hass: HomeAssistant, allowed: tuple[Network, ...], clock: Clock
    ) -> None:
        """Take reports from the networks `allowed`; from all, where there are none."""
        self._hass = hass
        self._allowed = allowed
        self._clock = clock
        self._hooks: dict[str, Hook] = {}
        self._limits: dict[str, _Limit] = {}

    @callback
    def async_update(self, hooks: Mapping[str, Hook]) -> None:
        """Take reports to these webhooks from now on, by id, and to no others."""
        for webhook_id in self._hooks.keys() - hooks.keys():
            webhook.async_unregister(self._hass, webhook_id)
            del self._limits[webhook_id]
        for webhook_id in hooks.keys() - self._hooks.keys():
            self._limits[webhook_id] = _Limit(self._clock)
            webhook.async_register(
                self._hass,
                DOMAIN,
                hooks[webhook_id].name,
                webhook_id,
                self._async_handle,
                local_only=False,
                allowed_methods=("GET", "POST"),
            )
        self._hooks = dict(hooks)

    async def _async_handle(
        self, _hass: HomeAssistant, webhook_id: str, request: Request
    ) -> Response | None:
        """Take a report; the phone is told whether it has arrived, and nothing else."""
        source = request.remote
        if source is None or not self._lets_in(source):
            _LOGGER.debug("A report from %s is not taken: network", source)
            return None
        hook, limit = self._hooks.get(webhook_id), self._limits.get(webhook_id)
        if hook is not None and limit is not None and not limit.takes(hook.name):
            return Response(status=HTTPStatus.TOO_MANY_REQUESTS)
        report = await self._async_read(request)
        # It may be another one by now.
        hook = self._hooks.get(webhook_id)
        if report is None:
            _LOGGER.debug("A report from %s is not understood", source)
        elif hook is not None:
            report.tell(hook.calls, source)
        return None

    def _lets_in(self, source: str) -> bool:
        if not self._allowed:
            return True
        try:
            address = ip_address(source)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._allowed)

    @staticmethod
    async def _async_read(request: Request) -> Report | None:
        """Return the report in a request: in its address, else in its body."""
        # The web server takes no longer address than a few thousand characters.
        report = read_query(request.rel_url.raw_query_string)
        if report is not None:
            return report
        body = b""
        try:
            async with asyncio.timeout(PATIENCE):
                async for chunk in request.content.iter_chunked(MAX_REPORT):
                    body += chunk
                    if len(body) > MAX_REPORT:
                        return None
        except TimeoutError:
            return None
        if body.lstrip().startswith(b"<"):
            return read_document(body)
        return read_query(body.decode("utf-8", "replace"))
