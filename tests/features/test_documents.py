"""The documents: what goes out to the octet, and what is taken in."""

from email import message_from_bytes
from email.message import Message
from itertools import combinations
from xml.etree import ElementTree as ET

from hypothesis import example, given, strategies as st
import pytest

from custom_components.dfks.features.documents import (
    CONTENT_TYPE,
    MULTIPART,
    Command,
    event_document,
    multipart,
    parse_command,
)
from custom_components.dfks.features.model import MAX_TARGET, Feature, FeatureState
from custom_components.dfks.sip.wire.message import SipError
from tests.data.bodies import (
    CSTA,
    DND_ON,
    DOCTYPES,
    LATIN_1,
    LAUGHS,
    REFUSED,
    UNKNOWN,
    UTF_8,
    dnd,
    forwarding,
    with_namespace,
)

from .strategies import features, forwardings, ring_counts, states, targets

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
BUSY = Feature.CALL_FORWARDING_BUSY
NO_ANSWER = Feature.CALL_FORWARDING_NO_ANSWER

DECLARATION = b'<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'
XMLNS = b'xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"'
NAMESPACE = "{http://www.ecma-international.org/standards/ecma-323/csta/ed3}"

FORWARDING_TYPES = {
    ALWAYS: "forwardImmediate",
    BUSY: "forwardBusy",
    NO_ANSWER: "forwardNoAns",
}


def read(document: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return a document's root and its elements, by a parser that is not ours."""
    root = ET.fromstring(document)
    elements = [(child.tag, child.text or "") for child in root]
    assert all(tag.startswith(NAMESPACE) for tag in (root.tag, *dict(elements)))
    assert not any(len(child) or child.attrib for child in root)
    return root.tag.removeprefix(NAMESPACE), [
        (tag.removeprefix(NAMESPACE), text) for tag, text in elements
    ]


# Out


@pytest.mark.parametrize(("on", "word"), [(True, b"true"), (False, b"false")])
def test_do_not_disturb_to_the_octet(on: bool, word: bytes) -> None:
    """DoNotDisturbEvent has `device` and `doNotDisturbOn`."""
    document = event_document(DND, FeatureState(status=on), "201")

    assert document == (
        DECLARATION + b"<DoNotDisturbEvent " + XMLNS + b"><device>201</device>"
        b"<doNotDisturbOn>" + word + b"</doNotDisturbOn></DoNotDisturbEvent>"
    )


@pytest.mark.parametrize(
    ("feature", "state", "inside"),
    [
        pytest.param(
            ALWAYS,
            FeatureState(True, "2424", 7),
            b"<forwardingType>forwardImmediate</forwardingType>"
            b"<forwardStatus>true</forwardStatus><forwardTo>2424</forwardTo>",
            id="immediate: no rings",
        ),
        pytest.param(
            BUSY,
            FeatureState(True, "2424", 7),
            b"<forwardingType>forwardBusy</forwardingType>"
            b"<forwardStatus>true</forwardStatus><forwardTo>2424</forwardTo>",
            id="busy: no rings",
        ),
        pytest.param(
            NO_ANSWER,
            FeatureState(True, "2424", 7),
            b"<forwardingType>forwardNoAns</forwardingType>"
            b"<forwardStatus>true</forwardStatus><forwardTo>2424</forwardTo>"
            b"<ringCount>7</ringCount>",
            id="no answer: with rings",
        ),
        pytest.param(
            NO_ANSWER,
            FeatureState(),
            b"<forwardingType>forwardNoAns</forwardingType>"
            b"<forwardStatus>false</forwardStatus><ringCount>3</ringCount>",
            id="no answer, nothing set: three rings and no target",
        ),
        pytest.param(
            ALWAYS,
            FeatureState(),
            b"<forwardingType>forwardImmediate</forwardingType>"
            b"<forwardStatus>false</forwardStatus>",
            id="nothing set: forwardTo is left out",
        ),
        pytest.param(
            BUSY,
            FeatureState(False, "2424"),
            b"<forwardingType>forwardBusy</forwardingType>"
            b"<forwardStatus>false</forwardStatus><forwardTo>2424</forwardTo>",
            id="off: the target stays there",
        ),
        pytest.param(
            BUSY,
            FeatureState(True, "sip:2424@pbx.example;user=phone"),
            b"<forwardingType>forwardBusy</forwardingType>"
            b"<forwardStatus>true</forwardStatus>"
            b"<forwardTo>sip:2424@pbx.example;user=phone</forwardTo>",
            id="a URI passes through",
        ),
    ],
)
def test_forwarding_to_the_octet(
    feature: Feature, state: FeatureState, inside: bytes
) -> None:
    """ForwardingEvent has its elements in their order, and only those it needs."""
    document = event_document(feature, state, "201")

    assert document == (
        DECLARATION + b"<ForwardingEvent " + XMLNS + b"><device>201</device>"
        b"" + inside + b"</ForwardingEvent>"
    )


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("A & B", b"A &amp; B"),
        ("<sip:1@h>", b"&lt;sip:1@h&gt;"),
        ("\"quoted\" and 'single'", b"\"quoted\" and 'single'"),
        ("]]>", b"]]&gt;"),
        ("&amp;", b"&amp;amp;"),
        ("café", b"caf\xe9"),
        ("ÿ", b"\xff"),
        ("5 €", b"5 &#8364;"),
        ("Ω", b"&#937;"),
        ("\N{BELL}", b"&#128276;"),
        ("a\u00a0b", b"a\xa0b"),
        (" 12 ", b" 12 "),
    ],
)
def test_a_target_is_escaped(target: str, written: bytes) -> None:
    """Mark-up is escaped, what Latin-1 lacks becomes a character reference."""
    document = event_document(ALWAYS, FeatureState(True, target), "201")

    assert b"<forwardTo>" + written + b"</forwardTo>" in document
    assert dict(read(document)[1])["forwardTo"] == target


