"""Section H: digest authentication, with packets and by the RFCs' own examples."""

from collections.abc import Callable
import hashlib
import re

from hypothesis import example, given, strategies as st
import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.access import digest
from custom_components.dfks.sip.access.digest import (
    Authenticator,
    Outcome,
    parse_digest,
    read_answer,
)
from custom_components.dfks.sip.wire.message import Request
from custom_components.dfks.sip.wire.parser import parse
from tests.clock import ManualClock
from tests.loopback import PASSWORDS
from tests.phone import Challenge, Digest, Response
from tests.phone.digest import parse_fields

from .caller import Caller
from .conftest import Connect
from .echo import Line, light

requirement = pytest.mark.requirement


def challenges(response: Response) -> list[dict[str, str]]:
    """Return the challenges of a 401, in their order."""
    assert response.status == 401, response.title
    return [parse_fields(value) for value in response.get_all("WWW-Authenticate")]


def is_stale(response: Response) -> bool:
    """Whether a 401 says that the password was right and the nonce too old."""
    stale = {challenge.get("stale", "") for challenge in challenges(response)}
    assert len(stale) == 1
    return stale == {"true"}


def authorization(data: bytes) -> str:
    """Return the value of Authorization in a request."""
    found = re.search(rb"\r\nAuthorization: ([^\r]*)", data)
    assert found is not None
    return found[1].decode()


def with_authorization(data: bytes, value: str) -> bytes:
    """Return a request with another Authorization."""
    return data.replace(authorization(data).encode(), value.encode())


# Challenges


@requirement("H1", "G3")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ServerConfig(host="127.0.0.1", port=0), ["MD5", "SHA-256"]),
        (ServerConfig(host="127.0.0.1", port=0, algorithms=("MD5",)), ["MD5"]),
        (ServerConfig(host="127.0.0.1", port=0, algorithms=("SHA-256",)), ["SHA-256"]),
    ],
    ids=["both", "MD5", "SHA-256"],
)
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_h1_one_challenge_an_algorithm(
    caller: Caller, expected: list[str], method: str
) -> None:
    """MD5 first, because older phones read only the first one."""
    response = await caller.ask(caller.request(method))

    found = challenges(response)
    assert [challenge["algorithm"] for challenge in found] == expected
    for challenge in found:
        assert challenge["realm"] == "homeassistant"
        assert challenge["qop"] == "auth"
        assert len(challenge["nonce"]) == 16
        assert "stale" not in challenge
    # qop is quoted and algorithm is not (RFC 7616 3.3).
    for value in response.get_all("WWW-Authenticate"):
        assert 'qop="auth"' in value
        assert re.search(r"algorithm=[A-Z]", value)


@requirement("H1")
@pytest.mark.parametrize(
    "config", [ServerConfig(host="127.0.0.1", port=0, realm="my house")], ids=["realm"]
)
async def test_h1_the_realm_is_an_option(caller: Caller) -> None:
    """It stands in the challenge, and its digest is right."""
    response = await caller.ask(caller.request("REGISTER"))

    assert challenges(response)[0]["realm"] == "my house"
    assert (await caller.call("REGISTER")).status == 200


@requirement("H3")
@pytest.mark.parametrize(
    ("config", "used", "status"),
    [
        (ServerConfig(host="127.0.0.1", port=0), "MD5", 200),
        (ServerConfig(host="127.0.0.1", port=0), "SHA-256", 200),
        (ServerConfig(host="127.0.0.1", port=0, algorithms=("MD5",)), "SHA-256", 401),
        (ServerConfig(host="127.0.0.1", port=0, algorithms=("SHA-256",)), "MD5", 401),
    ],
    ids=["both, MD5", "both, SHA-256", "MD5 alone", "SHA-256 alone"],
)
async def test_h3_an_algorithm_is_taken_where_it_is_offered(
    caller: Caller, used: str, status: int
) -> None:
    """By a phone that answers with its own, whatever it was asked for."""
    response = await caller.ask(caller.request("REGISTER"))
    challenge = Challenge.parse(response.get("WWW-Authenticate"))
    assert challenge is not None
    caller.digest = Digest(
        username="201", password=PASSWORDS["201"], algorithm=used, challenge=challenge
    )

    assert (await caller.call("REGISTER")).status == status


