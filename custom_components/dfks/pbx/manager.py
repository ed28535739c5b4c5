"""Passes messages between phones and the PBXs that are configured, as they come and go.

Each PBX is a subentry of the listener's entry. What is learned from what is passed ends
up here: which phones a PBX has accepted, whether it answers, and whether something at
it is not as it should be.
"""

from collections.abc import Callable, Iterator

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import HomeAssistant, callback

from ..const import CONF_ADD_LINES, CONF_TRANSPORT
from ..devices import rename_device
from ..features.publisher import Publisher
from ..phones.calls import CallMonitor
from ..phones.identifiers import is_user
from ..phones.monitor import PhoneMonitor
from ..phones.passed import PassedPhones
from ..phones.unknown import MAX_USER
from ..settings import line_subentries, pbx_config, pbx_subentries, stored_unique_id
from ..sip import Clock, PbxConfig, ProxyBinding, ProxyBindingRecord, SipServer
from ..storage.bindings import BindingStore
from .certificates import async_prepare_tls, tls_of
from .issues import PbxIssues
from .lines import line_data, new_line

# Adds the entities of a PBX.
type AddPbxEntities = Callable[[Pbx], None]


class Pbx(Publisher[[]]):
    """What is seen of one PBX. It tells its listeners when that changes."""

    def __init__(self, config: PbxConfig) -> None:
        """Know nothing of it yet."""
        super().__init__()
        self.config = config
        self.reachable: bool | None = None
        """Whether it answers; None before a phone has tried."""

    @property
    def id(self) -> str:
        """The id of its subentry."""
        return self.config.id

    def note_reachable(self, *, reachable: bool) -> None:
        """Take note of whether it answers."""
        if reachable is not self.reachable:
            self.reachable = reachable
            self.publish()


