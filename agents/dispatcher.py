"""The one way from an agent to a tool: permission, validation, quota, time-out, ownership, audit, events."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self
from uuid import uuid4

from pydantic import ValidationError
from pydantic_ai import FunctionToolset, ModelRetry
from pydantic_ai import Tool as ModelTool
from pydantic_ai.tools import RunContext

from agents.cpu_budget import CpuBudget
from agents.event_log import EventLog, FencedError
from agents.interruption import finish_all
from agents.state import Evidence
from agents.tools import TOOLS, Tool, ToolEnvironment
from agents.tools.definition import Parameters
from agents.tools.sessions import AnalysisSessions
from agents.tools.work import ToolWork
from contexts.audit import append_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import (
    ContextClosedError,
    ContextIsolationError,
    InvalidRequestError,
    NetraError,
    PermissionDeniedError,
    QuarantinedError,
    ToolError,
)
from contexts.metering import QuotaMeter

_TOKEN = object()
_BREACHES = {ContextIsolationError.code, QuarantinedError.code}


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tool, under way."""

    tool_name: str
    params: dict[str, Any]
    call_id: str
    agent_name: str
    context: UserExecutionContext
    work: ToolWork
    budget: CpuBudget
    started_at: float = field(default_factory=time.perf_counter)

    @property
    def data(self) -> dict[str, Any]:
        """Return the call as its first event tells it."""
        return {"call_id": self.call_id, "tool_name": self.tool_name, "params": self.params}


