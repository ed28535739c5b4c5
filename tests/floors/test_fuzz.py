"""Whatever comes in of as-feature-event: nothing unforeseen is raised."""

from hypothesis import given, settings, strategies as st

from tests.clock import ManualClock
from tests.phone import set_dnd, set_forwarding
from tests.sip.test_fuzz import errors_after_damage, requests

from .caller import FeatureCaller
from .wire import build

WHOLE = requests(
    FeatureCaller.package,
    (b"", set_dnd(True), set_forwarding("busy", True, "24")),
)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_datagram_is_an_unexpected_error(data: st.DataObject) -> None:
    """Whole requests with damage here and there, one after another at one server."""
    server, sync = build(ManualClock())

    assert errors_after_damage(server, WHOLE, data) == []
    assert set(sync.lines) == {"line-201", "line-202"}
