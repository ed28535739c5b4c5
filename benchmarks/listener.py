"""A browser's ear: a WebSocket client of Home Assistant that notes what it is told.

Reads the URL and an access token from the command line, prints `ready` when it
listens to state changes, and answers each line on standard input with the entity ids
and the times (monotonic seconds) of the changes since the last.
"""

import asyncio
import json
import sys
import time

import aiohttp

type Note = tuple[str, float]


async def listen(url: str, token: str) -> None:
    """Note state changes until the process is ended."""
    notes: list[Note] = []
    async with (
        aiohttp.ClientSession(url) as session,
        session.ws_connect("/api/websocket", max_msg_size=0) as web_socket,
    ):
        await web_socket.receive_json()
        await web_socket.send_json({"type": "auth", "access_token": token})
        await web_socket.receive_json()
        await web_socket.send_json(
            {"id": 1, "type": "subscribe_events", "event_type": "state_changed"}
        )
        await web_socket.receive_json()
        asyncio.get_running_loop().add_reader(sys.stdin, _report, notes)
        print("ready", flush=True)
        while True:
            message = await web_socket.receive_json()
            now = time.monotonic()
            # Home Assistant may send several messages in one.
            notes += [
                (item["event"]["data"]["entity_id"], now)
                for item in (message if isinstance(message, list) else [message])
            ]


def _report(notes: list[Note]) -> None:
    if sys.stdin.readline():
        print(json.dumps(notes), flush=True)
        notes.clear()


if __name__ == "__main__":
    asyncio.run(listen(*sys.argv[1:]))
