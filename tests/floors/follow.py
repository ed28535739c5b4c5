"""A PBX that synchronizes keys, as the followed lines of tests see it."""

import asyncio

from custom_components.dfks.features.follow import Follower, Follows
from custom_components.dfks.features.model import (
    ChangeOutcome,
    ChangeRequest,
    Feature,
    LineEvent,
    Origin,
)
from tests.phone import RawPeer, Request
from tests.phone.documents import CONTENT_TYPE
from tests.sip.ua.peers import NotifierMixin

NAMESPACE = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
BUSY = Feature.CALL_FORWARDING_BUSY
NO_ANSWER = Feature.CALL_FORWARDING_NO_ANSWER

TYPES = {ALWAYS: "forwardImmediate", BUSY: "forwardBusy", NO_ANSWER: "forwardNoAns"}


def says(
    feature: Feature, on: bool, target: str | None = None, rings: int | None = None
) -> bytes:
    """Write what a PBX says of a feature."""
    state = "true" if on else "false"
    if feature is DND:
        return (
            f'<DoNotDisturbEvent xmlns="{NAMESPACE}"><device>501</device>'
            f"<doNotDisturbOn>{state}</doNotDisturbOn></DoNotDisturbEvent>"
        ).encode()
    more = "" if target is None else f"<forwardTo>{target}</forwardTo>"
    more += "" if rings is None else f"<ringCount>{rings}</ringCount>"
    return (
        f'<ForwardingEvent xmlns="{NAMESPACE}"><device>501</device>'
        f"<forwardingType>{TYPES[feature]}</forwardingType>"
        f"<forwardStatus>{state}</forwardStatus>{more}</ForwardingEvent>"
    ).encode()


def full_state(*documents: bytes) -> tuple[str, bytes]:
    """Write several documents into one body; returns its media type and the body."""
    parts = b"".join(
        b"--b1\r\nContent-Type: %b\r\n\r\n%b\r\n" % (CONTENT_TYPE.encode(), document)
        for document in documents
    )
    return 'multipart/mixed; boundary="b1"', parts + b"--b1--\r\n"


ALL_OFF = full_state(
    says(DND, False), says(ALWAYS, False), says(BUSY, False), says(NO_ANSWER, False)
)


class FeaturePbx(NotifierMixin):
    """Says of features what it is told to."""

    package = RawPeer.package
    media_type = RawPeer.media_type

    def __init__(self, user: str = "pbx") -> None:
        """Use `FeaturePbx.listen`."""
        super().__init__(user)
        self.subscribed: Request | None = None
        self._cseq = 0

    async def tell(
        self, *documents: bytes, state: str = "active;expires=3600", status: int = 200
    ) -> None:
        """Send a NOTIFY with one document, or with several."""
        await self.tell_body(
            *(
                (CONTENT_TYPE, documents[0])
                if len(documents) == 1
                else full_state(*documents)
            ),
            state=state,
            status=status,
        )

    async def tell_body(
        self,
        content_type: str,
        body: bytes,
        *,
        state: str = "active;expires=3600",
        status: int = 200,
    ) -> None:
        """Send a NOTIFY with a body."""
        assert self.subscribed is not None
        self._cseq += 1
        headers = {"Event": "as-feature-event"}
        if body:
            headers["Content-Type"] = content_type
        await self.notify(
            self.subscribed, state, headers, body, cseq=self._cseq, status=status
        )

    async def take_subscribe(self, content_type: str, body: bytes) -> Request:
        """Take the first SUBSCRIBE, and tell the state."""
        self.subscribed = await self.next_request()
        self._cseq = 0
        self.answer_subscribe(self.subscribed, expires="3600")
        await self.tell_body(content_type, body)
        return self.subscribed

    async def asked(self, status: int = 200) -> str:
        """Take a SUBSCRIBE with a body, and answer it; return the body."""
        request = await self.next_request()
        assert request.method == "SUBSCRIBE", request.start_line
        self.answer_subscribe(request, status, expires="3600" if status < 300 else "")
        return request.body.decode()


def is_there(follower: Follower) -> bool:
    """Whether the PBX tells what happens to a line."""
    return follower.line.available


class Watching:
    """Keeps the events of a line."""

    def __init__(self, follower: Follower) -> None:
        """Begin now."""
        self.events: list[LineEvent] = []
        follower.line.subscribe(self.events.append)


def wish(
    feature: Feature = DND,
    status: bool | None = True,
    *,
    origin: Origin = Origin.ENTITY,
    **more: object,
) -> ChangeRequest:
    """Return a change that Home Assistant asks for."""
    return ChangeRequest(feature=feature, status=status, origin=origin, **more)  # type: ignore[arg-type]


def change(follows: Follows, wished: ChangeRequest) -> asyncio.Task[ChangeOutcome]:
    """Ask for a change the way entities do."""
    return asyncio.create_task(follows.sync.change("followed-1", wished))
