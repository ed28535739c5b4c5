"""What of a message strangers may read: the way it goes, not whose it is."""

from itertools import product

from hypothesis import given, strategies as st
import pytest

from custom_components.dfks.sip.inspect.redaction import (
    Aliases,
    redact_field,
    redact_message,
    redact_product,
    redact_uri,
)
from custom_components.dfks.sip.inspect.vocabulary import FIELDS

# Of each kind that people would not like to see on the web; all unique.
SECRETS = (
    "49301700201",
    "+4989123456",
    "Quartz",
    "s3cret-pw",
    "939e7578ed9e3c518a452acee763bce9",
    "192.0.2.77",
    "10.77.66.55",
    "2001:db8::c0ff:ee77",
    "805ec0a1b2c3",
    "80:5e:c0:a1:b2:c3",
    "FCH2107ABCD",
    "pbx.zulu.example",
    "zulu-realm",
)

# Where a secret may stand in a header field.
SHAPES = (
    "{0}",
    '"{0}"',
    "<{0}>",
    "<sip:{0}@h>",
    "<sip:x:{0}@h>",
    "sip:x@{0}",
    "sip:x@[{0}]:5060",
    '"{0} {0}" <sip:{0}@{0};{0}={0}?{0}={0}>;tag={0};{0};+sip.instance="<urn:{0}>"',
    "{0} <sip:x@h>;expires={0};q={0};rport={0};reg-id={0}",
    "<tel:{0}>",
    "<http://{0}/{0}>",
    "x;{0}={0};id={0};reason={0};boundary={0};retry-after={0}",
    'Digest username="{0}", realm="{0}", nonce="{0}", uri="sip:{0}", {0}="{0}", {0}',
    'Digest response="{0}", cnonce="{0}", opaque="{0}", qop={0}, nc={0}, algorithm={0}',
    "Basic {0}",
    "SIP/2.0/UDP {0};branch=z9hG4bK{0};received={0};maddr={0};rport={0}",
    "SIP/2.0/{0} {0}:{0}",
    '399 {0} "{0}"',
    "1 {0}",
    "x ({0})",
    "x (x (x) {0})",
    "x ({0}",
    "Phone/1.0 {0}",
    "Phone_{0}/{0}",
    "a, {0}, {0};{0}",
    '"{0}',
    "<{0}",
    "\\{0}",
)


def no_body(content_type: str, body: bytes, aliases: Aliases) -> list[str]:
    """Write no body."""
    return []


def redact(data: bytes, *, sent: bool = False, aliases: Aliases | None = None) -> str:
    """Return a message as strangers may read it."""
    return "\n".join(redact_message(data, aliases or Aliases(), no_body, sent=sent))


def knowing(*names: str) -> Aliases:
    """Return aliases that know some names already."""
    aliases = Aliases()
    for name in names:
        aliases.name(name)
    return aliases


@pytest.mark.parametrize("shape", SHAPES)
def test_no_field_gives_a_secret_away(shape: str) -> None:
    """Wherever it stands, in its own form or another."""
    for name, secret in product((*FIELDS, "X-Unknown", "", "To "), SECRETS):
        value = shape.format(secret)
        redacted = redact_field(
            name, value, knowing("Quartz", "zulu-realm"), sent=False
        )
        assert secret.lower() not in redacted.lower()


@pytest.mark.parametrize("secret", SECRETS)
def test_no_name_of_a_field_gives_a_secret_away(secret: str) -> None:
    """A line may be anything."""
    head = f"{secret}: {secret}\r\n{secret}\r\n :{secret}\r\n{secret}\rX: {secret}"
    assert secret not in redact(f"OPTIONS sip:h SIP/2.0\r\n{head}\r\n\r\n".encode())


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    [
        "{0} sip:h SIP/2.0",
        "OPTIONS {0} SIP/2.0",
        "OPTIONS sip:{0}@{0};{0} SIP/2.0",
        "OPTIONS sip:h SIP/{0}",
        "SIP/2.0 200 {0}",
        "SIP/2.0 {0} OK",
        "{0}",
        "GET /{0} HTTP/1.1",
    ],
)
def test_no_start_line_gives_a_secret_away(line: str, secret: str) -> None:
    """Nor what is no SIP at all."""
    data = f"{line.format(secret)}\r\nVia: SIP/2.0/UDP h\r\n\r\n".encode()
    assert secret not in redact(data)


