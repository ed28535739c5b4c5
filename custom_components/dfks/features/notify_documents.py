"""What NOTIFYs say: documents of some features or of all, as each phone takes them."""

from collections.abc import Iterable

from ..sip import FULL, NOTHING, Clock, Notification, Subscription, Topics
from .documents import CONTENT_TYPE, MULTIPART, event_document, multipart
from .model import Line, NotifyStyle, shared_states
from .styles import SeparatePhones

# Reasons (RFC 6665 4.1.3) that come with no state: the line is no more.
_WITHOUT_STATE = frozenset({"noresource", "deactivated"})


class NotifyDocuments:
    """Writes the bodies of NOTIFYs, and learns which phones take no multipart."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing written and nothing learned."""
        # The body written last, and for what: a fan-out needs it many times over.
        self._written: tuple[Line, Topics, NotifyStyle, Notification] | None = None
        self._separate = SeparatePhones(clock)

    def forget(self) -> None:
        """Write anew from now on: a state has changed."""
        self._written = None

    def render(
        self, line: Line, subscription: Subscription, topics: Topics
    ) -> Notification:
        """Write the documents of some features, or of all that are assigned."""
        if subscription.ending in _WITHOUT_STATE:
            return Notification("", b"")
        style = self._style_of(line, subscription)
        if self._written is not None:
            written_line, written_topics, written_style, notification = self._written
            if (
                written_line is line
                and written_topics == topics
                and written_style is style
            ):
                return notification
        notification = self._write(line, topics, style)
        self._written = (line, topics, style, notification)
        return notification

    def _style_of(self, line: Line, subscription: Subscription) -> NotifyStyle:
        """Return how the phone of a subscription is told several features at once."""
        if subscription in self._separate:
            return NotifyStyle.SEPARATE
        return line.style

    def style_in_use(
        self, line: Line, subscriptions: Iterable[Subscription]
    ) -> NotifyStyle:
        """Return the style of a line, separate where one of its phones needs that."""
        if any(phone in self._separate for phone in subscriptions):
            return NotifyStyle.SEPARATE
        return line.style

    @staticmethod
    def _write(line: Line, topics: Topics, style: NotifyStyle) -> Notification:
        features = line.assigned
        if FULL not in topics:
            features = tuple(feature for feature in features if feature in topics)
        elif line.hidden:
            features = tuple(
                feature for feature in features if feature not in line.hidden
            )
        left = NOTHING
        if style is NotifyStyle.SEPARATE and len(features) > 1:
            left = frozenset(features[1:])
            features = features[:1]
        device = line.user
        if not features:
            return Notification("", b"")
        states = shared_states(line.states_of(features))
        if len(features) == 1:
            document = event_document(features[0], line.state(features[0]), device)
            return Notification(CONTENT_TYPE, document, left, states)
        return Notification(MULTIPART, multipart(states, device), values=states)

    def unreadable(self, subscription: Subscription, *, silence: bool) -> bool:
        """Send one NOTIFY per feature from now on to a phone that takes no multipart."""
        if subscription.told_as != MULTIPART:
            return False
        self._separate.add(subscription, silence=silence)
        return True

    def try_multipart(self, subscription: Subscription) -> None:
        """Forget what was learned of a phone: its line's settings are new."""
        self._separate.forget(subscription)

    def unreachable(self, subscription: Subscription) -> None:
        """Try multipart again on a phone that does not answer single features either."""
        self._separate.forget_silence(subscription)
