"""A small client for Home Assistant's REST and WebSocket APIs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .settings import PASSWORD, USERNAME, DemoError


class CommandFailed(DemoError):
    """Home Assistant refused a WebSocket command."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code, by which callers tell refusals apart."""
        super().__init__(message)
        self.code = code


class Api:
    """Home Assistant, as the demo's user may use it."""

    def __init__(
        self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        """Wrap a session that is logged in; `log_in` is the way to one."""
        self._session = session
        self._socket = socket
        self._last_id = 0

    async def get(self, path: str) -> Any:
        """Return what a resource holds."""
        return await self._request("GET", path)

    async def post(self, path: str, content: dict[str, Any]) -> Any:
        """Send to a resource and return its answer."""
        return await self._request("POST", path, json=content)

    async def delete(self, path: str) -> None:
        """Remove a resource."""
        await self._request("DELETE", path)

    async def command(self, command: str, **arguments: Any) -> Any:
        """Run a WebSocket command; raises CommandFailed where it is refused."""
        self._last_id += 1
        await self._socket.send_json(
            {"id": self._last_id, "type": command, **arguments}
        )
        answer = await self._socket.receive_json()
        if not answer["success"]:
            raise CommandFailed(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def is_running(self) -> bool:
        """Whether Home Assistant has started."""
        return bool((await self.get("/api/config"))["state"] == "RUNNING")

    async def until_running(self) -> None:
        """Return when Home Assistant has started; the caller limits the time."""
        while not await self.is_running():
            await asyncio.sleep(0.1)

    async def _request(self, method: str, path: str, **arguments: Any) -> Any:
        async with self._session.request(method, path, **arguments) as response:
            if not response.ok:
                text = await response.text()
                raise DemoError(f"{method} {path}: {response.status} {text}")
            if response.content_type != "application/json":
                return await response.text()
            return await response.json()


async def is_up(url: str) -> bool:
    """Tell whether Home Assistant's web server answers."""
    try:
        async with aiohttp.request("GET", f"{url}/manifest.json") as response:
            return response.ok
    except aiohttp.ClientError:
        return False


@asynccontextmanager
async def log_in(url: str) -> AsyncIterator[Api]:
    """Log the demo's user in; the first to do so becomes the owner."""
    async with aiohttp.ClientSession(url) as session:
        token = await _fetch_token(session, f"{url}/")
        session.headers["Authorization"] = f"Bearer {token}"
        async with session.ws_connect("/api/websocket", max_msg_size=0) as socket:
            await socket.receive_json()  # auth_required
            await socket.send_json({"type": "auth", "access_token": token})
            await socket.receive_json()  # auth_ok
            yield Api(session, socket)


async def _fetch_token(session: aiohttp.ClientSession, client: str) -> str:
    """Go through the login form and return an access token."""
    async with session.post(
        "/auth/login_flow",
        json={
            "client_id": client,
            "handler": ["homeassistant", None],
            "redirect_uri": client,
        },
    ) as response:
        flow = await response.json()
    async with session.post(
        f"/auth/login_flow/{flow['flow_id']}",
        json={"client_id": client, "username": USERNAME, "password": PASSWORD},
    ) as response:
        step = await response.json()
    if step["type"] != "create_entry":
        raise DemoError(
            f"{USERNAME} can no longer log in with the password {PASSWORD}; "
            "--fresh starts over"
        )
    async with session.post(
        "/auth/token",
        data={
            "client_id": client,
            "grant_type": "authorization_code",
            "code": step["result"],
        },
    ) as response:
        token: str = (await response.json())["access_token"]
        return token
