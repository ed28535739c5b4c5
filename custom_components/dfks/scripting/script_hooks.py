"""The two scripts: scripts of Home Assistant in the place of OpenSIPS' routes.

The set script is asked about every change before it is stored, the get script about
each feature when a phone asks for the full state. Which scripts these are is looked up
at each call, because scripts come, go and are renamed while Home Assistant runs.

A set script that does not work refuses all but what turns a feature off: a veto must
not fail open. So an empty answer counts as consent only where the script has really run
to its end.
"""

import asyncio
from collections.abc import Callable, Mapping
import logging
from typing import Any, Final, NamedTuple, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_RESTORED, EVENT_SERVICE_REGISTERED
from homeassistant.core import (
    CALLBACK_TYPE,
    Context,
    CoreState,
    Event,
    HassJob,
    HomeAssistant,
    callback,
)
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.trace import script_execution_get, trace_get
from homeassistant.setup import async_wait_component
from homeassistant.util import dt as dt_util

from ..const import (
    CONF_GET_SCRIPT,
    CONF_SET_SCRIPT,
    DEFAULT_GET_SCRIPT,
    DEFAULT_SET_SCRIPT,
    DOMAIN,
    SCRIPT_DOMAIN,
    SCRIPT_HELP_URL,
)
from ..features.hooks import HookError, HookQueue, Hooks, Ruling
from ..features.model import (
    ChangeRefused,
    ChangeRequest,
    Feature,
    FeatureState,
    Line,
    Origin,
    Refusal,
)
from .variables import (
    FIELD_FORWARD_TO,
    FIELD_RING_COUNT,
    BadAnswerError,
    read_refusal,
    read_ruling,
    shown_origin,
    shown_value,
)

_LOGGER = logging.getLogger(__name__)

# Seconds after Home Assistant begins to start in which scripts may become usable;
# phones and changes wait no longer.
START_TIMEOUT: Final = 30.0

# Seconds in which a script that was there a moment ago comes back: Home Assistant
# removes one that is edited or renamed, and adds it anew.
RELOAD_TIMEOUT: Final = 1.0

# How Home Assistant calls the end of a script that was not run, because it runs.
_BUSY: Final = ("failed_single", "failed_max_runs", "disallowed_recursion_detected")

# The one repair issue of a set script that does not work, and its texts.
ISSUE_SET_SCRIPT: Final = "set_script"
ISSUE_TEXTS: Final[Mapping[Refusal, str]] = {
    Refusal.HOOK_BAD_ANSWER: "set_script_bad_answer",
    Refusal.HOOK_BUSY: "set_script_busy",
    Refusal.HOOK_FAILED: "set_script_failed",
    Refusal.HOOK_MISSING: "set_script_missing",
    Refusal.HOOK_TOO_SLOW: "set_script_too_slow",
}
# That of a script which failed without saying why: somebody has stopped it.
ISSUE_STOPPED: Final = "set_script_stopped"


def script_key(hass: HomeAssistant, entity_id: str) -> str:
    """Return the key of a script, which is also the name of its action.

    Unlike the entity id it stays when the script is renamed.
    """
    entity = er.async_get(hass).async_get(entity_id)
    return entity.unique_id if entity else entity_id.removeprefix(f"{SCRIPT_DOMAIN}.")


def script_entity_id(hass: HomeAssistant, key: str) -> str:
    """Return the entity id of the script with a key, whether it exists or not."""
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(SCRIPT_DOMAIN, SCRIPT_DOMAIN, key)
    return entity_id or f"{SCRIPT_DOMAIN}.{key}"


# A script's entity id, and what is wrong with it.
type _Problem = tuple[str, Refusal]


class _Found(NamedTuple):
    """Which script it is now."""

    key: str
    entity_id: str


