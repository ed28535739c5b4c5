"""What stands in a SUBSCRIBE to as-feature-event, and what comes of it."""

import pytest

from custom_components.dfks.features.model import Feature, FeatureState, Line
from custom_components.dfks.features.sync import FeatureSync
from tests.phone import ALWAYS, BUSY, DND, Lamp, set_dnd, set_forwarding
from tests.sip.caller import Caller, state_of

from .caller import lamps
from .conftest import configure

requirement = pytest.mark.requirement

TYPE = "application/x-as-feature-event+xml"


@requirement("A23")
@pytest.mark.parametrize("size", [8_000, 60_000])
async def test_a23_a_large_body_is_read(caller: Caller, size: int) -> None:
    """What is wrong with it is said; the datagram may have 64 KiB."""
    body = b"<SetDoNotDisturb>" + b" " * size + b"</SetDoNotDisturb>"

    response = await caller.call("SUBSCRIBE", body=body)

    assert response.status == 400
    assert "doNotDisturbOn" in response.get("Warning")


@requirement("B7")
@pytest.mark.parametrize(
    "content_type",
    [
        TYPE,
        f"{TYPE};charset=utf-8",
        "APPLICATION/X-AS-FEATURE-EVENT+XML",
        "text/xml",
        "application/xml ; charset=ISO-8859-1",
        "application/pidf+xml",
        None,
        "",
    ],
)
async def test_b7_xml_of_any_name_is_the_packages(
    caller: Caller, content_type: str | None
) -> None:
    """And so is a body without a name."""
    headers = {"Content-Type": content_type}

    response = await caller.call("SUBSCRIBE", headers, set_dnd(True))

    assert response.status == 200
    assert list(lamps(await caller.next_request())) == ["DoNotDisturb"]


@requirement("B7")
@pytest.mark.parametrize(
    "content_type", ["text/plain", "xml", "application/xml+zip", "*/*"]
)
async def test_b7_other_bodies_are_415(caller: Caller, content_type: str) -> None:
    """Accept says what would be taken."""
    response = await caller.call("SUBSCRIBE", {"Content-Type": content_type}, b"hello")

    assert response.status == 415
    assert response.get("Accept") == TYPE


@requirement("B7")
@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}]
)
@pytest.mark.parametrize(
    "disposition", ["render;handling=optional", "x; Handling = OPTIONAL"]
)
async def test_b7_an_optional_body_is_ignored(
    caller: Caller, headers: dict[str, str], disposition: str
) -> None:
    """The SUBSCRIBE counts as one without a body: it gets the full state."""
    response = await caller.call(
        "SUBSCRIBE", headers | {"Content-Disposition": disposition}, b"hello"
    )

    assert response.status == 200
    assert len(lamps(await caller.next_request())) == 4


@requirement("F29")
async def test_f29_a_forwarding_with_nowhere_to_go(
    caller: Caller, reception: Line
) -> None:
    """Taken and told as off; with a target it goes on, and then needs none any more."""
    subscribed = await caller.subscribe()
    for target, lamp in (
        ("", Lamp(on=False)),
        ("2424", Lamp(on=True, target="2424")),
        ("", Lamp(on=True, target="2424")),
    ):
        response = await subscribed.send(body=set_forwarding("busy", True, target))
        assert response.status == 200
        assert lamps(await subscribed.told()) == {BUSY: lamp}

    assert reception.state(Feature.CALL_FORWARDING_BUSY) == FeatureState(True, "2424")


BAD_BODIES = {
    "no XML": b"nonsense",
    "cut off": set_dnd(True)[:-10],
    "DTD": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + set_dnd(True),
    "external entity": b'<?xml version="1.0"?><!DOCTYPE SetDoNotDisturb [<!ENTITY e '
    b'SYSTEM "file:///etc/passwd">]><SetDoNotDisturb><doNotDisturbOn>&e;'
    b"</doNotDisturbOn></SetDoNotDisturb>",
    "entity bomb": b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "'
    + b"a" * 1000
    + b'"><!ENTITY b "'
    + b"&a;" * 1000
    + b'">]><b>&b;</b>',
    "unknown entity": b"<SetDoNotDisturb><doNotDisturbOn>&x;</doNotDisturbOn>"
    b"</SetDoNotDisturb>",
    "no status": b"<SetDoNotDisturb><device/></SetDoNotDisturb>",
    "strange status": b"<SetDoNotDisturb><doNotDisturbOn>maybe</doNotDisturbOn>"
    b"</SetDoNotDisturb>",
    "empty status": b"<SetDoNotDisturb><doNotDisturbOn/></SetDoNotDisturb>",
    "no type": b"<SetForwarding><activateForward>true</activateForward></SetForwarding>",
    "no activation": b"<SetForwarding><forwardingType>forwardBusy</forwardingType>"
    b"</SetForwarding>",
    "strange target": set_forwarding("busy", True, "1\x0b2"),
    "target that nobody can call": set_forwarding("busy", True, "hello world"),
}


@requirement("F26")
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_f26_a_bad_body_in_a_dialog(caller: Caller, body: bytes) -> None:
    """400 says why, nothing changes, the lamp is set right, the dialog goes on."""
    subscribed = await caller.subscribe()

    response = await subscribed.send(body=body)
    notify = await subscribed.told()
    after = await subscribed.send(body=set_dnd(True))
    changed = await subscribed.told()

    assert response.status == 400
    assert response.get("Warning").startswith('399 dfks "')
    assert len(lamps(notify)) == 4
    assert state_of(notify) == "active;expires=3600"
    assert after.status == 200
    assert lamps(changed) == {DND: Lamp(on=True)}


@requirement("F26")
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_f26_a_bad_body_in_an_initial_subscribe(
    caller: Caller, reception: Line, body: bytes
) -> None:
    """400, and no subscription."""
    response = await caller.call("SUBSCRIBE", body=body)

    assert response.status == 400
    assert response.has("Warning")
    assert (reception.watchers, reception.states()) == (0, {})
    await caller.nothing()


@requirement("F26")
@pytest.mark.parametrize(
    "body",
    [
        b"<SetAgentState><device/></SetAgentState>",
        set_forwarding("forwardSometimes", True, "2424"),
        set_forwarding("busy", True, "2424"),
    ],
    ids=["other command", "other type", "not assigned"],
)
async def test_f26_a_command_for_what_is_not_there(
    caller: Caller, sync: FeatureSync, reception: Line, body: bytes
) -> None:
    """200 and the full state: nothing has changed."""
    configure(sync, assigned=(Feature.DO_NOT_DISTURB, Feature.CALL_FORWARDING_ALWAYS))
    subscribed = await caller.subscribe()

    response = await subscribed.send(body=body)
    notify = await subscribed.told()

    assert response.status == 200
    assert list(lamps(notify)) == [DND, ALWAYS]
    assert reception.states() == {}
