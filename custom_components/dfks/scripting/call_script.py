"""The script that may decide about calls: `dfks_call` in the place of the features.

It is asked when a call comes to a line whose calls are treated, one call at a time, and
has a second in all, with waiting for those before. Where it does not answer in time, is
busy, missing or broken, or has nothing to say, the features decide: a caller waits for
nobody who does not work. For the same reason it is not waited for while Home Assistant
starts.
"""

import asyncio
from collections.abc import Callable, Mapping
import logging
from typing import Any, Final, NamedTuple

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import Context, HomeAssistant

from ..const import CONF_CALL_SCRIPT, DEFAULT_CALL_SCRIPT
from ..features.calls import BUSY, CallAnswer, TakeAnswer
from ..features.display import printable
from ..features.hooks import HookError, call_hook
from ..features.model import Line, Refusal
from ..features.seen import MAX_PARTY
from ..features.targets import dialable
from ..sip import PROCEED, UNCONDITIONAL, IncomingCall, Redirect, Reject
from .script_hooks import HookScript
from .variables import FIELD_FORWARD_TO

_LOGGER = logging.getLogger(__name__)

# Seconds that the script has, with waiting.
CALL_TIMEOUT: Final = 1.0

# Calls that it is asked about at a time; the features decide about more.
MAX_ASKED: Final = 16

# What it may answer, and the variables that tell it of a call.
FIELD_TREATMENT: Final = "treatment"
ANSWER_PROCEED: Final = "proceed"
ANSWER_REJECT: Final = "reject"
KIND_CALL: Final = "call"
KIND_INTERCOM: Final = "intercom"


class _Asked(NamedTuple):
    """What the phones of a line that one call rings have in common."""

    line: str
    caller: str
    called: str
    intercom: bool


class CallScript:
    """Asks the script about calls (`features.calls.CallHook`)."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        device_id: Callable[[Line], str | None],
    ) -> None:
        """Find the script at each call; `device_id` returns a line's device."""
        self._hass = hass
        self._entry = entry
        self._device_id = device_id
        self._script = HookScript(hass, entry, CONF_CALL_SCRIPT, DEFAULT_CALL_SCRIPT)
        self._turn = asyncio.Lock()
        # Who waits for the answer about a call.
        self._waiting: dict[_Asked, list[TakeAnswer]] = {}
        self._problem: Refusal | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is a script that can be called."""
        return self._script.is_callable

    def ask(self, line: Line, call: IncomingCall, take: TakeAnswer) -> bool:
        """Ask about a call; False where there is nobody to be asked."""
        if not self.is_there:
            return False
        asked = _Asked(line.id, call.caller, call.called, call.intercom)
        if (waiting := self._waiting.get(asked)) is not None:
            # The PBX calls each phone of a line by itself.
            waiting.append(take)
            return True
        if len(self._waiting) >= MAX_ASKED:
            return False
        self._waiting[asked] = [take]
        self._entry.async_create_background_task(
            self._hass, self._async_ask(line, call, asked), "dfks ask about a call"
        )
        return True

    async def _async_ask(self, line: Line, call: IncomingCall, asked: _Asked) -> None:
        variables = {
            # Home Assistant records actions and traces, as text that is UTF-8.
            "from": printable(call.caller, MAX_PARTY),
            "to": printable(call.called, MAX_PARTY),
            "line": self._device_id(line),
            "kind": KIND_INTERCOM if call.intercom else KIND_CALL,
        }
        answer = None
        try:
            answer = await self._async_answer(variables)
        finally:
            for take in self._waiting.pop(asked):
                take(answer)

    async def _async_answer(self, variables: dict[str, Any]) -> CallAnswer | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CALL_TIMEOUT
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            self._note(Refusal.HOOK_TOO_SLOW)
            return None
        try:
            said = await call_hook(
                lambda: self._script.async_call(variables, Context()),
                deadline - loop.time(),
            )
            answer = read_answer(said)
        except HookError as err:
            self._note(err.refusal)
            return None
        finally:
            self._turn.release()
        self._note(None)
        return answer

    def _note(self, problem: Refusal | None) -> None:
        """Say once what is wrong; what the script says itself may hold numbers."""
        if problem is self._problem:
            return
        self._problem = problem
        if problem is None:
            _LOGGER.info("%s decides about calls again", self._script.name)
        else:
            _LOGGER.warning(
                "%s does not decide about calls, so the features do (%s)",
                self._script.name,
                problem.value,
            )


def read_answer(said: Mapping[str, Any]) -> CallAnswer | None:
    """Return what the script says about a call, None where it has nothing to say.

    Raises HookError for what makes no sense.
    """
    target, treatment = said.get(FIELD_FORWARD_TO), said.get(FIELD_TREATMENT)
    if target not in (None, ""):
        number = dialable(str(target))
        if not number:
            raise _bad(FIELD_FORWARD_TO)
        return CallAnswer(Redirect(number, UNCONDITIONAL))
    if treatment in (None, ""):
        return None
    if treatment == ANSWER_PROCEED:
        return CallAnswer(PROCEED)
    if treatment == ANSWER_REJECT:
        return CallAnswer(Reject(BUSY))
    raise _bad(FIELD_TREATMENT)


def _bad(field: str) -> HookError:
    return HookError("its answer makes no sense", Refusal.HOOK_BAD_ANSWER, field=field)