class PbxManager:
    """The PBXs of a listener, and what its server learns from what it passes."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        server: SipServer,
        monitor: PhoneMonitor,
        phones: PassedPhones,
        calls: CallMonitor,
        clock: Clock,
    ) -> None:
        """Pass nothing yet.

        `phones` is kept up to date, `monitor` is told of those that have a line, and
        `calls` of those that are gone.
        """
        self._hass = hass
        self._entry = entry
        self._server = server
        self._monitor = monitor
        self._store = BindingStore(hass, entry.entry_id)
        self._phones = phones
        self._calls = calls
        self.issues = PbxIssues(hass, entry, clock)
        self._secret = b""
        self._recalling = False
        self._platforms: list[AddPbxEntities] = []
        self.pbxs: dict[str, Pbx] = {}

    # Life

    async def async_start(self) -> list[ProxyBindingRecord]:
        """Configure the PBXs, and return what is remembered of phones at them."""
        subentries = pbx_subentries(self._entry)
        if not subentries:
            # The last one may have been removed while the entry was not loaded.
            await self._store.async_remove()
            return []
        memory = await self._store.async_load()
        self._secret = memory.secret
        await async_prepare_tls(
            self._hass, (pbx.data[CONF_TRANSPORT] for pbx in subentries.values())
        )
        for subentry in subentries.values():
            self._add(subentry)
        return [record for record in memory.bindings if record["pbx"] in self.pbxs]

    @callback
    def async_follow(self) -> None:
        """Hear of what is learned from now on; the sockets are open."""
        if self.pbxs:
            self._follow_store()
        self._recalling = True
        self._server.observe_proxy(self)
        self._recalling = False
        self.issues.async_look()

    def _follow_store(self) -> None:
        self._store.async_follow(self._server.proxy_records)
        self._store.async_changed(urgent=True)

    async def async_stop(self) -> None:
        """Write what is not written yet."""
        self.issues.async_stop()
        await self._store.async_finish()

    @callback
    def async_add_platform(self, add_entities: AddPbxEntities) -> None:
        """Add the entities of all PBXs, and of those that come later."""
        self._platforms.append(add_entities)
        for pbx in self.pbxs.values():
            add_entities(pbx)

    # PBXs

    @callback
    def async_update(self) -> None:
        """Make the PBXs equal to the entry's subentries, without a reload."""
        subentries = pbx_subentries(self._entry)
        for pbx_id in self.pbxs.keys() - subentries.keys():
            self._remove(pbx_id)
        for pbx_id, subentry in subentries.items():
            if (pbx := self.pbxs.get(pbx_id)) is None:
                self._add_first_or_another(subentry)
            else:
                self._update(pbx, subentry)
            self._add_lines(pbx_id)
        self.issues.async_look()

    def _add_first_or_another(self, subentry: ConfigSubentry) -> None:
        if not self.pbxs:
            self._secret = self._store.async_renew()
        pbx = self._add(subentry, is_new=True)
        self._follow_store()
        for add_entities in self._platforms:
            add_entities(pbx)

    def _add(self, subentry: ConfigSubentry, *, is_new: bool = False) -> Pbx:
        pbx = Pbx(pbx_config(subentry))
        self._configure(pbx.config, is_new=is_new)
        self.pbxs[pbx.id] = pbx
        return pbx

    def _configure(self, config: PbxConfig, *, is_new: bool = False) -> None:
        """Have a PBX passed to; a new one is asked who synchronizes the keys."""
        upstream = self._server.add_pbx(config, self._secret, tls_of(config.transport))
        if is_new and config.keys_here:
            # Where it does so itself, `synchronizes_keys` is told.
            upstream.ask_about_keys(lambda _: None)

    def _update(self, pbx: Pbx, subentry: ConfigSubentry) -> None:
        rename_device(self._hass, self._entry, subentry)
        config = pbx_config(subentry)
        if config == pbx.config:
            return
        # In the place of the one before: the phones' bindings stay.
        is_moved = _address(config) != _address(pbx.config)
        self._configure(config, is_new=is_moved)
        self.issues.forget(pbx.id)
        pbx.config = config
        if is_moved and pbx.reachable is not None:
            pbx.reachable = None
            pbx.publish()
        for binding in self._phones.at(pbx.id):
            self._monitor.look_at_pbx(binding)

    def _remove(self, pbx_id: str) -> None:
        """Forget a PBX; Home Assistant removes its device and entities itself."""
        del self.pbxs[pbx_id]
        self._server.remove_pbx(pbx_id)
        self.issues.forget(pbx_id)
        for binding in self._phones.at(pbx_id):
            self._phones.remove(binding)
            self._monitor.look_at_pbx(binding)
        if self.pbxs:
            self._store.async_changed(urgent=True)
        else:
            self._entry.async_create_background_task(
                self._hass, self._store.async_remove(), "dfks remove bindings"
            )

    # Lines

    def phones_without_line(self) -> Iterator[ProxyBinding]:
        """Yield the phones that a PBX has accepted and whose lines are not added.

        The newest first, and one of each line.
        """
        seen = set()
        for binding in self._phones:
            line = binding.pbx, binding.user
            if line not in seen and self._is_new(binding):
                seen.add(line)
                yield binding

    def _is_new(self, binding: ProxyBinding) -> bool:
        """Whether a binding is of a line that can be added."""
        pbx = self.pbxs.get(binding.pbx)
        if (
            pbx is None
            or not pbx.config.keys_here
            or len(binding.user) > MAX_USER
            or not is_user(binding.user)
            or self._server.account_at_pbx(binding.pbx, binding.user) is not None
        ):
            return False
        # A line that is not served is there all the same.
        unique_id = stored_unique_id(line_data(binding))
        lines = line_subentries(self._entry).values()
        return all(subentry.unique_id != unique_id for subentry in lines)

    def _add_lines(self, pbx_id: str) -> None:
        """Add the lines of phones that are there, where the PBX is set to that."""
        for binding in self._phones.at(pbx_id):
            self._add_line_of(binding)

    def _add_line_of(self, binding: ProxyBinding) -> None:
        subentry = self._entry.subentries.get(binding.pbx)
        if subentry is not None and subentry.data[CONF_ADD_LINES]:
            # Not in the midst of a message that is being passed.
            self._hass.loop.call_soon(self._add_line, binding)

    def _add_line(self, binding: ProxyBinding) -> None:
        if self._is_new(binding):
            self._hass.config_entries.async_add_subentry(self._entry, new_line(binding))

    # Told by the SIP floor

    def registered(self, binding: ProxyBinding) -> None:
        """Take a binding that a PBX has accepted, or accepted again."""
        before = self._phones.add(binding)
        self._monitor.registered(binding)
        self.issues.registered(binding)
        self._add_line_of(binding)
        if self._recalling:
            return
        is_new = (
            before is None
            or before.contact != binding.contact
            or before.flow.remote != binding.flow.remote
        )
        self._store.async_changed(urgent=is_new)
        if (pbx := self.pbxs.get(binding.pbx)) is not None:
            pbx.note_reachable(reachable=True)

    def unregistered(self, binding: ProxyBinding) -> None:
        """Take a binding that its phone has ended, or has not refreshed in time."""
        if self._phones.remove(binding):
            self._calls.unregistered(binding)
            self._monitor.look_at_pbx(binding)
            self._store.async_changed(urgent=True)
            self.issues.unregistered(binding)

    def password_refused(self, pbx: str, user: str, source: str) -> None:
        """Hear of a phone whose REGISTERs are answered here from now on."""
        self.issues.password_refused(pbx, user, source)

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Hear of a PBX that stops answering, or answers again."""
        if (known := self.pbxs.get(pbx)) is not None:
            known.note_reachable(reachable=reachable)
            self.issues.reachable_changed(pbx, reachable=reachable)

    def synchronizes_keys(self, pbx: str) -> None:
        """Hear of a PBX that turns out to synchronize the keys itself."""
        self.issues.synchronizes_keys(pbx)

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Hear of a PBX that is not connected to because of its certificate."""
        self.issues.certificate_refused(pbx, reason, fingerprint)

    def reached(self, binding: ProxyBinding) -> None:
        """Hear of a request of a PBX that is passed to a phone."""
        self.issues.reached(binding)

    def domain_seen(self, host: str) -> None:
        """Hear of a host that a phone registers at; the form asks the server for them."""


def _address(config: PbxConfig) -> tuple[str, int | None, str]:
    return config.host, config.port, config.transport
