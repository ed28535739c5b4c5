"""What stands in a SUBSCRIBE to as-feature-event, and what comes of it."""

import pytest

from tests.phone import set_dnd
from tests.sip.caller import Caller

from .caller import lamps

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
