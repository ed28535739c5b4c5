"""The SIP listener of a config entry: builds the floors below and owns them.

The config entry is the listener, each of its subentries a phone line or a PBX. They
come and go without a reload, because a reload closes the connections of every phone on
TCP and TLS: `async_update_lines` compares the lines and PBXs that run with the
subentries and mends the difference. Only a change of the listener's own settings asks for a reload. The phones'
dialogs go on after it, as they do after a restart.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
import logging
from typing import Final

from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigSubentry
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady
from homeassistant.helpers import entity_registry as er, issue_registry as ir

from .changes import Authors
from .claim_timer import ClaimTimer
from .const import (
    CALL_KEY,
    DOMAIN,
    FEATURE_KEYS,
    LIMITS_HELP_URL,
    PHONE_KEYS,
    LineOption,
)
from .devices import LineDevices, find_device, rename_device
from .features.model import (
    ClaimsChanged,
    ConnectionChanged,
    Feature,
    FeatureChanged,
    Line,
    LineConfig,
    LineEvent,
    LineMemory,
)
from .features.sync import FeatureSync
from .followed.manager import FollowedLines
from .pbx.manager import PbxManager
from .pbx.resolver import DnsResolver
from .pbx.treatment import TreatedLines
from .phones.blocked import BlockedSources
from .phones.calls import CallMonitor
from .phones.monitor import LineContact, PhoneMonitor
from .phones.passed import PassedPhones
from .phones.unknown import UnknownPhones
from .phones.unknown_issues import UnknownPhoneIssues
from .scripting.call_script import CallScript
from .scripting.script_hooks import ScriptHooks
from .settings import (
    bind_problem,
    bind_reason,
    followed_subentries,
    line_config,
    line_subentries,
    line_unique_id,
    server_config,
)
from .sip import LoopClock, SipServer, Trace, probe, probe_tls, split_hosts
from .storage.dialogs import PhoneStore
from .storage.states import StateStore
from .texts import common_text
from .tls import CertificateKeeper, tls_files

_LOGGER = logging.getLogger(__name__)

type DfksConfigEntry = ConfigEntry[DfksListener]

# Lines that are not served: the issue and its text.
ISSUE_TOO_MANY_LINES: Final = "too_many_lines"

# A feature or an option of a line; None stands for what belongs to the line as a whole.
type LinePart = Feature | LineOption | None
type LineParts = Container[LinePart]

# Adds a platform's entities of a line, those for the parts named.
type AddLineEntities = Callable[[Line, LineParts], None]


@contextmanager
def _not_ready(host: str, port: int) -> Iterator[None]:
    """Turn a failed bind into ConfigEntryNotReady, which says what is not free."""
    try:
        yield
    except OSError as err:
        raise ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key=bind_problem(err),
            translation_placeholders={
                "host": host,
                "port": str(port),
                "reason": bind_reason(err),
            },
        ) from err


def running_listener(entry: DfksConfigEntry) -> DfksListener | None:
    """Return the listener of an entry, None while the entry is not loaded."""
    return entry.runtime_data if entry.state is ConfigEntryState.LOADED else None


class DfksListener:
    """Runtime data of the config entry: the SIP server, its lines and their store."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: DfksConfigEntry,
        lines_without_room: Callable[[], Collection[ConfigSubentry]],
    ) -> None:
        """Build the floors below; nothing is read or opened yet.

        `lines_without_room` returns the lines that are not to be served, because Home
        Assistant would not take their entities.
        """
        self._hass = hass
        self._entry = entry
        self._lines_without_room = lines_without_room
        self.config = server_config(entry)
        clock = LoopClock(hass.loop)
        self.server = SipServer(self.config, clock)
        self.sync = FeatureSync(self.server, Context)
        self._authors = Authors(hass, self.device_id, self.line_name)
        self._claim_timer = ClaimTimer(hass, entry, self.sync)
        self.trace = Trace(clock)
        self.passed_phones = PassedPhones(clock)
        self._unknown_issues = UnknownPhoneIssues(
            hass, partial(common_text, hass, "unnamed_phone")
        )
        unknown_phones = UnknownPhones(
            self._unknown_issues.handle_noted, self._unknown_issues.handle_known
        )
        self.monitor = PhoneMonitor(
            self.server, self.sync.lines, self.passed_phones, unknown_phones, clock
        )
        self.calls = CallMonitor(
            hass,
            self.server,
            self.sync.lines,
            clock,
            self.config.allowed_networks,
            self.device_id,
            self.line_name,
        )
        self.devices = LineDevices(
            hass, entry, self.monitor, self.config.trusted_proxies
        )
        self.pbxs = PbxManager(
            hass,
            entry,
            self.server,
            self.monitor,
            self.passed_phones,
            self.calls,
            clock,
        )
        self.followed = FollowedLines(hass, entry, self.server, self.sync, self.monitor)
        self.hooks = ScriptHooks(
            hass, entry, self.sync.queue, self.device_id, self.line_name
        )
        self._treated = TreatedLines(
            self.server,
            self.sync.lines,
            CallScript(hass, entry, self.device_id),
            self._schedule_save,
        )
        self._resolver = DnsResolver()
        self._store = StateStore(hass, entry.entry_id)
        self._phones = PhoneStore(hass, entry.entry_id)
        self._blocked_sources = BlockedSources(hass, self._name_of_user)
        self._tls_files = tls_files(hass, entry.data)
        self._certificate = (
            CertificateKeeper(hass, entry, self._tls_files) if self._tls_files else None
        )
        self._platforms: list[AddLineEntities] = []

    def _wire(self) -> None:
        """Connect who tells something with who wants to know it."""
        self.server.add_package(self.sync)
        self.server.use_resolver(self._resolver)
        self.sync.hooks = self.hooks
        self.server.trace(self.trace)
        self.server.observe(self.monitor)
        self.server.observe_blocks(
            self._blocked_sources.handle_blocked, self._blocked_sources.handle_unblocked
        )
        self.sync.subscribe(self.monitor.handle_line_event)
        self.sync.subscribe(self._authors.handle_event)
        self.sync.subscribe(self._claim_timer.handle_event)
        self.sync.subscribe(self._treated.handle_line_event)
        self.sync.subscribe(self._handle_line_event)

    @property
    def is_outdated(self) -> bool:
        """Whether the entry's settings ask for a new listener."""
        return (
            server_config(self._entry) != self.config
            or tls_files(self._hass, self._entry.data) != self._tls_files
        )

    async def async_start(self) -> None:
        """Restore the lines, then listen and go on with the phones' dialogs.

        In this order, so that the first phone is already told the state that it had
        before a restart, or has now that a claim is over. Raises ConfigEntryNotReady
        where an address is not free.
        """
        stored = await self._store.async_load()
        subentries = self._subentries()
        for line_id, subentry in subentries.items():
            memory = stored.get(line_id)
            self.sync.add_line(
                line_config(subentry),
                memory and memory.states,
                memory and memory.claims,
            )
        await self.followed.async_start(stored)
        self.calls.async_update({**subentries, **followed_subentries(self._entry)})
        self._treated.async_restore(stored)
        self._treated.async_update(subentries)
        self._remove_unassigned_entities()
        if self._claim_timer.async_start() or stored.keys() - self.sync.lines.keys():
            self._schedule_save()
        self._wire()
        self.hooks.async_start()
        try:
            await self._async_listen()
        except ConfigEntryNotReady:
            await self.async_stop()
            raise
        for line in self.sync.lines.values():
            self._show(line)

    async def _async_listen(self) -> None:
        """Open the sockets. Raises ConfigEntryNotReady."""
        tls = await self._certificate.async_start() if self._certificate else None
        host, port = self.config.host, self.config.port
        # Each by itself, to name the one that is not free. What is remembered is not
        # touched as long as it cannot be of use.
        for one in split_hosts(host):
            with _not_ready(one, port):
                await probe(one, port)
            if tls is not None:
                with _not_ready(one, self.config.tls_port):
                    await probe_tls(one, self.config.tls_port)
        memory, grace = await self._phones.async_load()
        await self._phones.async_begin(memory)
        passed = await self.pbxs.async_start()
        self.server.on_change = self._phones.async_changed
        with _not_ready(host, port):
            await self.server.start(tls, memory, grace=grace, passed=passed)
        self._phones.async_follow(self.server.records)
        self.pbxs.async_follow()
        _LOGGER.debug("Listening on %s port %s", host, self.server.port)

    async def async_stop(self, _event: object = None) -> None:
        """Close the sockets, and write what is not written yet.

        Phones are told nothing: the next run goes on with their dialogs.
        """
        self.hooks.async_stop()
        self.calls.async_stop()
        self._treated.async_stop()
        self._claim_timer.async_stop()
        self._blocked_sources.async_stop()
        self._unknown_issues.async_stop()
        if self._certificate is not None:
            self._certificate.async_stop()
        await self.sync.stop()
        await self.followed.async_stop()
        # No phone must be able to come in between these.
        await self._phones.async_finish()
        await self.pbxs.async_stop()
        await self._resolver.async_close()
        await self.server.stop()
        self.monitor.stop()
        await self._store.async_flush()

    @callback
    def async_announce(self) -> None:
        """Tell entities and automations which claims have ended before the start."""
        self._claim_timer.async_announce()

    @callback
    def async_add_platform(self, add_entities: AddLineEntities) -> None:
        """Add a platform's entities of all lines, and of those that come later."""
        self._platforms.append(add_entities)
        for line in self.sync.lines.values():
            add_entities(line, self._parts(line))

    @callback
    def async_update_lines(self) -> None:
        """Make lines and PBXs equal to the entry's subentries, without a reload."""
        self.pbxs.async_update()
        subentries = self._subentries()
        before = {line: self._parts(line) for line in self.sync.lines.values()}
        self.calls.async_update({**subentries, **followed_subentries(self._entry)})
        ours = self.sync.lines.keys() - set(self.followed.line_ids)
        for line_id in ours - subentries.keys():
            # Home Assistant removes the device and the entities itself.
            self.monitor.forget(line_id)
            self.sync.remove_line(line_id)
            self._schedule_save()
        for line_id, subentry in subentries.items():
            if (line := self.sync.lines.get(line_id)) is None:
                self._add_line(line_config(subentry))
            else:
                self._update_line(line, subentry)
        self._treated.async_update(subentries)
        for line in self.followed.async_update(self._forget_followed):
            self._show(line)
            self._add_entities(line, self._parts(line))
        self._update_entities(before)

    def _forget_followed(self, line_id: str) -> None:
        self.monitor.forget(line_id)
        self._schedule_save()

    def _update_entities(self, before: Mapping[Line, set[LinePart]]) -> None:
        """Add and forget entities of lines that had those for these parts until now."""
        changes = [
            (line, self._parts(line), parts)
            for line, parts in before.items()
            if self.sync.lines.get(line.id) is line
        ]
        if any(parts - now for _, now, parts in changes):
            self._remove_unassigned_entities()
        for line, now, parts in changes:
            if new := now - parts:
                self._add_entities(line, new)

    def _subentries(self) -> dict[str, ConfigSubentry]:
        """Return the lines that are to be served, and tell which are left out."""
        subentries = line_subentries(self._entry)
        left_out = [
            subentry
            for subentry in self._lines_without_room()
            if subentry.subentry_id not in self.sync.lines
        ]
        if not left_out:
            ir.async_delete_issue(self._hass, DOMAIN, ISSUE_TOO_MANY_LINES)
            return subentries
        for subentry in left_out:
            del subentries[subentry.subentry_id]
        names = ", ".join(subentry.title for subentry in left_out)
        _LOGGER.warning(
            "No room for the entities of %s more lines, which are not served: %s",
            len(left_out),
            names,
        )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            ISSUE_TOO_MANY_LINES,
            is_fixable=False,
            learn_more_url=LIMITS_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_TOO_MANY_LINES,
            translation_placeholders={"lines": names},
        )
        return subentries

    def _add_line(self, config: LineConfig) -> None:
        line = self.sync.add_line(config)
        self.monitor.line_added(line)
        self._show(line)
        self._add_entities(line, self._parts(line))

    def _show(self, line: Line) -> None:
        """Have the device of a line, and keep it as its phone is."""
        self.devices.async_make_in_area(line)
        self.devices.async_follow(line)

    def _update_line(self, line: Line, subentry: ConfigSubentry) -> None:
        rename_device(self._hass, self._entry, subentry)
        if self.sync.update_line(line_config(subentry)):
            self.monitor.line_added(line)

    def _parts(self, line: Line) -> set[LinePart]:
        """Return all that a line has entities for."""
        parts: set[LinePart] = {None, *line.assigned}
        if line.served:
            parts.add(LineOption.PHONES)
        if line.id in self.calls.line_ids:
            parts.add(LineOption.CALLS)
        return parts

    def contact(self, line: Line) -> LineContact:
        """Return what is seen of the line's phone, or of its PBX where that tells."""
        return self.followed.contact(line) or self.monitor.phone(line)

    def _add_entities(self, line: Line, parts: LineParts) -> None:
        for add_entities in self._platforms:
            add_entities(line, parts)

    def device_id(self, line: Line) -> str | None:
        """Return the id of a line's device, None before it has one."""
        device = find_device(self._hass, self._entry, line.id)
        return device.id if device is not None else None

    def line_name(self, line: Line) -> str:
        """Return what the user calls a line."""
        device = find_device(self._hass, self._entry, line.id)
        name = device and (device.name_by_user or device.name)
        return name or line.user

    def _name_of_user(self, username: str) -> str | None:
        """Return what the user calls the line of a user name, None where it is none."""
        account = self.server.claimed_account(username, None)
        line = None if account is None else self.sync.lines.get(account.id)
        return None if line is None else self.line_name(line)

    def _remove_unassigned_entities(self) -> None:
        """Forget the entities of what their lines no longer have."""
        registry = er.async_get(self._hass)
        for entity in er.async_entries_for_config_entry(registry, self._entry.entry_id):
            line = self.sync.lines.get(entity.config_subentry_id or "")
            if line is None:
                continue
            key = entity.unique_id.removeprefix(
                f"{line_unique_id(self._entry, line.id)}_"
            )
            if (
                (key == CALL_KEY and line.id not in self.calls.line_ids)
                or (key in PHONE_KEYS and not line.served)
                or any(
                    key.startswith(gone)
                    for feature, gone in FEATURE_KEYS.items()
                    if feature not in line.assigned
                )
            ):
                registry.async_remove(entity.entity_id)

    @callback
    def _handle_line_event(self, event: LineEvent) -> None:
        if isinstance(event, FeatureChanged | ClaimsChanged):
            self._schedule_save()
        elif isinstance(event, ConnectionChanged):
            what = "there" if event.connected else "gone"
            _LOGGER.info("The phone of %s is %s", self.line_name(event.line), what)

    def _schedule_save(self) -> None:
        self._store.async_schedule_save(self._states)

    def _states(self) -> dict[str, LineMemory]:
        return {
            line_id: line.memory()._replace(
                emergency_at=self._treated.emergency_at(line_id)
            )
            for line_id, line in self.sync.lines.items()
        }