@requirement("H3")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("algorithm=MD5", "algorithm=SHA-512"),
        ("algorithm=MD5", "algorithm=MD5-sess"),
        ("algorithm=MD5", "algorithm=token"),
        ("qop=auth,", "qop=auth-int,"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        ("nc=00000001", "nc=000000011"),
        ('realm="homeassistant"', 'realm="elsewhere"'),
        ('realm="homeassistant"', 'realm="HomeAssistant"'),
        ("realm=", "ream="),
    ],
)
async def test_h3_what_was_not_offered_is_challenged_anew(
    caller: Caller, old: str, new: str
) -> None:
    """Not as a failure, and not as stale."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    value = authorization(data)
    assert old in value

    response = await caller.ask(with_authorization(data, value.replace(old, new)))

    assert not is_stale(response)


@requirement("H3")
async def test_h3_no_algorithm_is_md5(caller: Caller) -> None:
    """As clients of RFC 2069 have it."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    value = authorization(data).replace(", algorithm=MD5", "")

    assert (await caller.ask(with_authorization(data, value))).status == 200


# Answers to challenges


@requirement("H2")
async def test_h2_without_qop(caller: Caller) -> None:
    """A client of RFC 2069 is let in; its nonce is good for one request."""
    caller.digest.without_qop = True

    first = await caller.call("REGISTER")
    second = await caller.call("REGISTER")
    await caller.log_in()
    third = await caller.call("REGISTER")

    assert (first.status, third.status) == (200, 200)
    assert is_stale(second)


@requirement("H2", "H5")
async def test_h2_one_nonce_does_for_many_requests(
    caller: Caller, clock: ManualClock
) -> None:
    """With a rising count, within its lifetime, for any method."""
    await caller.log_in()
    statuses = []
    for _ in range(9):
        statuses.append((await caller.call("REGISTER")).status)
        clock.advance(30)
    statuses.append((await caller.call("SUBSCRIBE")).status)

    assert statuses == [200] * 10


@requirement("H4")
async def test_h4_an_aged_nonce_is_stale(caller: Caller, clock: ManualClock) -> None:
    """A fresh challenge says so, so that the phone does not ask its user."""
    await caller.log_in()
    clock.advance(299)
    young = await caller.call("REGISTER")
    clock.advance(32)
    old = await caller.call("REGISTER")
    fresh = caller.digest.take(old)
    again = await caller.call("REGISTER")

    assert young.status == 200
    assert is_stale(old)
    assert fresh
    assert again.status == 200


