"""What names stand for, in the place of a name server."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from custom_components.dfks.sip.transport.resolver import AddressRecord, ServiceRecord


@dataclass
class Zone:
    """Names and what they stand for; those that are missing are not found."""

    services_of: dict[str, list[ServiceRecord]] = field(default_factory=dict)
    addresses_of: dict[str, list[AddressRecord]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def services(self, name: str) -> Sequence[ServiceRecord]:
        """Return SRV records."""
        self.asked.append(name)
        return self.services_of.get(name, [])

    async def addresses(self, name: str) -> Sequence[AddressRecord]:
        """Return A and AAAA records."""
        self.asked.append(name)
        if name not in self.addresses_of:
            raise OSError("No such name")
        return self.addresses_of[name]