@pytest.mark.parametrize("feature", list(Feature))
@pytest.mark.parametrize(
    ("user", "written"),
    [("201", b"201"), ("a&b", b"a&amp;b"), ("rené", b"ren\xe9"), ("Ω", b"&#937;")],
)
def test_device_is_the_user_part(feature: Feature, user: str, written: bytes) -> None:
    """`device` comes first and names the line, escaped like anything else."""
    document = event_document(feature, FeatureState(), user)

    assert XMLNS + b"><device>" + written + b"</device><" in document
    assert read(document)[1][0] == ("device", user)


@given(feature=features, state=states, device=targets)
def test_any_state_reads_back(
    feature: Feature, state: FeatureState, device: str
) -> None:
    """Another parser finds in a document what the state says, and nothing else."""
    document = event_document(feature, state, device)

    status = "true" if state.status else "false"
    if feature is DND:
        assert read(document) == (
            "DoNotDisturbEvent",
            [("device", device), ("doNotDisturbOn", status)],
        )
        return
    expected = [
        ("device", device),
        ("forwardingType", FORWARDING_TYPES[feature]),
        ("forwardStatus", status),
    ]
    if state.forward_to:
        expected.append(("forwardTo", state.forward_to))
    if feature is NO_ANSWER:
        expected.append(("ringCount", str(state.ring_count)))
    assert read(document) == ("ForwardingEvent", expected)


@given(feature=features, state=states, device=targets)
def test_a_document_has_no_line_break_behind_its_declaration(
    feature: Feature, state: FeatureState, device: str
) -> None:
    """So none of its lines can be taken for a boundary."""
    document = event_document(feature, state, device)

    assert document.startswith(DECLARATION)
    assert not set(b"\r\n") & set(document.removeprefix(DECLARATION))