@requirement("H4")
@pytest.mark.parametrize(
    "change",
    [
        lambda nonce: nonce[:-1] + ("0" if nonce[-1] != "0" else "1"),
        lambda nonce: ("0" if nonce[0] != "0" else "1") + nonce[1:],
        lambda nonce: nonce[:5] + ("0" if nonce[5] != "0" else "1") + nonce[6:],
        lambda nonce: "",
        lambda nonce: "x" * len(nonce),
        lambda nonce: nonce + "0",
        lambda nonce: "_x" + nonce[2:],
        lambda nonce: "=" * len(nonce),
        lambda nonce: nonce[:-3] + "a==",
        lambda nonce: "x" * (len(nonce) - 3) + "!!!",
        lambda nonce: "\u00fc" * (len(nonce) // 2),
    ],
    ids=[
        "end",
        "time",
        "salt",
        "none",
        "letters",
        "longer",
        "future",
        "padding",
        "cut",
        "other letters",
        "no ASCII",
    ],
)
async def test_h4_a_nonce_that_was_not_made_here_is_stale(
    caller: Caller, change: Callable[[str], str]
) -> None:
    """Whether the password is right is not looked at."""
    await caller.log_in()
    challenge = caller.digest.challenge
    assert challenge is not None
    challenge.nonce = change(challenge.nonce)

    assert is_stale(await caller.call("REGISTER"))


@requirement("H4")
async def test_h4_a_nonce_is_good_for_the_source_that_asked(
    caller: Caller, connect: Connect
) -> None:
    """Nobody can use one in another's name."""
    await caller.log_in()
    elsewhere = await connect(local=("127.0.0.2", 0))

    response = await elsewhere.ask(caller.signed_request("REGISTER"))

    assert is_stale(response)


@requirement("H4")
async def test_h4_a_nonce_that_was_used_is_not_good_for_another_source(
    caller: Caller, connect: Connect
) -> None:
    """One who reads along could go on with it, its next count and all."""
    assert (await caller.call("REGISTER")).status == 200
    elsewhere = await connect(local=("127.0.0.2", 0))

    response = await elsewhere.ask(caller.signed_request("REGISTER"))

    assert is_stale(response)


@requirement("H4")
async def test_h4_a_nonce_of_three_weeks_ago_is_stale(
    caller: Caller, clock: ManualClock
) -> None:
    """Although the time in it, which is short, begins again by then."""
    await caller.log_in()
    clock.advance(30 * 2**16)

    assert is_stale(await caller.call("REGISTER"))


@requirement("H4", "F28")
async def test_h4_a_nonce_of_an_earlier_run_is_stale(
    caller: Caller, clock: ManualClock
) -> None:
    """After a restart phones go on with the nonce that they have."""
    foreign = Authenticator("homeassistant", clock)
    data = caller.request("REGISTER")
    request = parse(data)
    assert isinstance(request, Request)
    for line in foreign.challenge(request, "127.0.0.1")[:1]:
        caller.digest.challenge = Challenge.parse(line.partition(": ")[2])

    assert is_stale(await caller.call("REGISTER"))


@requirement("H4", "C6")
async def test_h4_retransmissions_get_the_same_nonce_and_others_another(
    caller: Caller,
) -> None:
    """It is made of the request, so nothing needs to be kept."""
    data = caller.request("REGISTER")

    first, second = await caller.ask(data), await caller.ask(data)
    other = await caller.ask(caller.request("REGISTER"))

    assert first.raw == second.raw
    assert challenges(first)[0]["nonce"] != challenges(other)[0]["nonce"]
    assert len({challenge["nonce"] for challenge in challenges(first)}) == 1


@requirement("H5")
@pytest.mark.parametrize(
    ("counts", "right"),
    [
        ([1, 2, 3], [True, True, True]),
        ([1, 1], [True, False]),
        ([5, 3], [True, True]),
        ([5, 3, 3], [True, True, False]),
        ([5, 3, 4, 5], [True, True, True, False]),
        ([1, 100, 50], [True, True, False]),
        ([1, 40, 9, 8], [True, True, True, False]),
        ([0, 0], [True, False]),
        ([0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF], [True, True, False]),
        ([1, 33, 2, 1], [True, True, True, False]),
    ],
)
async def test_h5_a_count_is_good_once(
    caller: Caller, counts: list[int], right: list[bool]
) -> None:
    """In a window of 32, because datagrams overtake each other."""
    await caller.log_in()
    found = []
    for count in counts:
        caller.digest.nc = count - 1
        response = await caller.call("REGISTER")
        found.append(response.status == 200)
        if response.status != 200:
            assert is_stale(response)

    assert found == right


@requirement("H5", "B5")
async def test_h5_the_same_credentials_by_another_way_are_a_replay(
    caller: Caller,
) -> None:
    """A new branch makes it another request, with a count that was used."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    first = await caller.ask(data)

    replay = await caller.ask(data.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx"))

    assert first.status == 200
    assert is_stale(replay)


@requirement("H6")
@pytest.mark.parametrize(
    ("method", "request_uri", "digest_uri", "status"),
    [
        ("REGISTER", "sip:h", "sip:h", 200),
        ("REGISTER", "sip:h", "sip:H:5060;transport=udp", 200),
        ("REGISTER", "sip:127.0.0.1", "sip:pbx.example", 200),
        ("SUBSCRIBE", "sip:201@h:5060", "sip:201@h", 200),
        ("SUBSCRIBE", "sip:201@h", "sip:h", 200),
        ("SUBSCRIBE", "sip:201@h", "sip:%3201@other", 200),
        ("SUBSCRIBE", "sip:201@h", "sip:202@h", 401),
        ("SUBSCRIBE", "sip:201@h", "tel:201", 401),
        ("SUBSCRIBE", "sip:201@h", "/index.html", 401),
        ("SUBSCRIBE", "sip:201@h", "", 401),
    ],
)
async def test_h6_the_digest_uri_may_be_written_otherwise(
    caller: Caller, method: str, request_uri: str, digest_uri: str, status: int
) -> None:
    """The response is computed over what the phone wrote; it may name no other user."""
    await caller.log_in()
    data = caller.request(method, request_uri)
    value = caller.digest.authorization(method, digest_uri)
    head, _, body = data.partition(b"\r\n\r\n")
    signed = head + f"\r\nAuthorization: {value}\r\n\r\n".encode() + body

    assert (await caller.ask(signed)).status == status


@requirement("H7")
@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("201", "wrong"),
        ("nobody", "wrong"),
        ("nobody", PASSWORDS["201"]),
        ("201", ""),
        ("", ""),
        ("202", PASSWORDS["201"]),
        ("\u00fc", "\u00fc"),
    ],
)
async def test_h7_a_wrong_user_and_a_wrong_password_look_the_same(
    caller: Caller, username: str, password: str
) -> None:
    """A fresh challenge that says nothing about either."""
    caller.digest = Digest(username=username, password=password)

    response = await caller.call("REGISTER")

    assert not is_stale(response)
    names = [name for name, _ in response.headers]
    assert names == [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "WWW-Authenticate",
        "WWW-Authenticate",
        "Content-Length",
    ]
    assert response.reason == "Unauthorized"


@requirement("H7")
def test_h7_a_wrong_user_takes_the_steps_of_a_wrong_password(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many hashes, so as much time."""
    counts = []
    authenticator = Authenticator("r", clock)
    known = authenticator.hash_password("known", "secret")
    for username in ("known", "unknown"):
        request = signed_request(authenticator, username, "guess")
        hashed: list[str] = []

        def count(text: str, hashed: list[str] = hashed) -> str:
            hashed.append(text)
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        with monkeypatch.context() as patched:
            patched.setitem(digest.HASHES, "MD5", count)
            verdict = authenticator.check(
                request,
                "h",
                {"known": known}.get,  # the look-up of usernames
            )
        assert verdict.outcome is Outcome.WRONG
        counts.append([len(text) for text in hashed])

    assert [len(hashed) for hashed in counts] == [2, 2]


def signed_request(
    authenticator: Authenticator, username: str, password: str, call_id: str = "c"
) -> Request:
    """Return a REGISTER that answers a challenge of an authenticator."""
    plain = (
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
        "From: <sip:u@h>;tag=1\r\nTo: <sip:u@h>\r\nCSeq: 1 REGISTER\r\n"
        f"Call-ID: {call_id}\r\n"
    )
    request = parse(f"{plain}\r\n".encode())
    assert isinstance(request, Request)
    line = authenticator.challenge(request, "h")[0]
    phone = Digest(username=username, password=password)
    phone.challenge = Challenge.parse(line.partition(": ")[2])
    value = phone.authorization("REGISTER", "sip:h")
    signed = parse(f"{plain}Authorization: {value}\r\n\r\n".encode())
    assert isinstance(signed, Request)
    return signed


@requirement("H8")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        "Digest ",
        "Basic MjAxOnJlY2VwdGlvbi0yMDE=",
        "NoOneKnowsThis opaque=x",
        "Digest username",
        'Digest username="201',
        "Digest ,,,,",
        "Digest =",
        'Digest username="201" realm="homeassistant"',
        "Bearer abc",
        'Digest realm="homeassistant"',
        'Digest realm="homeassistant", nc=00000001, qop=auth',
        'Digest realm="homeassistant", response="\u00ff"',
        'Digest realm="homeassistant", username="' + "\\" * 100,
        "Digest " + "a=b," * 2000,
    ],
)
async def test_h8_credentials_that_are_none_are_ignored(
    caller: Caller, value: str
) -> None:
    """401 with a challenge, never 400."""
    response = await caller.ask(
        caller.request("REGISTER", headers={"Authorization": value})
    )

    assert response.status == 401
    assert len(challenges(response)) == 2