@given(
    st.lists(
        st.sampled_from(
            (
                *SECRETS,
                *(f"{name}:" for name in FIELDS),
                *("\r\n", "\n", "\r", " ", "\t", "\r\n ", ";", ",", '"', "<", ">", "@"),
                *("=", "\\", "(", ")", "[", "]", "sip:", "Digest ", "SIP/2.0/UDP "),
                *("tag", "q", "nonce", "uri", "expires", "\x00", "é"),
            )
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_no_message_gives_a_secret_away(pieces: list[str], response: bool) -> None:
    """However broken it is, and however often it is split in the middle."""
    start = "SIP/2.0 200 OK" if response else "REGISTER sip:h SIP/2.0"
    # A separator between two secrets: together they would be no secret of anybody.
    text = " ".join(pieces)
    redacted = redact(
        f"{start}\r\n{text}".encode(), aliases=knowing("Quartz", "zulu-realm")
    )
    assert not [secret for secret in SECRETS if secret in redacted]


def test_the_way_of_a_message_stays() -> None:
    """Its dialog, its ports, its times, what it is about."""
    data = (
        b"SUBSCRIBE sip:201@192.168.1.5:5060;transport=tcp SIP/2.0\r\n"
        b"v: SIP/2.0/TCP 192.168.1.77:5062;branch=z9hG4bK1;rport=49152;"
        b"received=203.0.113.9\r\n"
        b"Max-Forwards: 70\r\n"
        b'From: "Anna" <sip:201@pbx.example>;tag=a\r\n'
        b"To: <sip:201@pbx.example>;tag=b\r\n"
        b"Call-ID: 8273@192.168.1.77\r\n"
        b"CSeq: 2 SUBSCRIBE\r\n"
        b"Contact: <sip:201@192.168.1.77:5062>;expires=60\r\n"
        b"Event: as-feature-event\r\n"
        b"Expires: 3600\r\n"
        b'Authorization: Digest username="201",realm="homeassistant",nonce="n",'
        b'uri="sip:192.168.1.5",response="r",algorithm=MD5,qop=auth,nc=00000001\r\n'
        b"User-Agent: Yealink SIP-T46S 66.86.0.15 805ec0a1b2c3\r\n"
        b"Subject: hello\r\n"
        b"X-Mine: hello\r\n\r\n"
    )
    assert redact(data).splitlines() == [
        "SUBSCRIBE sip:user-1@address-1:5060;transport=tcp SIP/2.0",
        "v: SIP/2.0/TCP address-2:5062;branch=branch-1;rport=49152;received=address-3",
        "Max-Forwards: 70",
        'From: "name-1" <sip:user-1@host-1>;tag=tag-1',
        "To: <sip:user-1@host-1>;tag=tag-2",
        "Call-ID: call-1",
        "CSeq: 2 SUBSCRIBE",
        "Contact: <sip:user-1@address-2:5062>;expires=60",
        "Event: as-feature-event",
        "Expires: 3600",
        (
            'Authorization: Digest username="user-1", realm="homeassistant", '
            'nonce="nonce-1", uri="sip:address-1", response="**REDACTED**", '
            'algorithm="MD5", qop="auth", nc="00000001"'
        ),
        "User-Agent: Yealink SIP-T46S 66.86.0.15 …",
        "Subject: **REDACTED**",
        "(unknown header field): **REDACTED**",
    ]


def test_aliases_are_the_same_in_all_messages() -> None:
    """So that a dialog can be followed, and whose turn it is."""
    aliases = Aliases()
    for _ in range(2):
        redacted = redact(
            b"SIP/2.0 200 OK\r\nFrom: <sip:%3201@h>;tag=x\r\nTo: <sip:202@H>;tag=y\r\n"
            b"Call-ID: c\r\nContact: *\r\n",
            aliases=aliases,
        )
        assert redacted.splitlines()[1:] == [
            "From: <sip:user-1@host-1>;tag=tag-1",
            "To: <sip:user-2@host-1>;tag=tag-2",
            "Call-ID: call-1",
            "Contact: *",
        ]


def test_own_words_stay_and_those_of_others_go() -> None:
    """Why this server refuses something is what one wants to know."""
    data = (
        b"SIP/2.0 400 Contact: A URI has no scheme\r\n"
        b'Warning: 399 dfks "forwardDN is too long"\r\n\r\n'
    )
    assert redact(data, sent=True).splitlines() == [
        "SIP/2.0 400 Contact: A URI has no scheme",
        'Warning: 399 dfks "forwardDN is too long"',
    ]
    assert redact(data, sent=False).splitlines() == [
        "SIP/2.0 400 **REDACTED**",
        'Warning: 399 host-1 "**REDACTED**"',
    ]


def test_own_warning_that_is_none_goes() -> None:
    """What is not in this server's form is not its own."""
    redacted = redact_field("Warning", "399 dfks Quartz", Aliases(), sent=True)
    assert redacted == "Warning: **REDACTED**"


def test_malformed_field_says_in_which_way() -> None:
    """Without repeating itself."""
    assert redact_field("To", "<sip:201@h", Aliases(), sent=False) == (
        "To: **REDACTED** (malformed: An address does not end with >)"
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", "IPv4, this machine"),
        ("192.168.1.2", "IPv4, private"),
        ("100.64.1.2", "IPv4, carrier or VPN"),
        ("8.8.8.8", "IPv4, public"),
        ("[fe80::1%eth0]", "IPv6, link-local"),
        ("fd00::1", "IPv6, private"),
    ],
)
def test_kind_of_network_is_told(address: str, network: str) -> None:
    """NAT and routing depend on it."""
    aliases = Aliases()
    assert aliases.host(address) == "address-1"
    assert aliases.addresses == {"address-1": network}


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_any_address_is_nobodys(address: str) -> None:
    """It stays as it is."""
    assert Aliases().host(address) == address


def test_number_of_a_line_is_its_user() -> None:
    """Who forwards to a colleague is seen to."""
    aliases = Aliases()
    assert aliases.user("202") == "user-1"
    assert aliases.number("202") == "user-1"
    assert aliases.number("203") == "number-1"


@pytest.mark.parametrize(
    ("uri", "redacted"),
    [
        ("sip:192.168.1.5", "sip:address-1"),
        (
            "sips:anna:pw@h;transport=TLS;x=y",
            "sips:user-1@host-1;transport=TLS;**REDACTED**",
        ),
        ("sip:a@h?Subject=x", "sip:user-1@host-1?**REDACTED**"),
        ("tel:+49", "tel:number-1"),
        ("http://h/", "**REDACTED**"),
        ("", "**REDACTED**"),
    ],
)
def test_uris(uri: str, redacted: str) -> None:
    """Scheme, port and transport stay."""
    assert redact_uri(uri, Aliases()) == redacted


@pytest.mark.parametrize(
    ("phone", "redacted"),
    [
        ("Yealink SIP-T46S 66.86.0.15", "Yealink SIP-T46S 66.86.0.15"),
        ("Yealink W60B 77.85.0.25 805EC0A1B2C3", "Yealink W60B 77.85.0.25 …"),
        ("Grandstream GXP2140 1.0.11.16", "Grandstream GXP2140 1.0.11.16"),
        (
            "PolycomVVX-VVX_411-UA/5.9.3.2857_0004f2a1b2c3",
            "PolycomVVX-VVX_411-UA/5.9.3.2857_…",
        ),
        ("Cisco/SPA525G2-7.4.9(0004F2A1B2C3)", "Cisco/SPA525G2-7.4.9…"),
        ("snom300/8.4.35", "snom300/8.4.35"),
        (
            "Aastra 6731i/3.3.1.4305 MAC:00-08-5D-A1-B2-C3",
            "Aastra 6731i/3.3.1.4305 MAC:…",
        ),
        ("Phone 00_08_5d_a1_b2_c3", "Phone …"),
        ("Phone 0008.5da1.b2c3", "Phone …"),
        ("Phone a1b2c3", "Phone …"),
        ("Linphone/5.0.2 (Anna's iPhone (2)) SDK/5.2", "Linphone/5.0.2 … SDK/5.2"),
        ("Anna's phone", "**REDACTED**"),
        ("Phone 192.168.1.77", "Phone …"),
        ("Phone 2001:db8::1", "Phone …"),
        ("Phone FCH2107ABCD 12345678", "Phone … …"),
        ("Phone 00 08 5d a1 b2 c3", "Phone …"),
        ("Phone 0008/5da1/b2c3", "Phone …"),
        ("Phone ip-192-168-1-77", "Phone ip-…"),
        ("Gateway +49 170 123 4567", "Gateway +…"),
        ("FRITZ!Box 7590 154.07.57", "FRITZ!Box 7590 154.07.57"),
        ("Cisco-CP-8841-3PCC/11.3.1", "Cisco-CP-8841-3PCC/11.3.1"),
        ("x" * 300, "**REDACTED**"),
    ],
)
def test_make_model_and_firmware_stay(phone: str, redacted: str) -> None:
    """All that is of one device or its owner goes."""
    assert redact_product(phone, Aliases()) == redacted


def test_known_names_and_addresses_are_left_out_of_products() -> None:
    """Even where they look like a model or a version."""
    aliases = Aliases()
    aliases.name("Anna Quartz")
    aliases.user("201")
    aliases.host("8.8.8.8")
    assert redact_product("ANNA Phone 201 8.8.8.8 8.8.4.4", aliases) == (
        "… Phone … … 8.8.4.4"
    )
    assert redact_product("Annas Phone", aliases) == "… Phone"