def parts_of(body: bytes) -> list[Message]:
    """Return the parts of a multipart body, by the standard library's parser."""
    mail = message_from_bytes(f"Content-Type: {MULTIPART}\r\n\r\n".encode() + body)
    parts = mail.get_payload()
    assert isinstance(parts, list)
    assert not mail.defects
    assert not any(part.defects for part in parts if isinstance(part, Message))
    return [part for part in parts if isinstance(part, Message)]


def test_multipart_to_the_octet() -> None:
    """CR LF everywhere, Content-Type, Content-Length and Content-ID in each part."""
    states = [(DND, FeatureState()), (BUSY, FeatureState(True, "100%d"))]
    first, second = (event_document(*item, "201") for item in states)

    body = multipart(states, "201")

    assert body == (
        b"--as-feature-event-part\r\n"
        b"Content-Type: application/x-as-feature-event+xml\r\n"
        b"Content-Length: 212\r\n"
        b"Content-ID: <DoNotDisturb@dfks>\r\n"
        b"\r\n" + first + b"\r\n"
        b"--as-feature-event-part\r\n"
        b"Content-Type: application/x-as-feature-event+xml\r\n"
        b"Content-Length: 277\r\n"
        b"Content-ID: <CallForwardingBusy@dfks>\r\n"
        b"\r\n" + second + b"\r\n"
        b"--as-feature-event-part--\r\n"
    )


def test_the_boundary_is_quoted_and_the_one_in_use() -> None:
    """The Content-Type tells the boundary of the body."""
    assert MULTIPART == 'multipart/mixed; boundary="as-feature-event-part"'


@pytest.mark.parametrize(
    "chosen",
    [pair for size in (2, 3, 4) for pair in combinations(Feature, size)],
    ids="+".join,
)
def test_multipart_parts_read_back(chosen: tuple[Feature, ...]) -> None:
    """Another parser finds each document, with its right length, in order."""
    state = FeatureState(True, "<&€é>", 12)
    documents = [(feature, event_document(feature, state, "201")) for feature in chosen]

    parts = parts_of(multipart([(feature, state) for feature in chosen], "201"))

    assert [part.get_payload(decode=True) for part in parts] == [
        document for _, document in documents
    ]
    assert [part["Content-Length"] for part in parts] == [
        str(len(document)) for _, document in documents
    ]
    assert {part["Content-Type"] for part in parts} == {CONTENT_TYPE}
    assert len({part["Content-ID"] for part in parts}) == len(chosen)


@given(st.lists(st.tuples(features, states), min_size=2, max_size=4), targets)
def test_any_multipart_reads_back(
    chosen: list[tuple[Feature, FeatureState]], device: str
) -> None:
    """No value can break the parts apart."""
    parts = parts_of(multipart(chosen, device))

    assert [part.get_payload(decode=True) for part in parts] == [
        event_document(feature, state, device) for feature, state in chosen
    ]


# In


def one_a_line(text: str, line_end: str) -> str:
    """Put each element on a line of its own."""
    return text.replace("><", f">{line_end}  <").replace("  </Set", "</Set") + line_end


DND_TRUE = Command(DND, status=True)

