"""What scripts/interop tries."""

import pytest

from . import outbound


@pytest.mark.requirement("P111")
def test_real_phones_are_tried_with_each_kind_of_endpoint() -> None:
    """On UDP and TCP, by scripts/interop."""
    titles = {check.title for check in outbound.CHECKS}
    wanted = {
        f"Asterisk {name}, pjsip over {transport}"
        for name in outbound.NAMES.values()
        for transport in ("UDP", "TCP")
    }
    assert len(wanted) == 8
    assert wanted <= titles
