"""Digest authentication of the subscriber."""

import re

import pytest

from custom_components.dfks.sip import SipServer, SubscriptionStatus
from tests.clock import ManualClock
from tests.phone.digest import parse_fields
from tests.sip.proxy.peers import request_of

from .challenges import challenge, is_right
from .conftest import Follow
from .peers import Heard, Notifier

requirement = pytest.mark.requirement


@requirement("S2", "S15")
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("qop", [None, '"auth"', '"auth,auth-int"', "auth"])
async def test_s2_a_challenge_is_answered(
    follow: Follow,
    notifier: Notifier,
    heard: Heard,
    algorithm: str,
    qop: str | None,
) -> None:
    """With the algorithm and the qop that the server names, in the same dialog."""
    follow()
    first = await notifier.next_request()
    notifier.answer_subscribe(
        first, 401, www_authenticate=challenge(algorithm=algorithm, qop=qop)
    )

    second = await notifier.next_request()

    assert is_right(second, algorithm=algorithm)
    assert second.get("Call-ID") == first.get("Call-ID")
    assert second.cseq == (2, "SUBSCRIBE")
    assert ("qop" in parse_fields(second.get("Authorization"))) is (qop is not None)


@requirement("S2")
async def test_s2_an_algorithm_that_is_not_named_is_md5(
    follow: Follow, notifier: Notifier
) -> None:
    """RFC 7616 3.3; and the answer names none either."""
    follow()
    await notifier.refuse_subscribe(
        401, www_authenticate=challenge(algorithm=None, qop=None)
    )

    request = await notifier.next_request()

    assert is_right(request)
    assert "algorithm" not in parse_fields(request.get("Authorization"))


@requirement("S2")
async def test_s2_a_proxys_challenge_is_answered(
    follow: Follow, notifier: Notifier
) -> None:
    """407 with Proxy-Authenticate."""
    follow()
    await notifier.refuse_subscribe(407, proxy_authenticate=challenge())

    assert is_right(await notifier.next_request(), header="Proxy-Authorization")


@requirement("S2")
async def test_s2_a_proxy_and_the_server_behind_it_may_both_ask(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """Each gets its own answer, once (RFC 3261 22.3)."""
    follow()
    await notifier.refuse_subscribe(407, proxy_authenticate=challenge(realm="proxy"))
    await notifier.refuse_subscribe(401, www_authenticate=challenge("nonce-2"))
    both = await notifier.next_request()

    assert is_right(both, header="Proxy-Authorization")
    assert is_right(both)
    notifier.answer_subscribe(both, 407, proxy_authenticate=challenge(realm="proxy"))
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.WRONG_PASSWORD]


@requirement("S2")
async def test_s2_the_second_401_is_a_wrong_password(
    follow: Follow, notifier: Notifier, heard: Heard, clock: ManualClock
) -> None:
    """It is not tried again, not in a day: servers block who guesses."""
    follow()
    for nonce in ("nonce-1", "nonce-2"):
        await notifier.refuse_subscribe(401, www_authenticate=challenge(nonce))
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.WRONG_PASSWORD]

    clock.advance(86_400)
    await notifier.silence(0.05)


@requirement("S2")
async def test_s2_a_nonce_is_used_again_with_a_rising_count(
    follow: Follow, notifier: Notifier
) -> None:
    """So that there is no challenge each time."""
    line = follow()
    await notifier.refuse_subscribe(401, www_authenticate=challenge())
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="3600")
    await notifier.notify(request)

    line.subscriber.refresh()
    again = await notifier.next_request()

    assert is_right(again)
    fields = parse_fields(again.get("Authorization"))
    assert (fields["nonce"], fields["nc"]) == ("nonce-1", "00000002")


@requirement("S2")
@pytest.mark.parametrize("stale", [True, False])
async def test_s2_a_nonce_that_is_too_old_is_replaced(
    follow: Follow, notifier: Notifier, heard: Heard, stale: bool
) -> None:
    """Whether the server calls it stale or not: it was good before."""
    line = follow()
    await notifier.refuse_subscribe(401, www_authenticate=challenge())
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="3600")
    await notifier.notify(request)

    line.subscriber.refresh()
    await notifier.refuse_subscribe(
        401, www_authenticate=challenge("nonce-2", stale=stale)
    )
    again = await notifier.next_request()

    assert is_right(again)
    fields = parse_fields(again.get("Authorization"))
    assert (fields["nonce"], fields["nc"]) == ("nonce-2", "00000001")
    assert heard.statuses == [SubscriptionStatus.ACTIVE]


@requirement("S2")
async def test_s2_stale_for_ever_ends(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """A server that calls each nonce stale gets four answers and no more."""
    follow()
    for number in range(5):
        await notifier.refuse_subscribe(
            401, www_authenticate=challenge(f"nonce-{number}", stale=number > 0)
        )
    await notifier.silence(0.05)

    assert heard.statuses == [SubscriptionStatus.WRONG_PASSWORD]


@requirement("S15")
@pytest.mark.parametrize(
    "text",
    [
        'Basic realm="asterisk"',
        challenge(algorithm="SHA-512-256"),
        challenge(algorithm="MD5-sess"),
        challenge(qop='"auth-int"'),
        'Digest realm="asterisk"',
        "",
    ],
    ids=["Basic", "algorithm", "session", "qop", "no nonce", "none"],
)
async def test_s15_a_challenge_that_is_not_understood_is_not_answered(
    follow: Follow, notifier: Notifier, heard: Heard, text: str
) -> None:
    """Never Basic, never anything but a digest."""
    follow()
    await notifier.refuse_subscribe(401, www_authenticate=text)

    await notifier.silence(0.05)

    assert heard.statuses == [SubscriptionStatus.CANNOT_LOG_IN]


@requirement("S15")
async def test_s15_the_first_challenge_that_is_known_is_answered(
    follow: Follow, notifier: Notifier
) -> None:
    """Servers name the one that they prefer first (RFC 8760 2.4)."""
    follow()
    request = await notifier.next_request()
    response = request.response(
        401,
        extra=[
            ("WWW-Authenticate", challenge(algorithm="SHA-512-256")),
            ("WWW-Authenticate", challenge(algorithm="SHA-256")),
            ("WWW-Authenticate", challenge(algorithm="MD5")),
        ],
    )
    notifier.send(response.encode())

    assert is_right(await notifier.next_request(), algorithm="SHA-256")


@requirement("S15")
async def test_s15_the_password_itself_is_never_sent(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """Nor is it in what is printed of the configuration."""
    line = follow()
    first = await notifier.next_raw()
    assert b"secret-501" not in first
    notifier.answer_subscribe(request_of(first), 401, www_authenticate=challenge())

    second = await notifier.next_raw()

    assert b"secret-501" not in second
    assert "secret-501" not in repr(line.config)


@requirement("S15")
async def test_s15_quotes_in_realm_and_nonce_are_escaped_again(
    follow: Follow, notifier: Notifier
) -> None:
    """As they came."""
    follow()
    await notifier.refuse_subscribe(
        401, www_authenticate=challenge(realm=r"a \"b\" c", nonce=r"n\"1")
    )

    value = (await notifier.next_request()).get("Authorization")

    assert re.search(r'realm="a \\"b\\" c", nonce="n\\"1"', value)