TAKEN = {
    "as the specification has it": LATIN_1 + "\n" + with_namespace(DND_ON),
    "all on one line": LATIN_1 + with_namespace(DND_ON),
    "LF": LATIN_1 + "\n" + one_a_line(with_namespace(DND_ON), "\n"),
    "CR LF": LATIN_1 + "\r\n" + one_a_line(with_namespace(DND_ON), "\r\n"),
    "CR": LATIN_1 + "\r" + one_a_line(with_namespace(DND_ON), "\r"),
    "tabs": LATIN_1 + "\n" + one_a_line(with_namespace(DND_ON), "\n\t\t"),
    "no declaration": with_namespace(DND_ON),
    "declared UTF-8": UTF_8 + with_namespace(DND_ON),
    "declared utf-8 in single quotes": "<?xml version='1.0' encoding='utf-8' ?>"
    + with_namespace(DND_ON),
    "declared US-ASCII": '<?xml version="1.0" encoding="US-ASCII"?>' + DND_ON,
    "declared windows-1252": '<?xml version="1.0" encoding="windows-1252"?>' + DND_ON,
    "declared without an encoding": '<?xml version="1.0"?>' + DND_ON,
    "standalone": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>' + DND_ON,
    "byte order mark": "\ufeff" + UTF_8 + DND_ON,
    "leading blank lines": "\r\n\r\n" + LATIN_1 + DND_ON,
    "leading blanks": "  \t\n" + LATIN_1 + DND_ON,
    "leading blank lines, no declaration": "\n\n" + DND_ON,
    "trailing blank lines": LATIN_1 + DND_ON + "\r\n\r\n",
    "namespace without a hyphen": with_namespace(
        DND_ON, "http://www.ecmainternational.org/standards/ecma-323/csta/ed3"
    ),
    "namespace of another edition": with_namespace(
        DND_ON, "http://www.ecma-international.org/standards/ecma-323/csta/ed4"
    ),
    "foreign namespace": with_namespace(DND_ON, "urn:other"),
    "empty namespace": with_namespace(DND_ON, ""),
    "no namespace": DND_ON,
    "prefix": f'<c:SetDoNotDisturb xmlns:c="{CSTA}"><c:device/>'
    "<c:doNotDisturbOn>true</c:doNotDisturbOn></c:SetDoNotDisturb>",
    "prefix on the value alone": f'<SetDoNotDisturb xmlns:c="{CSTA}">'
    "<c:doNotDisturbOn>true</c:doNotDisturbOn></SetDoNotDisturb>",
    "device absent": DND_ON.replace("<device/>", ""),
    "device with an end tag": DND_ON.replace("<device/>", "<device></device>"),
    "device given": DND_ON.replace("<device/>", "<device>sip:201@h</device>"),
    "device last": DND_ON.replace("<device/>", "").replace("</Set", "<device/></Set"),
    "an attribute": DND_ON.replace("turb>", 'turb a="1" b="2">', 1),
    "an unknown element before": DND_ON.replace("<device/>", "<extra x='1'/>"),
    "an unknown element behind": DND_ON.replace("</Set", "<extra/></Set"),
    "the value nested elsewhere too": DND_ON.replace(
        "<device/>", "<extra><doNotDisturbOn>false</doNotDisturbOn></extra>"
    ),
    "the value twice: the first counts": DND_ON.replace(
        "</Set", "<doNotDisturbOn>false</doNotDisturbOn></Set"
    ),
    "comments": f"<!-- c -->{DND_ON.replace('<device/>', '<!-- c -->')}<!-- c -->",
    "a comment in the value": DND_ON.replace("true", "<!-- on -->tr<!-- c -->ue"),
    "a processing instruction": "<?phone reboot?>" + DND_ON,
    "CDATA": DND_ON.replace("true", "<![CDATA[true]]>"),
    "CDATA with blanks": DND_ON.replace("true", "\n <![CDATA[ true ]]>\n"),
    "a character reference": DND_ON.replace("true", "&#116;r&#x75;e"),
    "deeply nested": DND_ON.replace("<device/>", "<a>" * 100 + "</a>" * 100),
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN.keys())
def test_every_dress_of_a_document_is_taken(text: str) -> None:
    """Only local names and their text count."""
    assert parse_command(text.encode()) == DND_TRUE


@pytest.mark.parametrize("word", ["true", "TRUE", "True", "tRuE", "1"])
@pytest.mark.parametrize("blanks", ["{}", "  {}\t", "\n  {} \t\n", "\r\n{}\r\n"])
def test_on(word: str, blanks: str) -> None:
    """An xs:boolean in any case of letters, with white space around it."""
    assert parse_command(dnd(blanks.format(word))) == Command(DND, status=True)


