"""A peer of a line with feature keys, and what NOTIFYs say to it."""

from tests.phone import Lamp, RawPeer, Request
from tests.phone.checks import parse_documents
from tests.sip.caller import Caller


class FeatureCaller(Caller):
    """A caller that subscribes to as-feature-event."""

    package = RawPeer.package
    media_type = RawPeer.media_type


def lamps(notify: Request) -> dict[str, Lamp]:
    """Return what a NOTIFY says, by feature; it must be without a flaw."""
    documents, violations = parse_documents(notify)
    assert not violations + notify.violations
    return {doc.feature: doc.lamp for doc in documents if doc.feature and doc.lamp}