@requirement("H9")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("qop=auth", 'qop="auth"'),
        ("qop=auth", "QOP=AUTH"),
        ("nc=00000001", 'nc="00000001"'),
        ("algorithm=MD5", 'algorithm="MD5"'),
        ("algorithm=MD5", "Algorithm=md5"),
        ("Digest ", "DIGEST  "),
        ("Digest ", "Digest\t"),
        ("Digest ", "Digest \t "),
        ("Digest ", "digest , "),
        (", ", ","),
        (", ", " ,\t "),
        ("=", " = "),
        ("username", "UserName"),
        ('"201"', '"2\\01"'),
        ('realm="homeassistant"', 'realm="home\\assistant"'),
        ("uri=", 'opaque="a, \\" b", uri='),
        ("uri=", "extension=x, uri="),
    ],
)
async def test_h9_credentials_in_many_spellings(
    caller: Caller, old: str, new: str
) -> None:
    """Quoted or not, in any case, with white space and escapes."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    value = authorization(data)
    assert old in value
    if old == "=":
        # Not inside of quoted strings.
        new_value = re.sub(r'(\b[a-z]+)=("|[^",]+)', r"\1 = \2", value)
    else:
        new_value = value.replace(old, new)

    assert (await caller.ask(with_authorization(data, new_value))).status == 200


@requirement("H9")
async def test_h9_parameters_in_any_order(caller: Caller) -> None:
    """The username comes last."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    parameters = authorization(data).removeprefix("Digest ").split(", ")

    value = f"Digest {', '.join(reversed(parameters))}"

    assert (await caller.ask(with_authorization(data, value))).status == 200


