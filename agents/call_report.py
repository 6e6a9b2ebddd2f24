"""What becomes known of a tool's call: its events, what is kept of it in full, and its audit entry."""

import time
from dataclasses import dataclass
from typing import Any, Self

from agents.disclosure import SECRET_PARAMETERS, Disclosure, disclose
from agents.event_drafts import Step
from agents.event_log import EventLog
from agents.interruption import finish_all
from agents.tool_calls import keep_call
from agents.tools import TOOLS
from contexts.audit import append_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError, QuarantinedError
from contexts.redaction import redact_text

_BREACHES = {ContextIsolationError.code, QuarantinedError.code}
# Names are the model's words, and no longer than those of tools.
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended."""

    disclosed: Disclosure
    """Its result or its error, as they may be told."""
    code: str | None = None
    """Of the error; none when there is a result."""

    @classmethod
    def failed(cls, code: str, message: str) -> Self:
        """Return the outcome of a call that gave no result."""
        return cls(disclose({"code": code, "message": message}), code)

    @property
    def field(self) -> str:
        """Return what its value is called in the event."""
        return "result" if self.code is None else "error"


class CallReport:
    """Tells the run's user and the audit of one call that is under way."""

    def __init__(
        self,
        log: EventLog,
        context: UserExecutionContext,
        *,
        tool_name: str,
        params: dict[str, Any],
        agent_name: str,
        call_id: str,
    ) -> None:
        """Report to `log` a call that an agent of `context` makes; its time counts from now."""
        self._log = log
        self._context = context
        self._tool_name = tool_name
        self._agent_name = agent_name
        self._call_id = call_id
        self._params = params
        self._disclosed = disclose(params, secret_names=SECRET_PARAMETERS)
        self._started_at = time.perf_counter()

    async def begin(self) -> None:
        """Tell that the call begins; raises what `EventLog.append` and `keep_call` do."""
        data = {"params": self._disclosed.told}
        # Once begun it is told, for an interrupted call is told to have ended.
        await finish_all(self._tell("tool_executing", self._disclosed, data))

    async def end(self, outcome: CallOutcome, step: Step | None = None) -> None:
        """Tell the user and the audit how the call ended, both at once; raises as `begin` does.

        `step` keeps the outcome for a later attempt.
        """
        duration_ms = round((time.perf_counter() - self._started_at) * 1000)
        is_ok, value = outcome.code is None, outcome.disclosed
        data = {"ok": is_ok, outcome.field: value.told, "duration_ms": duration_ms}
        await finish_all(
            self._tell("tool_completed", value, data, step, **{outcome.field: value.kept}),
            append_audit(
                self._context,
                "tool_called",
                tool=self._tool_name if self._tool_name in TOOLS else "unknown",
                agent=self._agent_name,
                # what was stopped on its way to the user must not get into the audit instead
                params={} if outcome.code in _BREACHES else self._params,
                ok=is_ok,
                duration_ms=duration_ms,
                error_code=outcome.code,
            ),
        )

    async def _tell(
        self,
        event_type: str,
        disclosed: Disclosure,
        data: dict[str, Any],
        step: Step | None = None,
        **outcome: Any,
    ) -> None:
        """Append an event; if it has only a part of what there is, all of it is kept first."""
        identity = {"call_id": self._call_id, "tool_name": self._shown_name}
        is_cut = {}
        if disclosed.is_cut:
            self._log.check([self._disclosed.kept, outcome])
            await keep_call(self._log, **identity, params=self._disclosed.kept, **outcome)
            is_cut = {"is_cut": True}
        await self._log.append(
            event_type, agent_name=self._agent_name, data=identity | data | is_cut, step=step
        )

    @property
    def _shown_name(self) -> str:
        name = self._tool_name
        return name if name in TOOLS else redact_text(name)[:_LONGEST_NAME]