@pytest.mark.parametrize("word", ["false", "FALSE", "False", "0", " false\n"])
def test_off(word: str) -> None:
    """An xs:boolean in any case of letters, with white space around it."""
    assert parse_command(dnd(word)) == Command(DND, status=False)


@pytest.mark.parametrize(
    ("kind", "feature"),
    [
        ("forwardImmediate", ALWAYS),
        ("forwardBusy", BUSY),
        ("forwardNoAns", NO_ANSWER),
        ("FORWARDBUSY", BUSY),
        ("forwardimmediate", ALWAYS),
        ("\n forwardNoAns \t", NO_ANSWER),
        ("<![CDATA[forwardBusy]]>", BUSY),
    ],
)
def test_kinds_of_forwarding(kind: str, feature: Feature) -> None:
    """The three kinds, in any case of letters."""
    command = parse_command(forwarding(kind, rings="").encode())

    assert command == Command(feature, status=True, forward_to="2424")


@pytest.mark.parametrize(
    ("rings", "count"),
    [
        ("", None),
        ("<ringCount/>", None),
        ("<ringCount></ringCount>", None),
        ("<ringCount> </ringCount>", None),
        ("<ringCount>0</ringCount>", 0),
        ("<ringCount> 4\n</ringCount>", 4),
        ("<ringCount>07</ringCount>", 7),
        ("<ringCount>100</ringCount>", 100),
        ("<ringCount>101</ringCount>", None),
        ("<ringCount>-1</ringCount>", None),
        ("<ringCount>+4</ringCount>", None),
        ("<ringCount>4.5</ringCount>", None),
        ("<ringCount>4 rings</ringCount>", None),
        ("<ringCount>many</ringCount>", None),
        ("<ringCount>٤</ringCount>", None),
        ("<ringCount>1_0</ringCount>", None),
        (f"<ringCount>{'9' * 5000}</ringCount>", None),
    ],
)
def test_rings(rings: str, count: int | None) -> None:
    """Absent, empty or garbled: the stored count stays."""
    command = parse_command(forwarding(rings=rings).encode())

    assert command == Command(NO_ANSWER, True, "2424", count)


@pytest.mark.parametrize("kind", ["forwardImmediate", "forwardBusy"])
def test_rings_count_for_no_answer_alone(kind: str) -> None:
    """Some phones send them with any forwarding."""
    command = parse_command(forwarding(kind).encode())

    assert command is not None
    assert command.ring_count is None


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("", None),
        ("<forwardDN/>", None),
        ("<forwardDN></forwardDN>", None),
        ("<forwardDN> \n </forwardDN>", None),
        ("<forwardDN>\n 2424\t</forwardDN>", "2424"),
        ("<forwardDN>+1 (555) 0100</forwardDN>", "+1 (555) 0100"),
        ("<forwardDN>*72#</forwardDN>", "*72#"),
        ("<forwardDN>sip:2424@pbx.example:5070</forwardDN>", None),
        (
            "<forwardDN>&lt;sip:1@h&gt; &amp; &quot;x&quot;</forwardDN>",
            '<sip:1@h> & "x"',
        ),
        ("<forwardDN><![CDATA[<sip:1@h>]]></forwardDN>", "<sip:1@h>"),
        ("<forwardDN>5 &#8364; &#xe9;</forwardDN>", "5 € é"),
        (f"<forwardDN>{'x' * 2000}</forwardDN>", "x" * 2000),
        (f"<forwardDN>{'x' * MAX_TARGET}</forwardDN>", "x" * MAX_TARGET),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("status", ["true", "false"])