@requirement("H9")
async def test_h9_a_response_in_upper_case(caller: Caller) -> None:
    """Hexadecimal is hexadecimal."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    value = re.sub(
        r'response="([0-9a-f]+)"',
        lambda found: f'response="{found[1].upper()}"',
        authorization(data),
    )

    assert (await caller.ask(with_authorization(data, value))).status == 200


@requirement("H13")
@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
async def test_h13_ack_and_cancel_are_never_challenged(
    caller: Caller, method: str
) -> None:
    """They could not be sent again with credentials."""
    caller.send(caller.request(method))
    answers = await caller.so_far()

    assert [message.has("WWW-Authenticate") for message in answers] == (
        [] if method == "ACK" else [False]
    )


@requirement("H14")
async def test_h14_a_refresh_needs_credentials(caller: Caller, reception: Line) -> None:
    """401 without them, and the subscription lives on."""
    subscribed = await caller.subscribe()

    unsigned = await caller.ask(subscribed.request(body=light(True)))
    await caller.nothing()
    again = await subscribed.send(body=light(True))

    assert unsigned.status == 401
    assert unsigned.get("To") == subscribed.response.get("To")
    assert again.status == 200
    assert reception.watchers == 1


@requirement("H12")
async def test_h12_no_password_in_the_log(
    caller: Caller, caplog: pytest.LogCaptureFixture, server: SipServer
) -> None:
    """Nor a hash of it, nor the credentials' repr."""
    caplog.set_level(1)
    caller.digest.password = "not-the-secret"
    await caller.call("REGISTER")
    caller.digest.password = PASSWORDS["201"]
    await caller.log_in()
    await caller.subscribe()

    hashes = server.hash_password("201", PASSWORDS["201"])
    secrets = [PASSWORDS["201"], "not-the-secret", *hashes]
    accounts = list(server._accounts)
    shown = caplog.text + repr(accounts) + repr(server.__dict__)
    assert len(hashes) == 2
    assert [secret for secret in secrets if secret in shown] == []


