"""The size of what there are thousands of."""

import pytest

from custom_components.dfks.features.model import Line
from custom_components.dfks.sip import Subscription
from custom_components.dfks.sip.transaction.client import ClientTransaction
from custom_components.dfks.sip.transport.stream import StreamFlow
from custom_components.dfks.sip.transport.udp import UdpFlow
from custom_components.dfks.sip.ua.dialog import Dialog


@pytest.mark.parametrize(
    "kind", [ClientTransaction, Dialog, Line, StreamFlow, Subscription, UdpFlow]
)
def test_has_room_for_its_slots_alone(kind: type) -> None:
    """One base without slots is enough for a `__dict__` in each of them."""
    assert not kind.__dictoffset__
