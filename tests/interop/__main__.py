"""Runs all checks, or those whose subject or title holds a word given."""

import asyncio
import sys

from . import (
    asterisk,
    circle,
    claims,
    crash,
    crowd,
    dfks_pbx,
    faults,
    kamailio,
    noise,
    outbound,
    programs,
    treated,
    treated_house,
)
from .checks import perform

CHECKS = (
    *programs.CHECKS,
    *kamailio.CHECKS,
    *asterisk.CHECKS,
    *outbound.CHECKS,
    *dfks_pbx.CHECKS,
    *treated.CHECKS,
    *treated_house.CHECKS,
    *faults.CHECKS,
    *crash.CHECKS,
    *circle.CHECKS,
    *claims.CHECKS,
    *crowd.CHECKS,
    *noise.CHECKS,
)


def main() -> int:
    """Run; returns the exit status."""
    words = [word.lower() for word in sys.argv[1:]]
    chosen = [
        check
        for check in CHECKS
        if not words
        or any(word in f"{check.subject} {check.title}".lower() for word in words)
    ]
    return asyncio.run(perform(chosen))


sys.exit(main())