def test_targets(status: str, target: str, found: str | None) -> None:
    """Absent or empty: the stored target stays. Digits and URIs pass through."""
    if "sip:2424" in target:
        found = "sip:2424@pbx.example:5070"

    command = parse_command(forwarding("forwardBusy", status, target).encode())

    assert command == Command(BUSY, status == "true", found)


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        (LATIN_1, "iso-8859-1"),
        (UTF_8, "utf-8"),
        ("", "utf-8"),
        ("", "iso-8859-1"),
        ("\n\n", "iso-8859-1"),
        ("\ufeff", "utf-8"),
        ('<?xml version="1.0"?>', "utf-8"),
        ('<?xml version="1.0" encoding="windows-1252"?>', "cp1252"),
    ],
    ids=lambda value: value.strip() or "none",
)
def test_encodings(declaration: str, encoding: str) -> None:
    """Declared or not, a target keeps its letters."""
    text = declaration + forwarding("forwardBusy", target="<forwardDN>café</forwardDN>")

    command = parse_command(text.encode(encoding))

    assert command == Command(BUSY, True, "café")


def test_any_order_of_the_elements() -> None:
    """Phones differ in it."""
    inside = (
        forwarding().removeprefix("<SetForwarding>").removesuffix("</SetForwarding>")
    )
    elements = inside.replace("><", ">\0<").split("\0")

    backwards = f"<SetForwarding>{''.join(reversed(elements))}</SetForwarding>"

    assert parse_command(backwards.encode()) == Command(NO_ANSWER, True, "2424", 4)


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_command_is_none(text: str) -> None:
    """Well-formed, but not for us."""
    assert parse_command(text.encode()) is None


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(body: bytes, reason: str) -> None:
    """The Warning says why, and names the element where it is one."""
    with pytest.raises(SipError) as refused:
        parse_command(body)

    assert (refused.value.status, refused.value.reason) == (400, "Bad Feature Document")
    assert refused.value.fields == (f'Warning: 399 dfks "{reason}"',)


@pytest.mark.parametrize("body", [b"", b" \r\n\t "])
def test_nothing_is_no_document(body: bytes) -> None:
    """A SUBSCRIBE without a body does not come here."""
    with pytest.raises(SipError):
        parse_command(body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES.keys())
def test_a_doctype_is_refused_in_any_encoding(doctype: str, encoding: str) -> None:
    """Whatever it would bring in is not looked at."""
    text = f'<?xml version="1.0" encoding="{encoding[:6]}"?>{doctype}{DND_ON}'

    with pytest.raises(SipError) as refused:
        parse_command(text.encode(encoding))

    assert refused.value.fields == ('Warning: 399 dfks "DOCTYPE is not allowed"',)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("use", ["<a>&l9;</a>", '<a b="&l9;"/>'])
def test_an_entity_bomb_does_not_go_off(use: str, encoding: str) -> None:
    """Neither in text nor in an attribute, not even where DOCTYPE is well hidden."""
    text = (
        f'<?xml version="1.0" encoding="{encoding[:6]}"?>{LAUGHS}'
        f"{DND_ON.replace('<device/>', use)}"
    )

    with pytest.raises(SipError) as refused:
        parse_command(text.encode(encoding))

    assert refused.value.status == 400


@given(
    feature=forwardings,
    status=st.booleans(),
    target=targets,
    rings=ring_counts,
    encoding=st.sampled_from(["iso-8859-1", "utf-8"]),
    blank=st.sampled_from(["", " ", "\n", "\r\n\t"]),
)
def test_any_forwarding_is_understood(
    feature: Feature,
    status: bool,
    target: str,
    rings: int,
    encoding: str,
    blank: str,
) -> None:
    """What another writer puts into a document comes out of it."""
    root = ET.Element("SetForwarding", xmlns=CSTA)
    for name, text in {
        "forwardDN": target,
        "ringCount": str(rings),
        "activateForward": str(status).lower(),
        "forwardingType": FORWARDING_TYPES[feature],
    }.items():
        ET.SubElement(root, name).text = f"{blank}{text}{blank}"

    command = parse_command(ET.tostring(root, encoding))

    assert command == Command(
        feature,
        status,
        target.strip() or None,
        rings if feature is NO_ANSWER else None,
    )


NAMES = ["device", "doNotDisturbOn", "forwardingType", "activateForward", "forwardDN"]