class HookScript:
    """One of the scripts: which it is, whether it is there, and how it is called."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], option: str, default: str
    ) -> None:
        """Take the script of an option, else the one with the default entity id."""
        self._hass = hass
        self._entry = entry
        self._option = option
        self._default = default

    @property
    def is_there(self) -> bool:
        """Whether there is a script to call, be it in order or not."""
        script = self._find()
        return script is not None and (self._is_chosen or not self._is_gone(script))

    @property
    def is_callable(self) -> bool:
        """Whether there is a script that can be called at this moment."""
        script = self._find()
        return script is not None and self._is_callable(script)

    @property
    def name(self) -> str:
        """The script's entity id."""
        script = self._find()
        return script.entity_id if script is not None else self._default

    async def async_call(
        self, variables: dict[str, Any], context: Context
    ) -> Mapping[str, Any]:
        """Run the script and return its answer.

        Raises HookError where it is missing, busy, or does not come to its end.
        """
        script = self._find()
        if script is None:
            return {}
        if not self._is_callable(script) and self._is_coming(script):
            await self._async_wait_for(script)
        if not self._is_callable(script):
            if not self._is_chosen and self._is_restored(script):
                return {}
            raise HookError("it is missing or has errors", Refusal.HOOK_MISSING)
        answer = await self._hass.services.async_call(
            SCRIPT_DOMAIN,
            script.key,
            variables,
            blocking=True,
            context=context,
            return_response=True,
        )
        _check_end()
        return answer or {}

    @property
    def _is_chosen(self) -> bool:
        return bool(self._entry.options.get(self._option))

    def _find(self) -> _Found | None:
        chosen = self._entry.options.get(self._option)
        if chosen:
            return _Found(chosen, script_entity_id(self._hass, chosen))
        entity = er.async_get(self._hass).async_get(self._default)
        if entity is None or entity.disabled:
            return None
        return _Found(entity.unique_id, entity.entity_id)

    def _is_callable(self, script: _Found) -> bool:
        return self._hass.services.has_service(SCRIPT_DOMAIN, script.key)

    def _is_gone(self, script: _Found) -> bool:
        """Whether the script is no more, and does not come back."""
        return self._is_restored(script) and not self._is_coming(script)

    def _is_restored(self, script: _Found) -> bool:
        """Whether only the entity registry knows the script."""
        state = self._hass.states.get(script.entity_id)
        return state is not None and state.attributes.get(ATTR_RESTORED) is True

    def _is_coming(self, script: _Found) -> bool:
        """Whether the script is between being removed and being added anew."""
        entity = er.async_get(self._hass).async_get(script.entity_id)
        if entity is None or entity.disabled:
            return False
        state = self._hass.states.get(script.entity_id)
        if state is None:
            return True
        age = dt_util.utcnow() - state.last_updated
        return self._is_restored(script) and age.total_seconds() < RELOAD_TIMEOUT

    async def _async_wait_for(self, script: _Found) -> None:
        """Wait until the script can be called, or has had its time."""
        registered = asyncio.Event()

        @callback
        def look(_event: Event) -> None:
            if self._is_callable(script):
                registered.set()

        unsubscribe = self._hass.bus.async_listen(EVENT_SERVICE_REGISTERED, look)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT):
                await registered.wait()
        except TimeoutError:
            _LOGGER.debug("%s does not come back", script.entity_id)
        finally:
            unsubscribe()


def _check_end() -> None:
    """Raise HookError unless the script that was called just now came to its end.

    Home Assistant answers an empty mapping in any case. What really happened stands in
    the script's trace, which the call has left in our context.
    """
    end = script_execution_get()
    if end == "finished":
        return
    if end in _BUSY:
        raise HookError("it was already running", Refusal.HOOK_BUSY)
    if end != "aborted":
        raise HookError("it was stopped")
    # By a condition that is not met, the way to have nothing to say; or by an error.
    if (error := _error_of_last_step()) is not None:
        raise HookError(f"it stopped with an error: {error}", error=error)


def _error_of_last_step() -> str | None:
    trace = trace_get(clear=False) or {}
    *_, last = (path for path in trace if path.count("/") == 1)
    error: str | None = trace[last][-1].as_dict().get("error")
    return error


