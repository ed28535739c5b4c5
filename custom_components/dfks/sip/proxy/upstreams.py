"""The PBXs that are configured: which one a message is from, and which one it names."""

from ..transport.flow import Flow
from ..wire.headers import Uri
from .location import Location, ProxyBinding
from .pbx import Upstream
from .site import Site


class Upstreams(dict[str, Upstream]):
    """The ways to the PBXs, by the ids of these."""

    def __init__(self, location: Location, site: Site) -> None:
        """Start without any; flows that phones have proven stand in `location`."""
        super().__init__()
        self._location = location
        self._site = site

    def of_flow(self, flow: Flow) -> Upstream | None:
        """Return the PBX that a flow is of, None for a phone's.

        A phone may run on the PBX's machine: a connection from there is the phone's
        once it has registered.
        """
        for upstream in self.values():
            if upstream.is_source(flow):
                if not flow.reliable or upstream.is_link(flow):
                    return upstream
                return None if self._location.proven(flow) else upstream
        return None

    def of_uri(self, target: Uri, flow: Flow) -> Upstream | None:
        """Return the PBX that a Request-URI names, seen from a flow."""
        if not target.is_sip or self._site.is_own(target.host, target.port, flow):
            return None
        for upstream in self.values():
            if upstream.serves(target.host, target.port):
                return upstream
        return None

    def binding_of(self, flow: Flow, user: str) -> ProxyBinding | None:
        """Return for which binding a user speaks by where the request is from."""
        return self._location.speaker(flow, None, user) or self.seen_from(flow, user)

    def seen_from(
        self, flow: Flow, user: str, only: str | None = None
    ) -> ProxyBinding | None:
        """Return the binding of a user from an address, at a PBX that challenges.

        `only` is the one PBX that is asked for.
        """
        host = flow.remote[0]
        for pbx, upstream in self.items():
            if upstream.config.challenges and only in (None, pbx):
                for binding in self._location.of_line(pbx, user):
                    if binding.flow.remote[0] == host:
                        return binding
        return None
