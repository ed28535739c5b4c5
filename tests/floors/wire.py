"""A server without sockets whose lines have feature keys."""

from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import Experiment, SipServer
from tests.clock import ManualClock
from tests.loopback import PASSWORDS, loopback_config
from tests.server import line_config


def build(clock: ManualClock) -> tuple[SipServer, FeatureSync]:
    """Return a server that is not started, with the lines 201 and 202."""
    config = loopback_config(
        experiment=Experiment(authenticate=False, limit_messages=False)
    )
    server = SipServer(config, clock)
    sync = FeatureSync(server)
    server.add_package(sync)
    for user in PASSWORDS:
        sync.add_line(line_config(user))
    return server, sync
