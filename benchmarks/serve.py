#!/usr/bin/env python3
"""The lower two floors without Home Assistant: any user part is a line.

Prints `ready` on a line of its own when it listens on UDP and TCP of 127.0.0.1, and
runs until it is sent SIGTERM or SIGINT.
"""

import argparse
import asyncio
from pathlib import Path
import signal
import sys
from types import ModuleType

# The integration's own package would bring in Home Assistant; its floors do not.
_PACKAGE = ModuleType("dfks")
_PACKAGE.__path__ = [str(Path(__file__).parent.parent / "custom_components" / "dfks")]
sys.modules["dfks"] = _PACKAGE

from dfks.features.model import LineConfig  # noqa: E402
from dfks.features.sync import FeatureSync  # noqa: E402
from dfks.sip.clock import LoopClock  # noqa: E402
from dfks.sip.registrar import Account  # noqa: E402
from dfks.sip.server import ServerConfig, SipServer  # noqa: E402


async def serve(port: int, password: str | None) -> None:
    """Serve until told to stop. Without a password nobody is asked for one."""
    loop = asyncio.get_running_loop()
    config = ServerConfig(
        host="127.0.0.1",
        port=port,
        authenticate=password is not None,
        max_subscriptions_per_line=None,
        max_transactions_per_source=None,
    )
    server = SipServer(config, LoopClock(loop))
    sync = FeatureSync(server)

    def add_line(user: str) -> Account | None:
        if not user:
            return None
        line = LineConfig(id=user, user=user, password=password or "", auth_name=user)
        return sync.add_line(line).account

    server.account_factory = add_line
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    print("ready", flush=True)
    await stop.wait()
    await server.stop()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sip-port", type=int, required=True)
    parser.add_argument("--password", help="the same for all lines; none: no digest")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.sip_port, arguments.password))


if __name__ == "__main__":
    main()