class ScriptHooks(Hooks):
    """The two scripts as the feature floor asks for them."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        queue: HookQueue,
        device_id: Callable[[Line], str | None],
        line_name: Callable[[Line], str],
    ) -> None:
        """Find the scripts; `queue` is held until they are there.

        `device_id` returns a line's device, `line_name` what the user calls the line.
        """
        self._hass = hass
        self._entry = entry
        self._queue = queue
        self._device_id = device_id
        self._line_name = line_name
        self._set = HookScript(hass, entry, CONF_SET_SCRIPT, DEFAULT_SET_SCRIPT)
        self._get = HookScript(hass, entry, CONF_GET_SCRIPT, DEFAULT_GET_SCRIPT)
        # What was wrong when they were called last.
        self._set_problem: _Problem | None = None
        self._get_problem: _Problem | None = None
        self._unsubscribe: list[CALLBACK_TYPE] = []

    # The feature floor asks

    @property
    @override
    def has_set_hook(self) -> bool:
        return self._set.is_there

    @property
    @override
    def has_get_hook(self) -> bool:
        return self._get.is_there

    @override
    async def rule(self, line: Line, change: ChangeRequest) -> Ruling:
        feature = change.feature
        offered = change.applied_to(line.state(feature))
        variables = {
            **self._variables(line, feature, offered, change.source),
            "origin": shown_origin(change.origin),
            "param": change.param,
        }
        answer = await self._set.async_call(variables, _context(change))
        refusal = read_refusal(answer)
        ruling = Ruling() if refusal is not None else _read(answer, feature)
        self._set_works()
        if refusal is not None:
            _LOGGER.info(
                "%s refused %s of %s", self._set.name, feature, self._line_name(line)
            )
            raise ChangeRefused(refusal)
        return ruling

    @override
    async def supply(self, line: Line, feature: Feature, source: str | None) -> Ruling:
        stored = line.state(feature)
        variables = {
            **self._variables(line, feature, stored, source),
            "origin": shown_origin(Origin.PHONE),
            "param": None,
        }
        answer = await self._get.async_call(variables, Context())
        ruling = _read(answer, feature)
        self._get_works()
        return ruling

    def _variables(
        self, line: Line, feature: Feature, state: FeatureState, source: str | None
    ) -> dict[str, Any]:
        return {
            "presentity": line.presentity,
            "feature": feature.value,
            "status": state.status,
            "value": {
                FIELD_FORWARD_TO: None,
                FIELD_RING_COUNT: None,
                **shown_value(feature, state),
            },
            "source": source,
            "line": self._device_id(line),
        }

    # What goes wrong is said once, until it goes right again

    @override
    def rule_failed(self, error: HookError) -> None:
        script = self._set.name
        if self._set_problem != (script, error.refusal):
            self._set_problem = (script, error.refusal)
            _LOGGER.warning(
                "%s does not decide about changes, so features can only be turned off: %s",
                script,
                error.reason,
            )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            ISSUE_SET_SCRIPT,
            is_fixable=False,
            learn_more_url=SCRIPT_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=_issue_text(error),
            translation_placeholders={
                "script": script,
                "error": error.error,
                "field": error.field,
            },
        )

    @override
    def supply_failed(self, error: HookError) -> None:
        script = self._get.name
        if self._get_problem != (script, error.refusal):
            self._get_problem = (script, error.refusal)
            _LOGGER.warning(
                "%s does not supply states, so phones are told what is stored: %s",
                script,
                error.reason,
            )

    def _set_works(self) -> None:
        if self._set_problem is not None:
            _LOGGER.info("%s decides about changes again", self._set.name)
            self._forget_set_problem()

    def _get_works(self) -> None:
        if self._get_problem is not None:
            _LOGGER.info("%s supplies states again", self._get.name)
            self._get_problem = None

    @callback
    def async_look_again(self, _event: object = None) -> None:
        """Forget what was wrong with a set script that is no longer asked."""
        if self._set_problem is None:
            return
        if not self._set.is_there or self._set.name != self._set_problem[0]:
            self._forget_set_problem()

    def _forget_set_problem(self) -> None:
        self._set_problem = None
        ir.async_delete_issue(self._hass, DOMAIN, ISSUE_SET_SCRIPT)

    # Start and end

    @callback
    def async_start(self) -> None:
        """Begin; while Home Assistant starts, calls wait until scripts are there."""
        self._unsubscribe.append(
            self._hass.bus.async_listen(
                er.EVENT_ENTITY_REGISTRY_UPDATED, self.async_look_again
            )
        )
        if self._hass.state not in (CoreState.not_running, CoreState.starting):
            return
        self._queue.hold()
        self._unsubscribe += [
            async_at_started(self._hass, self._release),
            async_call_later(
                self._hass,
                START_TIMEOUT,
                HassJob(self._release, "dfks release", cancel_on_shutdown=True),
            ),
        ]
        self._entry.async_create_background_task(
            self._hass, self._async_release_without_scripts(), "dfks look for scripts"
        )

    @callback
    def async_stop(self) -> None:
        """End."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._forget_set_problem()

    async def _async_release_without_scripts(self) -> None:
        """Wait for nothing where there are no scripts to wait for."""
        await async_wait_component(self._hass, SCRIPT_DOMAIN)
        if not self.has_set_hook and not self.has_get_hook:
            self._release()

    @callback
    def _release(self, _now: object = None) -> None:
        self._queue.release()


def _issue_text(error: HookError) -> str:
    if error.refusal is Refusal.HOOK_FAILED and not error.error:
        return ISSUE_STOPPED
    return ISSUE_TEXTS[error.refusal]


def _context(change: ChangeRequest) -> Context:
    """Return the context of a script's run: nobody's, but caused by the change."""
    if isinstance(change.context, Context):
        return Context(parent_id=change.context.id)
    return Context()


def _read(answer: Mapping[str, Any], feature: Feature) -> Ruling:
    try:
        return read_ruling(answer, feature)
    except BadAnswerError as err:
        # What it answered may be somebody's number, and that is no matter for a log.
        raise HookError(
            f"its answer for {err.field} makes no sense",
            Refusal.HOOK_BAD_ANSWER,
            field=err.field,
        ) from err