# The RFCs' own examples


def verdict_of(
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    realm: str,
    password: str,
    parameters: str,
) -> Outcome:
    """Judge an example's credentials, its nonce taken for one of ours."""
    authenticator = Authenticator(realm, clock)
    monkeypatch.setattr(authenticator, "_slot_of", lambda *_: authenticator._slot())
    hashes = authenticator.hash_password("Mufasa", password)
    request = Request(
        "GET", "/dir/index.html", {"authorization": f"Digest {parameters}"}, b""
    )
    return authenticator.check(
        request, "h", lambda name: hashes if name == "Mufasa" else None
    ).outcome


RFC_2617 = (
    'username="Mufasa", realm="testrealm@host.com", '
    'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
    'qop=auth, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC_7616 = (
    'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
    'algorithm={}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
    'response="{}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_7616_RESPONSES = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


@requirement("H3")
@pytest.mark.parametrize(
    ("change", "outcome"), [("", Outcome.RIGHT), ("0", Outcome.WRONG)]
)
def test_h3_the_example_of_rfc_2617(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock, change: str, outcome: Outcome
) -> None:
    """Section 3.5: MD5, with a nonce count."""
    parameters = RFC_2617.replace("00000001", f"0000000{change or 1}")

    found = verdict_of(
        monkeypatch, clock, "testrealm@host.com", "Circle Of Life", parameters
    )

    assert found is outcome


@requirement("H3")
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize(
    ("password", "outcome"),
    [("Circle of Life", Outcome.RIGHT), ("Circle Of Life", Outcome.WRONG)],
)
def test_h3_the_examples_of_rfc_7616(
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    algorithm: str,
    password: str,
    outcome: Outcome,
) -> None:
    """Section 3.9.1: MD5 and SHA-256."""
    parameters = RFC_7616.format(algorithm, RFC_7616_RESPONSES[algorithm])

    found = verdict_of(
        monkeypatch, clock, "http-auth@example.org", password, parameters
    )

    assert found is outcome


@requirement("H3")
def test_h3_the_username_with_an_umlaut_of_rfc_7616(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """Usernames and passwords are hashed as UTF-8."""
    realm, nonce, name, password = "r", "n", "J\u00e4s\u00f8n", "S\u00ebcret"
    ha1 = hashlib.md5(f"{name}:{realm}:{password}".encode()).hexdigest()
    ha2 = hashlib.md5(b"GET:/dir/index.html").hexdigest()
    response = hashlib.md5(f"{ha1}:{nonce}:{ha2}".encode()).hexdigest()
    authenticator = Authenticator(realm, clock)
    monkeypatch.setattr(authenticator, "_slot_of", lambda *_: authenticator._slot())
    wire_name = name.encode().decode("latin-1")
    value = (
        f'Digest username="{wire_name}", realm="{realm}", nonce="{nonce}", '
        f'uri="/dir/index.html", response="{response}"'
    )
    hashes = authenticator.hash_password(name, password)
    request = Request("GET", "/dir/index.html", {"authorization": value}, b"")

    verdict = authenticator.check(request, "h", {name: hashes}.get)

    assert verdict.outcome is Outcome.RIGHT
    assert verdict.username == name


# Units


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("Digest a=b", {"a": "b"}),
        ('Digest A="b", c=d', {"a": "b", "c": "d"}),
        ('digest a="b,c", d="e=f"', {"a": "b,c", "d": "e=f"}),
        ('Digest a="x\\"y"', {"a": 'x\\"y'}),
        ('Digest a=""', {"a": ""}),
        ("Digest", {}),
        (" ", None),
        ("Digest\ta=b", {"a": "b"}),
        ("Digest  a = b ,, c = d ,", {"a": "b", "c": "d"}),
        ("Basic a=b", None),
        ("Digests a=b", None),
        ("", None),
        ("Digest a, b=c", {"b": "c"}),
        ('Digest a="b', {}),
        ("Digest a=", {}),
    ],
)
def test_credentials_are_read_as_far_as_they_can_be(
    text: str, parameters: dict[str, str] | None
) -> None:
    """Another scheme is none; what is malformed is missed where it counts."""
    assert parse_digest(text) == parameters


