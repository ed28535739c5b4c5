"""A phone with feature keys, a PBX and the server between them."""

from collections.abc import AsyncIterator

import pytest

from custom_components.dfks.features.model import LineConfig
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.floors.caller import FeatureCaller
from tests.sip.proxy.conftest import (
    built_server,
    open_phone,
    pbx_config,
    pbx_peer,
    phone,
    registered,
)
from tests.sip.proxy.peers import Pbx, ProxiedPhone

__all__ = [
    "built_server",
    "open_phone",
    "pbx_config",
    "pbx_peer",
    "phone",
    "registered",
]


class KeyPhone(ProxiedPhone):
    """A phone of a line at the PBX that subscribes to as-feature-event."""

    package = FeatureCaller.package
    media_type = FeatureCaller.media_type


@pytest.fixture
def phone_type() -> type[KeyPhone]:
    """Return the kind of the phones."""
    return KeyPhone


@pytest.fixture
def sync(built_server: SipServer) -> FeatureSync:
    """Return the event package with the line 201 at the PBX."""
    sync = FeatureSync(built_server)
    built_server.add_package(sync)
    sync.add_line(LineConfig(id="201@pbx-1", user="201", pbx="pbx-1"))
    return sync


@pytest.fixture
async def server(
    built_server: SipServer, sync: FeatureSync, pbx_peer: Pbx
) -> AsyncIterator[SipServer]:
    """Run the server with the lines of `sync`."""
    await built_server.start()
    pbx_peer.towards(built_server.port)
    yield built_server
    await sync.stop()
    await built_server.stop()
