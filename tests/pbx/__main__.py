"""`python -m tests.pbx --port 5070 201:one 202:two`: runs the PBX until it is stopped."""

import argparse
import asyncio
import signal
import sys

from . import SimulatedPbx


async def _run(port: int, users: dict[str, str]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with SimulatedPbx(users, port=port, report=_say) as pbx:
        host, port = pbx.address
        _say(f"listens on {host}:{port}")
        await stopped.wait()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _user(text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError(f"{text} is not USER:PASSWORD")
    return user, password


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="pbx", description="A small PBX on UDP.")
    parser.add_argument("--port", type=int, default=5070)
    parser.add_argument("users", nargs="+", type=_user, metavar="USER:PASSWORD")
    options = parser.parse_args()
    asyncio.run(_run(options.port, dict(options.users)))


if __name__ == "__main__":
    main()
