"""What servers say of features is understood, however they write it."""

import json
from pathlib import Path

import pytest

from custom_components.dfks.features.documents import CONTENT_TYPE
from custom_components.dfks.features.event_documents import Report, read_reports
from custom_components.dfks.features.model import Feature
from tests.phone import Request
from tests.phone.checks import parse_documents

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
NO_ANSWER = Feature.CALL_FORWARDING_NO_ANSWER

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "opensips_notifies.jsonl")
    .read_text()
    .splitlines()
]

NAMESPACE = 'xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"'


def forwarding(status: str, *values: str, kind: str = "forwardImmediate") -> bytes:
    """Write a ForwardingEvent."""
    return (
        f"<ForwardingEvent {NAMESPACE}><device>501</device>"
        f"<forwardingType>{kind}</forwardingType>"
        f"<forwardStatus>{status}</forwardStatus>{''.join(values)}</ForwardingEvent>"
    ).encode()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda item: item["name"])
def test_each_notify_of_opensips_is_understood(recorded: dict[str, str]) -> None:
    """As an independent reader has it: features, states, targets and rings."""
    body = recorded["body"].encode("latin-1")
    notify = Request(
        method="NOTIFY",
        uri="",
        headers=[("Content-Type", recorded["content_type"])],
        body=body,
    )
    documents, _ = parse_documents(notify)

    reports = read_reports(recorded["content_type"], body)

    assert reports
    assert [
        (report.feature.value, report.status, report.forward_to or "")
        for report in reports
    ] == [
        (doc.feature, doc.lamp.on, doc.lamp.target)
        for doc in documents
        if doc.feature and doc.lamp
    ]


@pytest.mark.parametrize(
    "document",
    [
        b"<DoNotDisturbEvent><doNotDisturbOn>true</doNotDisturbOn></DoNotDisturbEvent>",
        (
            b"\r\n <?xml version='1.0'?><x:DoNotDisturbEvent xmlns:x='urn:any'>"
            b"<x:doNotDisturbOn> TRUE </x:doNotDisturbOn><x:device/></x:DoNotDisturbEvent>"
        ),
        (
            b'<DoNotDisturbEvent xmlns="http://www.ecmainternational.org/x">'
            b"<device><notKnown/></device><doNotDisturbOn>1</doNotDisturbOn>"
            b"<extra>1</extra></DoNotDisturbEvent>"
        ),
        (
            b'<?xml version="1.0" encoding="UTF-8"?>\n<DoNotDisturbEvent><device>\xc3\xa9'
            b"</device><doNotDisturbOn>true</doNotDisturbOn></DoNotDisturbEvent>"
        ),
    ],
    ids=["bare", "prefix", "namespace", "utf-8"],
)
def test_namespace_order_and_device_do_not_matter(document: bytes) -> None:
    """Local names count, and nothing else."""
    assert read_reports(CONTENT_TYPE, document) == [Report(DND, True)]


@pytest.mark.parametrize(
    ("status", "value", "target"),
    [
        ("true", "<forwardTo>24</forwardTo>", "24"),
        ("true", "<forwardTo> 24 </forwardTo>", "24"),
        ("true", "", None),
        ("true", "<forwardTo/>", None),
        ("false", "<forwardTo></forwardTo>", None),
        ("false", "<forwardTo> </forwardTo>", None),
        ("false", "<forwardTo>0</forwardTo>", None),
        ("true", "<forwardTo>0</forwardTo>", "0"),
        ("false", "<forwardTo>24</forwardTo>", "24"),
        ("true", "<forwardTo>a&#10;b</forwardTo>", None),
    ],
)
def test_what_stands_for_no_target_is_none(
    status: str, value: str, target: str | None
) -> None:
    """An empty one, a blank, FusionPBX's 0 where it is off; what no phone can show."""
    (report,) = read_reports(CONTENT_TYPE, forwarding(status, value))

    assert report == Report(ALWAYS, status == "true", target)


@pytest.mark.parametrize(
    ("value", "rings"),
    [
        ("<ringCount>4</ringCount>", 4),
        ("<ringCount>0</ringCount>", 0),
        ("<ringCount>many</ringCount>", None),
        ("<ringCount>101</ringCount>", None),
        ("", None),
    ],
)
def test_rings_are_taken_where_they_make_sense(value: str, rings: int | None) -> None:
    """What is left out is unknown."""
    (report,) = read_reports(
        CONTENT_TYPE, forwarding("true", value, kind="forwardNoAns")
    )

    assert report == Report(NO_ANSWER, True, None, rings)


def test_rings_of_another_forwarding_say_nothing() -> None:
    """Only that after some rings has them."""
    (report,) = read_reports(
        CONTENT_TYPE, forwarding("true", "<ringCount>4</ringCount>")
    )

    assert report.ring_count is None


def test_a_status_that_is_left_out_is_unknown() -> None:
    """It is not off."""
    document = (
        b"<ForwardingEvent><forwardingType>forwardBusy</forwardingType>"
        b"<forwardTo>24</forwardTo></ForwardingEvent>"
    )

    assert read_reports("", document) == [
        Report(Feature.CALL_FORWARDING_BUSY, None, "24")
    ]


@pytest.mark.parametrize(
    ("content_type", "boundary", "line_end"),
    [
        ('multipart/mixed; boundary="b 1"', "b 1", "\r\n"),
        ("multipart/mixed;boundary=b1", "b1", "\n"),
        ("Multipart/Related;type=x; Boundary=b1", "b1", "\r\n"),
    ],
)
def test_multipart_is_read_whatever_its_form(
    content_type: str, boundary: str, line_end: str
) -> None:
    """With a preamble, parts without fields, and something that is no document."""
    parts = [
        f"Content-Type: {CONTENT_TYPE}{line_end}Content-ID: <1>{line_end}{line_end}"
        + forwarding("true", "<forwardTo>24</forwardTo>").decode(),
        f"{line_end}{forwarding('false', kind='forwardBusy').decode()}",
        f"Content-Type: text/plain{line_end}{line_end}hello",
    ]
    marker = f"{line_end}--{boundary}{line_end}"
    body = f"preamble{marker}{marker.join(parts)}{line_end}--{boundary}--{line_end}end"

    assert read_reports(content_type, body.encode()) == [
        Report(ALWAYS, True, "24"),
        Report(Feature.CALL_FORWARDING_BUSY, False),
    ]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (CONTENT_TYPE, b""),
        (CONTENT_TYPE, b"  \r\n"),
        (CONTENT_TYPE, b"<DoNotDisturbEvent>"),
        (CONTENT_TYPE, b"<!DOCTYPE x><DoNotDisturbEvent/>"),
        (CONTENT_TYPE, b"<AgentReadyEvent/>"),
        (CONTENT_TYPE, forwarding("true", kind="forwardSometimes")),
        ("multipart/mixed", b"--b\r\n\r\nx\r\n--b--"),
        ("multipart/mixed;boundary=", b"--\r\n\r\nx\r\n----"),
        ("multipart/mixed;boundary=b", b"--b\r\nno end of the head"),
        ("multipart/mixed;boundary=b", b""),
        ('multipart/mixed;boundary="b', b"--b\r\n\r\nx\r\n--b--"),
    ],
)
def test_what_says_nothing_is_passed_over(content_type: str, body: bytes) -> None:
    """Whatever it is, it raises nothing and reports nothing."""
    assert read_reports(content_type, body) == []
