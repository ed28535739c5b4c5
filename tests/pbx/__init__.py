"""A small PBX for the other side of Home Assistant: a registrar that connects calls.

    async with SimulatedPbx({"201": "one", "202": "two"}) as pbx:
        phone = Phone("201", "one", pbx.address, domain=pbx.domain)

It asks for passwords, remembers Contacts as they come, and calls a number at all of
them. Each call has two dialogs, as at most PBXs. It speaks UDP, sends nothing again and
knows nothing of Home Assistant.
"""

from .keys import KeyPbx, KeyState
from .pbx import SimulatedPbx

__all__ = ["KeyPbx", "KeyState", "SimulatedPbx"]