plain_elements = st.builds(
    "<{0}>{1}</{0}>{2}".format,
    st.sampled_from([*NAMES, "ringCount"]),
    st.sampled_from(["true", "0", "forwardBusy", "forwardNoAns", "12", ""])
    | st.text(st.characters(codec="ascii", exclude_characters="<>&"), max_size=8),
    st.sampled_from(["", " ", "\r\n\t"]),
)
documents = st.builds(
    "{0}<{1}{2}>{3}</{1}>{4}".format,
    st.sampled_from(["", LATIN_1, f"{UTF_8}\r\n"]),
    st.sampled_from(["SetDoNotDisturb", "SetForwarding", "Any"]),
    st.sampled_from(["", f' xmlns="{CSTA}"', f" xmlns='{CSTA}'"]),
    st.lists(plain_elements | st.just("<device/>"), max_size=5).map("".join),
    st.sampled_from(["", "\n"]),
)


def outcome(text: str) -> object:
    """Return what comes of a document."""
    try:
        return parse_command(text.encode())
    except SipError as err:
        return err.fields


@given(documents)
@example(f"{LATIN_1}<SetDoNotDisturb>\r\n<doNotDisturbOn>1</doNotDisturbOn></Any>")
@example("<SetDoNotDisturb><doNotDisturbOn>1]]></doNotDisturbOn></SetDoNotDisturb>")
@example("<SetDoNotDisturb><doNotDisturbOn>1</device></SetDoNotDisturb>")
def test_a_plain_document_is_read_as_any_other(text: str) -> None:
    """A comment, with which it is none of the plain ones, changes nothing."""
    at = text.rindex("</")

    assert outcome(text) == outcome(f"{text[:at]}<!-- -->{text[at:]}")


def taken_apart(body: bytes) -> None:
    """Parse a body; no error but a refusal with a Warning may come of it."""
    refused = None
    try:
        parse_command(body)
    except SipError as err:
        refused = err
    assert refused is None or (
        refused.status == 400
        and len(refused.fields) == 1
        and refused.fields[0].startswith("Warning: 399 dfks ")
    )


@given(st.binary(max_size=400))
@example(b'<?xml version="1.0" encoding="UTF-7"?>+ADw-x/>')
@example(b"\xff\xfe<\x00x\x00/\x00>\x00")
def test_any_octets_are_answered_in_words(body: bytes) -> None:
    """Nothing but a refusal with a Warning can come of them."""
    taken_apart(body)


PIECES = [
    *(b"<SetDoNotDisturb", b"<SetForwarding", b"</SetDoNotDisturb>", b"<a:b", b"<?x"),
    *(b"<doNotDisturbOn>", b"</doNotDisturbOn>", b"<forwardingType>forwardBusy"),
    *(
        b"true",
        b">",
        b"/>",
        b"<",
        b"&",
        b"&#0;",
        b"&lt;",
        b"<!--",
        b"-->",
        b"?>",
        b"]]>",
    ),
    *(b"<![CDATA[", b"<!DOCTYPE", b"<!ENTITY", b' xmlns="', b' xmlns:a="', b'"', b"="),
    *(b"\xe9", b"\x00", b"\r\n", b" ", b"\xef\xbb\xbf", b"</forwardingType>"),
    b'<?xml version="1.0" encoding="',
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))
def test_any_mixture_of_mark_up_is_answered_in_words(body: bytes) -> None:
    """Nearly XML is the harder case."""
    taken_apart(body)


@given(
    at=st.integers(0, 400),
    length=st.integers(0, 20),
    put=st.binary(max_size=5),
    latin=st.booleans(),
)
def test_any_damage_is_answered_in_words(
    at: int, length: int, put: bytes, latin: bool
) -> None:
    """A document that lost or gained octets on its way."""
    whole = (LATIN_1 if latin else "").encode() + forwarding().encode()

    taken_apart(whole[:at] + put + whole[at + length :])
