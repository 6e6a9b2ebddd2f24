"""The one way from an agent to a tool: permission, validation, quota, time-out, ownership, audit, events."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from pydantic import ValidationError
from pydantic_ai import FunctionToolset, ModelRetry
from pydantic_ai import Tool as ModelTool
from pydantic_ai.tools import RunContext

from agents.call_report import CallOutcome, CallReport
from agents.cpu_budget import CpuBudget
from agents.disclosure import Disclosure, disclose
from agents.event_drafts import Step
from agents.event_log import EventLog, FencedError
from agents.interruption import finish_all
from agents.journal import CallIds, Journal, ToolOutcome
from agents.state import Evidence
from agents.tools import TOOLS, Tool, ToolEnvironment
from agents.tools.definition import Parameters, schema_of
from agents.tools.sessions import AnalysisSessions
from agents.tools.work import ToolWork
from contexts.context import UserExecutionContext
from contexts.database_loss import is_database_away
from contexts.exceptions import (
    ContextClosedError,
    ContextIsolationError,
    InvalidRequestError,
    NetraError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuarantinedError,
    ToolError,
)
from contexts.metering import QuotaMeter

_TOKEN = object()


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tool, under way."""

    tool_name: str
    params: dict[str, Any]
    call_id: str
    context: UserExecutionContext
    work: ToolWork
    budget: CpuBudget


class UnifiedToolDispatcher:
    """Runs the tools of one run; made by `for_context`, useless for any other user's context."""

    def __init__(
        self,
        token: object,
        context: UserExecutionContext,
        log: EventLog,
        meter: QuotaMeter | None,
        journal: Journal,
    ) -> None:
        """Refuse: use `for_context`."""
        if token is not _TOKEN:
            raise TypeError("Dispatchers are made with UnifiedToolDispatcher.for_context(context, log).")
        self._context = context
        self._log = log
        self._meter = meter
        self._journal = journal
        self._call_ids = CallIds()
        self._sessions = AnalysisSessions(context)
        self.evidence: list[Evidence] = []
        """Results so far, in the order in which they came."""

    @classmethod
    def for_context(
        cls,
        context: UserExecutionContext,
        log: EventLog,
        *,
        meter: QuotaMeter | None = None,
        journal: Journal | None = None,
    ) -> Self:
        """Return a run's dispatcher; what it opens is closed with `context`.

        What its tools use is drawn from `meter`; without one it is not counted. What calls came to is kept
        in `journal`, and what is there is not called again; without one the run has no earlier attempt.
        """
        dispatcher = cls(_TOKEN, context, log, meter, journal or Journal(log))
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

        What an earlier attempt at the run has called already is not called again.

        Raises:
            NetraError: what the tool or the dispatcher refuses; the run may go on.
            ContextIsolationError: for a context that is not of this dispatcher's run, or when the call or
                its result carries something of another user; the run has to end.
            QuarantinedError: when the context was quarantined.
            RunHandedBackError: when the run is to go on elsewhere.
            FencedError: when it does so already.
        """
        self._check_owner(context)
        call_id = self._call_ids.make(call_id or f"{agent_name}.{tool_name}")
        outcome = self._journal.outcome(call_id)
        if outcome is None:
            self._journal.begin_step()
            work = ToolWork()
            call = _Call(tool_name, params, call_id, context, work, CpuBudget(self._meter, work))
            try:
                result = await self._call(call, agent_name)
            except Exception as error:
                if is_database_away(error):
                    # Calls at the same time are interrupted, and made again as well.
                    self._journal.hand_back()
                raise
        elif outcome.result is None:
            raise _error_of(outcome)
        else:
            result = outcome.result
        self.evidence.append(
            Evidence(agent_name=agent_name, tool_name=tool_name, params=params, result=result)
        )
        return result

    async def _call(self, call: _Call, agent_name: str) -> dict[str, Any]:
        """Call a tool and tell of it; what it came to is kept for later attempts."""
        report = CallReport(
            self._log,
            call.context,
            tool_name=call.tool_name,
            params=call.params,
            agent_name=agent_name,
            call_id=call.call_id,
        )
        told: CallOutcome | None = None
        kept: Step | None = None
        try:
            self._check_params(call)
            if self._log.was_begun(call.call_id):
                await self._check_repeatable(call)
            await report.begin()
            result, disclosed = await self._run(call)
            self._log.check(result)
            told = CallOutcome(disclosed)
            kept = self._journal.step_of_call(call.call_id, ToolOutcome(result))
        except FencedError:
            raise  # the run is another attempt's, and nothing more is written
        except (ContextClosedError, ContextIsolationError, QuarantinedError) as error:
            told = CallOutcome.failed(error.code, error.message)
            raise
        except NetraError as error:
            if is_database_away(error):
                raise  # the call is made again when it is back
            told = CallOutcome.failed(error.code, error.message)
            outcome = ToolOutcome(None, error.code, error.message)
            kept = self._journal.step_of_call(call.call_id, outcome)
            raise
        except asyncio.CancelledError:
            if not self._journal.is_handed_back:
                told = CallOutcome.failed("cancelled", "The call was interrupted.")
            raise
        except Exception as error:
            if not is_database_away(error):
                told = CallOutcome.failed("internal", "The tool failed.")
            raise
        finally:
            reports = () if told is None else (report.end(told, kept),)
            await finish_all(*reports, call.budget.count())
        return result

    async def _check_repeatable(self, call: _Call) -> None:
        """Check that a call which an earlier attempt began may be made again."""
        await self._log.confirm()
        tool = TOOLS.get(call.tool_name)
        if tool is not None and not tool.is_repeatable:
            raise OutcomeUnknownError(
                f"{tool.name} was cut off, and is not called again: its outcome is unknown."
            )

    def _check_params(self, call: _Call) -> None:
        """Check all of the parameters, for what is cut off or redacted is not seen later."""
        # What nests too deep no tool takes, and what is told of it is checked as every event is.
        with suppress(RecursionError):
            self._log.check(call.params)

    async def _run(self, call: _Call) -> tuple[dict[str, Any], Disclosure]:
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

    def _work(self, call: _Call, tool: Tool, parameters: Parameters) -> tuple[dict[str, Any], Disclosure]:
        """Call the tool in this thread; return its result as it is, and as it may be told."""
        environment = ToolEnvironment(
            context=call.context,
            sessions=self._sessions,
            work=call.work,
            call_id=call.call_id,
            now=datetime.now(UTC),
        )
        result = tool.function(environment, parameters).model_dump(mode="json")
        self._allow_what_the_data_hold(result, call.work)
        return result, disclose(result)

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
                if is_database_away(error):
                    raise  # nothing that the agent is to work with: the call is made again
                return {"error": {"code": error.code, "message": error.message}}

        return ModelTool.from_schema(
            call,
            name=tool.name,
            description=tool.description,
            json_schema=deepcopy(schema_of(tool.parameters)),
            takes_ctx=True,
        )

    def _check_owner(self, context: UserExecutionContext) -> None:
        given, mine = ((each.user_id, each.tenant_id, each.run_id) for each in (context, self._context))
        if given != mine:
            raise ContextIsolationError("A tool was called in a context that is not of this run.")


def _error_of(outcome: ToolOutcome) -> NetraError:
    """Return the error that a call ended with, as agents are told of it."""
    if outcome.code == InvalidRequestError.code:
        return InvalidRequestError(outcome.message)
    error = ToolError(outcome.message)
    error.code = outcome.code  # type: ignore[misc]
    return error


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