class UnifiedToolDispatcher:
    """Runs the tools of one run; made by `for_context`, useless for any other user's context."""

    def __init__(
        self, token: object, context: UserExecutionContext, log: EventLog, meter: QuotaMeter | None
    ) -> None:
        """Refuse: use `for_context`."""
        if token is not _TOKEN:
            raise TypeError("Dispatchers are made with UnifiedToolDispatcher.for_context(context, log).")
        self._context = context
        self._log = log
        self._meter = meter
        self._sessions = AnalysisSessions(context)
        self.evidence: list[Evidence] = []
        """Results so far, in the order in which they came."""

    @classmethod
    def for_context(
        cls, context: UserExecutionContext, log: EventLog, *, meter: QuotaMeter | None = None
    ) -> Self:
        """Return a run's dispatcher; what it opens is closed with `context`.

        What its tools use is drawn from `meter`; without one it is not counted.
        """
        dispatcher = cls(_TOKEN, context, log, meter)
        log.manager.on_close(context, dispatcher.close)
        return dispatcher

    def close(self) -> None:
        """Stop whatever is running, and close what was opened."""
        self._sessions.close()

    def toolset(
        self, names: Sequence[str], context: UserExecutionContext, *, agent_name: str
    ) -> FunctionToolset[UserExecutionContext]:
        """Return the named tools as an agent of `context` (the run's, or a child of it) calls them."""
        return FunctionToolset([self._model_tool(TOOLS[name], context, agent_name) for name in names])

    async def execute(
        self,
        tool_name: str,
        params: dict[str, Any],
        *,
        context: UserExecutionContext,
        agent_name: str,
        call_id: str | None = None,
    ) -> dict[str, Any]:
        """Run a tool and return its result as JSON-like data.

        Raises:
            NetraError: what the tool or the dispatcher refuses; the run may go on.
            ContextIsolationError: for a context that is not of this dispatcher's run, or when the call or
                its result carries something of another user; the run has to end.
            QuarantinedError: when the context was quarantined.
        """
        self._check_owner(context)
        work = ToolWork()
        budget = CpuBudget(self._meter, work)
        call = _Call(tool_name, params, call_id or uuid4().hex, agent_name, context, work, budget)
        outcome: dict[str, Any] | None = None
        try:
            await self._log.append("tool_executing", agent_name=agent_name, data=call.data)
            result = await self._run(call)
            self._log.check(result)
            outcome = {"ok": True, "result": result}
        except FencedError:
            raise  # the run is another attempt's, and nothing more is written
        except NetraError as error:
            outcome = {"ok": False, "error": {"code": error.code, "message": error.message}}
            raise
        except asyncio.CancelledError:
            outcome = {"ok": False, "error": {"code": "cancelled", "message": "The call was interrupted."}}
            raise
        except Exception:
            outcome = {"ok": False, "error": {"code": "internal", "message": "The tool failed."}}
            raise
        finally:
            reports = () if outcome is None else (self._report(call, outcome),)
            await finish_all(*reports, budget.count())
        self.evidence.append(
            Evidence(agent_name=agent_name, tool_name=tool_name, params=params, result=result)
        )
        return result

    async def _report(self, call: "_Call", outcome: dict[str, Any]) -> None:
        """Tell the user and the audit how a call ended, both at once."""
        duration_ms = round((time.perf_counter() - call.started_at) * 1000)
        code = None if outcome["ok"] else outcome["error"]["code"]
        await finish_all(
            self._log.append(
                "tool_completed",
                agent_name=call.agent_name,
                data={
                    "call_id": call.call_id,
                    "tool_name": call.tool_name,
                    **outcome,
                    "duration_ms": duration_ms,
                },
            ),
            append_audit(
                call.context,
                "tool_called",
                tool=call.tool_name if call.tool_name in TOOLS else "unknown",
                agent=call.agent_name,
                # what was stopped on its way to the user must not get into the audit instead
                params={} if code in _BREACHES else call.params,
                ok=outcome["ok"],
                duration_ms=duration_ms,
                error_code=code,
            ),
        )

    async def _run(self, call: _Call) -> dict[str, Any]:
        tool, parameters = _find_tool(call)
        if tool.needs_cpu:
            await call.budget.begin()
        try:
            async with asyncio.timeout(tool.timeout_seconds):
                return await call.budget.run(partial(self._work, call, tool, parameters))
        except TimeoutError:
            raise ToolError(
                f"{tool.name} took longer than {tool.timeout_seconds:.0f} s and was stopped."
            ) from None

    def _work(self, call: _Call, tool: Tool, parameters: Parameters) -> dict[str, Any]:
        """Call the tool in this thread."""
        environment = ToolEnvironment(
            context=call.context, sessions=self._sessions, work=call.work, now=datetime.now(UTC)
        )
        result = tool.function(environment, parameters).model_dump(mode="json")
        self._allow_what_the_data_hold(result, call.work)
        return result

    def _allow_what_the_data_hold(self, result: dict[str, Any], work: ToolWork) -> None:
        """Let the run speak of ids that stand in the user's own data, so that nobody stops it by one."""
        manager = self._log.manager
        if manager.detects and (found := manager.guard.foreign_identifiers(self._context, result)):
            for identifier in self._sessions.mentioned(found, work):
                manager.guard.allow(self._context, str(identifier))

    def _model_tool(
        self, tool: Tool, context: UserExecutionContext, agent_name: str
    ) -> ModelTool[UserExecutionContext]:
        async def call(run: RunContext[UserExecutionContext], **params: Any) -> dict[str, Any]:
            self._check_owner(run.deps)
            try:
                return await self.execute(
                    tool.name, params, context=context, agent_name=agent_name, call_id=run.tool_call_id
                )
            except (ContextClosedError, ContextIsolationError, QuarantinedError):
                raise
            except InvalidRequestError as error:
                raise ModelRetry(error.message) from error
            except NetraError as error:
                return {"error": {"code": error.code, "message": error.message}}

        return ModelTool.from_schema(
            call,
            name=tool.name,
            description=tool.description,
            json_schema=tool.parameters.model_json_schema(),
            takes_ctx=True,
        )

    def _check_owner(self, context: UserExecutionContext) -> None:
        mine = self._context
        if (context.user_id, context.tenant_id, context.run_id) != (
            mine.user_id,
            mine.tenant_id,
            mine.run_id,
        ):
            raise ContextIsolationError("A tool was called in a context that is not of this run.")


def _find_tool(call: _Call) -> tuple[Tool, Parameters]:
    tool = TOOLS.get(call.tool_name)
    if tool is None:
        raise ToolError(f"There is no tool {call.tool_name!r}.")
    if call.context.role not in tool.roles:
        raise PermissionDeniedError(f"The role {call.context.role} may not use {tool.name}.")
    try:
        return tool, tool.parameters.model_validate(call.params)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InvalidRequestError(f"The parameters of {tool.name} are wrong: {problems}") from error
