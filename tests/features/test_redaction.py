"""What of a body strangers may read: the key that was pressed, not the number dialled."""

import pytest

from custom_components.dfks.features.documents import CONTENT_TYPE, MULTIPART, multipart
from custom_components.dfks.features.model import Feature, FeatureState
from custom_components.dfks.features.redaction import MAX_LINES, MAX_PARTS, redact_body
from custom_components.dfks.sip.inspect.redaction import Aliases
from tests.data.bodies import DOCTYPES, LATIN_1, MALFORMED, forwarding, with_namespace
from tests.phone import set_dnd

SECRET = "4930170020"
TARGET = f"<forwardDN>{SECRET}</forwardDN>"
IN_ENTITIES = (
    f"<forwardDN>{''.join(f'&#{ord(digit)};' for digit in SECRET)}</forwardDN>"
)


def redact(body: str | bytes, content_type: str = CONTENT_TYPE) -> list[str]:
    """Return the lines of a body as strangers may read them."""
    data = body.encode() if isinstance(body, str) else body
    return redact_body(content_type, data, Aliases())


@pytest.mark.parametrize(
    "document",
    [
        forwarding(target=TARGET),
        forwarding(target=IN_ENTITIES),
        forwarding(target=f"<forwardDN><![CDATA[{SECRET}]]></forwardDN>"),
        forwarding(target=f"<!-- {SECRET} -->{TARGET}<?x {SECRET}?>"),
        with_namespace(forwarding(target=TARGET)),
        with_namespace(forwarding(target=TARGET), SECRET),
        f"{LATIN_1}{forwarding(target=TARGET)}",
        (
            '<c:SetForwarding xmlns:c="urn:x"><c:device>201</c:device>'
            "<c:forwardingType>forwardNoAns</c:forwardingType>"
            "<c:activateForward>true</c:activateForward>"
            f'<c:forwardDN a="{SECRET}">{SECRET}</c:forwardDN>'
            "<c:ringCount>4</c:ringCount></c:SetForwarding>"
        ),
    ],
)
def test_key_press_stays_and_number_goes(document: str) -> None:
    """However the phone writes it."""
    assert redact(document) == [
        "<SetForwarding>",
        "  <device>user-1</device>",
        "  <forwardingType>forwardNoAns</forwardingType>",
        "  <activateForward>true</activateForward>",
        "  <forwardDN>number-1</forwardDN>",
        "  <ringCount>4</ringCount>",
        "</SetForwarding>",
    ]


def test_do_not_disturb_stays() -> None:
    """There is nothing to hide."""
    assert redact(set_dnd(True)) == [
        "<SetDoNotDisturb>",
        "  <device></device>",
        "  <doNotDisturbOn>true</doNotDisturbOn>",
        "</SetDoNotDisturb>",
    ]


def test_parts_of_a_full_state_are_written_each() -> None:
    """With the alias of the number in each."""
    state = FeatureState(status=True, forward_to=SECRET)
    features = (Feature.DO_NOT_DISTURB, Feature.CALL_FORWARDING_BUSY)
    body = multipart([(feature, state) for feature in features], "201")
    lines = redact(body, MULTIPART)
    assert [line for line in lines if not line.startswith("Content-Length")] == [
        "(next part)",
        "Content-Type: application/x-as-feature-event+xml",
        "Content-ID: **REDACTED**",
        "<DoNotDisturbEvent>",
        "  <device>user-1</device>",
        "  <doNotDisturbOn>true</doNotDisturbOn>",
        "</DoNotDisturbEvent>",
        "(next part)",
        "Content-Type: application/x-as-feature-event+xml",
        "Content-ID: **REDACTED**",
        "<ForwardingEvent>",
        "  <device>user-1</device>",
        "  <forwardingType>forwardBusy</forwardingType>",
        "  <forwardStatus>true</forwardStatus>",
        "  <forwardTo>number-1</forwardTo>",
        "</ForwardingEvent>",
    ]


@pytest.mark.parametrize("body", [*MALFORMED.values(), *DOCTYPES.values()])
def test_unreadable_document_is_told_by_its_length(body: str | bytes) -> None:
    """And nothing of it is shown."""
    if isinstance(body, str):
        body = f"{body}<SetDoNotDisturb/>".encode()
    assert redact(body) == [f"({len(body)} octets of {CONTENT_TYPE})"]


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("text/plain", "text/plain"),
        (f"text/{SECRET}", "**REDACTED**"),
        (f"{SECRET};{SECRET}={SECRET}", "**REDACTED**"),
        (f'"{SECRET}', "**REDACTED**"),
        (f'"{SECRET},', "**REDACTED**"),
        ("", "no type"),
        ("multipart/mixed", "multipart/mixed"),
        ('multipart/mixed;boundary="', "multipart/mixed"),
        ("multipart/mixed;boundary=x", "multipart/mixed"),
    ],
)
def test_other_bodies_are_told_by_length_and_type(
    content_type: str, shown: str
) -> None:
    """A text, a type that is nobody's, parts that cannot be told."""
    body = f"number {SECRET}"
    assert redact(body, content_type) == [f"({len(body)} octets of {shown})"]


@pytest.mark.parametrize(
    "part",
    [
        f"\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n{forwarding(target=TARGET)}\r\n",
        f"\nContent-Type: {CONTENT_TYPE}\n\n{forwarding(target=IN_ENTITIES)}\n",
        f"\r\nContent-Type: {CONTENT_TYPE}\r\n{forwarding(target=TARGET)}",
        f"\r\n\r\n{forwarding(target=TARGET)}",
        f"\r\n{SECRET}: {SECRET}\r\n{SECRET}\r\n\r\n{SECRET}",
        f"\r\nContent-ID: <{SECRET}>\r\nContent-Type: text/{SECRET}\r\n\r\n{SECRET}",
        SECRET,
    ],
)
def test_no_part_gives_the_number_away(part: str) -> None:
    """Nor what stands before and behind the parts."""
    body = f"{SECRET}--x{part}\r\n--x--{SECRET}"
    lines = redact(body, 'multipart/mixed; boundary="x"')
    assert lines[0] == "(next part)"
    assert SECRET not in "\n".join(lines)


@pytest.mark.parametrize(
    "document",
    [
        f"<x{SECRET}/>",
        f"<{'A' + SECRET}>{SECRET}</{'A' + SECRET}>",
        f"<SetForwarding>{SECRET}<x>{SECRET}</x>{SECRET}</SetForwarding>",
        f"<SetDoNotDisturb><doNotDisturbOn>{SECRET}</doNotDisturbOn></SetDoNotDisturb>",
        f"<SetForwarding><ringCount>{SECRET}</ringCount></SetForwarding>",
        f"<SetForwarding><forwardingType>{SECRET}</forwardingType></SetForwarding>",
        f"<SetForwarding><forwardTo>1<b>{SECRET}</b></forwardTo></SetForwarding>",
    ],
)
def test_no_element_gives_the_number_away(document: str) -> None:
    """Whatever its name, and wherever the number stands in it."""
    lines = redact(document)
    assert lines[0].startswith("<")
    assert SECRET not in "\n".join(lines)


def test_large_bodies_are_cut() -> None:
    """A phone could fill the file."""
    document = f"<SetForwarding>{'<device/>' * 1000}</SetForwarding>"
    assert len(redact(document)) == MAX_LINES + 1
    parts = "--x\r\n\r\n\r\n" * 1000
    assert redact(parts, "multipart/mixed;boundary=x").count("(next part)") == MAX_PARTS
