"""The simulated PBX itself, and calls between phones that are registered there."""

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import subprocess
import sys

import pytest

from .pbx import SimulatedPbx
from .phone import Bell, CallState, Phone

pytestmark = pytest.mark.usefixtures("socket_enabled")

ROOT = Path(__file__).parents[1]
SOURCES = sorted((Path(__file__).parent / "pbx").glob("*.py"))


@pytest.fixture
async def pbx() -> AsyncIterator[SimulatedPbx]:
    """Run a PBX with two users."""
    async with SimulatedPbx({"201": "one", "202": "two"}) as pbx:
        yield pbx


async def bell(pbx: SimulatedPbx, user: str, password: str) -> Bell:
    """Return the bell of a phone that is registered."""
    phone = Phone(user, password, pbx.address, domain=pbx.domain)
    await phone.start()
    bell = Bell(phone)
    bell.connect()
    assert (await phone.register()).ok
    return bell


@pytest.fixture
async def caller(pbx: SimulatedPbx) -> AsyncIterator[Bell]:
    """Give the phone of 201."""
    caller = await bell(pbx, "201", "one")
    yield caller
    await caller.phone.close()


@pytest.fixture
async def called(pbx: SimulatedPbx) -> AsyncIterator[Bell]:
    """Give the phone of 202."""
    called = await bell(pbx, "202", "two")
    yield called
    await called.phone.close()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_needs_nothing_but_the_simulated_phone(path: Path) -> None:
    """It says nothing of the product that it is used against."""
    tree = ast.parse(path.read_text())
    modules = {
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    others = {name for name in modules if not name.startswith("tests.phone")}
    assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names


async def test_asks_for_the_password(pbx: SimulatedPbx) -> None:
    """Of the user that the phone says it is."""
    async with Phone("201", "wrong", pbx.address, domain=pbx.domain) as phone:
        assert (await phone.register()).status == 401
    async with Phone("201", "two", pbx.address, auth_name="202") as phone:
        assert (await phone.register()).status == 401
    assert not pbx.contacts.get("201")


async def test_forgets_a_contact_that_is_taken_back(
    pbx: SimulatedPbx, caller: Bell
) -> None:
    """The phone is not called any more."""
    assert len(pbx.contacts["201"]) == 1
    await caller.phone.unregister()
    assert not pbx.contacts["201"]


async def test_call_that_the_caller_ends(
    pbx: SimulatedPbx, caller: Bell, called: Bell
) -> None:
    """Both sides hear of it, and nobody breaks a rule."""
    outgoing = await caller.dial("202")
    incoming = await called.incoming_call()
    called.pick_up(incoming)
    await caller.until(outgoing, CallState.ESTABLISHED)
    await called.until(incoming, CallState.ESTABLISHED)
    assert (await caller.hang_up(outgoing)).ok
    await called.until(incoming, CallState.ENDED)

    assert not pbx.calls
    assert caller.phone.violations == called.phone.violations == []


@pytest.mark.parametrize(("number", "status"), [("299", 404), ("202", 480)])
async def test_call_that_nobody_can_take(
    pbx: SimulatedPbx, caller: Bell, number: str, status: int
) -> None:
    """No such number, or no phone there."""
    call = await caller.dial(number)
    await caller.until(call, CallState.REFUSED)

    assert call.response is not None
    assert call.response.status == status


@pytest.mark.parametrize("follows", [True, False])
async def test_call_that_is_forwarded(
    pbx: SimulatedPbx, caller: Bell, called: Bell, follows: bool
) -> None:
    """The target rings with the Diversion; or the caller is told of the 302."""
    pbx.users["203"] = "three"
    pbx.follows = follows
    target = await bell(pbx, "203", "three")
    call = await caller.dial("202")
    incoming = await called.incoming_call()
    called.refuse(
        incoming, 302, contact="<sip:203@x>", diversion="<sip:202@x>;reason=deflection"
    )
    if follows:
        forwarded = await target.incoming_call()
        assert forwarded.invite.get("Diversion") == "<sip:202@x>;reason=deflection"
        target.pick_up(forwarded)
        await caller.until(call, CallState.ESTABLISHED)
    else:
        await caller.until(call, CallState.REFUSED)
        assert not target.calls
    await target.phone.close()


async def test_event_package_is_not_known(caller: Bell) -> None:
    """489: the keys are somebody else's."""
    assert (await caller.phone.subscribe()).status == 489


async def run_phone(pbx: SimulatedPbx, *words: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/phone while the PBX goes on."""
    host, port = pbx.address
    command = [
        sys.executable,
        str(ROOT / "scripts" / "phone"),
        "201",
        "--password=one",
        f"--server={host}:{port}",
        f"--registrar={pbx.domain}",
        *words,
    ]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30
    )


async def test_script_calls_and_hangs_up(pbx: SimulatedPbx, called: Bell) -> None:
    """After the time that it was told."""
    script = asyncio.create_task(run_phone(pbx, "call", "202", "--seconds=0.1"))
    incoming = await called.incoming_call()
    called.pick_up(incoming)
    await called.until(incoming, CallState.ENDED)
    done = await script

    assert done.returncode == 0
    assert done.stdout.splitlines() == ["calling 202", "202 has picked up", "hung up"]


async def test_script_says_that_a_call_is_not_taken(pbx: SimulatedPbx) -> None:
    """With the answer."""
    done = await run_phone(pbx, "call", "299")

    assert done.returncode == 1
    assert "299 does not take the call: SIP/2.0 404" in done.stderr


async def test_script_needs_a_number_to_call(pbx: SimulatedPbx) -> None:
    """Else it is used wrongly."""
    done = await run_phone(pbx, "call")

    assert done.returncode == 2
    assert "use call NUMBER" in done.stderr