VALUES = [
    ('username="u"', 'username="u, nc=1"', 'username=""', 'username="a\\\\"b"', ""),
    ('realm="r"', 'Realm="r"', "realm=r", ""),
    ('nonce="n"', 'nonce = "n"'),
    ('uri="sip:u@h"', 'uri="sip:u@h;a=b,c"'),
    ('response="00"', 'response=""', 'response="0'),
    ("algorithm=MD5", 'algorithm="md5"', 'algorithm="MD5', ""),
    ("qop=auth", 'qop="auth"', "qop=AUTH", 'qop=""', "qop=auth-int", ""),
    ("nc=0000000a", 'nc="00000001"', "nc=1", ""),
    ('cnonce="c"', 'cnonce="nonce=x"', ""),
    ('opaque="o"', "stale", 'username="again"', ""),
]


@given(
    chosen=st.tuples(*map(st.sampled_from, VALUES)).flatmap(st.permutations),
    between=st.sampled_from([", ", ",", " , ", ", , "]),
)
@example(chosen=[values[0] for values in VALUES], between=", ")
def test_a_plain_answer_is_read_as_any_other(chosen: list[str], between: str) -> None:
    """A parameter that nobody knows, with which it is none, changes nothing."""
    text = f"Digest {between.join(filter(None, chosen))}"

    assert read_answer(text) == read_answer(text.replace(" ", " x=y, ", 1))


@requirement("C6", "H5")
def test_h5_the_memory_of_nonces_is_bounded_by_time(clock: ManualClock) -> None:
    """What is remembered belongs to nonces that may still be used, or a little older."""
    authenticator = Authenticator("r", clock)
    known = authenticator.hash_password("u", "p")
    early = signed_request(authenticator, "u", "p")
    sizes = []
    for _ in range(60):
        clock.advance(30)
        request = signed_request(authenticator, "u", "p")
        verdict = authenticator.check(request, "h", {"u": known}.get)
        assert verdict.outcome is Outcome.RIGHT
        sizes.append(len(authenticator._uses) + len(authenticator._uses_before))

    assert max(sizes) <= 24
    assert authenticator.check(early, "h", {"u": known}.get).outcome is Outcome.STALE


@requirement("C6", "H5")
def test_h5_the_memory_of_nonces_is_bounded_by_number(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a flood nonces of before it are stale, so no count is good twice."""
    monkeypatch.setattr(digest, "MAX_NONCES", 4)
    authenticator = Authenticator("r", clock)
    known = authenticator.hash_password("u", "p")

    def judge(request: Request) -> Outcome:
        return authenticator.check(request, "h", {"u": known}.get).outcome

    first = signed_request(authenticator, "u", "p", "first")
    unused = signed_request(authenticator, "u", "p", "unused")
    outcomes = [judge(first)]
    clock.advance(60)
    outcomes += [
        judge(signed_request(authenticator, "u", "p", f"call {number}"))
        for number in range(12)
    ]

    assert outcomes == [Outcome.RIGHT] * 13
    assert len(authenticator._uses) + len(authenticator._uses_before) <= 8
    assert [judge(first), judge(unused)] == [Outcome.STALE] * 2
