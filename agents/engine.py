"""The engine of one run: triage, then the specialists it names, then the answer."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic_ai.models import Model

from agents.agent_step import AgentStep
from agents.dispatcher import UnifiedToolDispatcher
from agents.event_log import EventLog
from agents.interruption import PATIENCE_SECONDS, Interruptible, finish_all
from agents.journal import Journal, RunHandedBackError
from agents.llm.budget import MODEL_RESOURCES, ModelBudget
from agents.llm.journaled import JournaledModel
from agents.llm.offline import offline_model
from agents.markdown import render_markdown
from agents.outcomes import RunOutcome
from agents.registry import AgentRegistry
from agents.state import ActionPlan, DatasetCard, DeepAgentState, TriageResult
from agents.usage import Usage
from contexts.audit import append_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import (
    ConflictError,
    ContextClosedError,
    ContextIsolationError,
    FencedError,
    NetraError,
    QuarantinedError,
    QuotaExceededError,
    RunFailedError,
)
from contexts.manager import UserContextManager
from contexts.redaction import redact_text

FIRST_AGENT = "triage"
LAST_AGENT = "reporting"
QUARANTINED = "The run was stopped: something of another user was about to be reached."


class UserExecutionEngine:
    """Carries out one run inside one context, and refuses any other."""

    def __init__(
        self,
        *,
        context: UserExecutionContext,
        manager: UserContextManager,
        registry: AgentRegistry,
        models: Mapping[str, Model],
        budget: ModelBudget,
        log: EventLog,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve `context`, a registered root context with a run; use `ExecutionEngineFactory` to make one."""
        self.context = context
        self._manager = manager
        self._registry = registry
        self._models = models
        self._budget = budget
        self._log = log
        self._journal = journal
        self._clock = clock
        self._idle_since: float | None = clock()
        self._work = Interruptible()
        self._resting = asyncio.Event()
        self._resting.set()
        self._dispatcher = UnifiedToolDispatcher.for_context(
            context, log, meter=budget.meter, journal=journal
        )
        self._turns = 0

    @property
    def usage(self) -> Usage:
        """Return what the models have used so far."""
        return self._budget.usage

    async def run(
        self,
        context: UserExecutionContext,
        state: DeepAgentState,
        *,
        resumed: bool,
        worked_seconds: float = 0.0,
    ) -> RunOutcome:
        """Answer the question in `state`; every event on the way is committed before it is sent.

        `resumed` says that an earlier attempt has started already, `worked_seconds` how long such worked.

        Raises:
            ContextIsolationError: when `context` is not the one this engine was made for, or something of
                another user was stopped.
            QuarantinedError: when the context, or a child of it, was quarantined.
            ContextClosedError: when the engine was closed.
            ConflictError: when the engine is at work already.
            NetraError: what ends the run as failed.
            FencedError: when the run was taken over by another attempt.
            RunHandedBackError: when it was handed back.
        """
        if context is not self.context:
            raise ContextIsolationError("This engine serves another context.")
        if self._idle_since is None:
            raise ConflictError("This engine is at work already.")
        self._idle_since = None
        self._resting.clear()
        try:
            async with self._work:
                self._end_when_quarantined()
                outcome = await self._answer(state, resumed=resumed, worked_seconds=worked_seconds)
        except Exception:
            # Whatever the agents' framework made of the journal's refusal, nothing more was begun.
            if self._journal.has_refused:
                raise RunHandedBackError from None
            raise
        else:
            return outcome
        finally:
            self._idle_since = self._clock()
            self._resting.set()

    @property
    def idle_since(self) -> float | None:
        """Return since when the engine does nothing, by its factory's clock; none: it is running."""
        return self._idle_since

    def interrupt(self, error: NetraError | FencedError) -> None:
        """Have the run end with `error`, now or when it begins; only the first call counts."""
        self._work.interrupt(error)

    def hand_back(self) -> None:
        """Have the run go on elsewhere: no further step is begun here."""
        self._journal.hand_back()

    async def close(self) -> None:
        """End the run, if one is under way, and close what its tools have opened.

        Code of an agent that does not let itself be interrupted is left to itself: it can write nothing.
        """
        self.interrupt(ContextClosedError("The run's engine was closed."))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._resting.wait(), PATIENCE_SECONDS)
        await asyncio.to_thread(self._dispatcher.close)

    def _end_when_quarantined(self) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(self.interrupt, QuarantinedError(QUARANTINED))

        # The quarantine of a child is its whole family's.
        self._manager.on_quarantine(self.context, stop)

    async def _answer(self, state: DeepAgentState, *, resumed: bool, worked_seconds: float) -> RunOutcome:
        started = time.perf_counter() - worked_seconds
        # What the user brought up themselves may be spoken of.
        if self._manager.detects:
            said = [state.question, *(turn.text for turn in state.history)]
            self._manager.guard.allow(self.context, "\n".join(said))
        if resumed:
            await self._log.append("run_resumed", agent_name=FIRST_AGENT, data={"attempt": self._log.attempt})
        else:
            await self._log.append(
                "agent_started",
                agent_name=FIRST_AGENT,
                data={
                    "agents": [name for name in self._registry.names if self.context.preferences.allows(name)]
                },
            )
        try:
            answer = await self._work_out(state)
        except QuotaExceededError as refusal:
            if refusal.resource not in MODEL_RESOURCES:
                raise
            answer = await self._end_early(state, refusal)
        state.answer = answer
        recommendations = state.actions.recommendations if state.actions else []
        return RunOutcome.completed(
            answer=answer,
            html=render_markdown(answer),
            recommendations=[item.model_dump(mode="json") for item in recommendations],
            usage=self.usage,
            duration_ms=round((time.perf_counter() - started) * 1000),
        )

    async def _work_out(self, state: DeepAgentState) -> str:
        triage = await self._triage(state)
        state.triage = triage
        if triage.reply is not None and not triage.next_agents:
            self._log.send_delta(offset=0, text=triage.reply)
            return triage.reply
        return await self._hand_off(state, triage)

    async def _end_early(self, state: DeepAgentState, refusal: QuotaExceededError) -> str:
        """Return what can be said without another call of a model: what the tools have found."""
        notice = f"**This answer ends early.** {refusal.message}"
        found = next((item for item in reversed(state.evidence) if "dataset_id" in item.params), None)
        if state.triage is None or found is None:
            return f"{notice} Nothing was found out until then."
        # What a model made of the question may mean nothing to the offline reporter.
        plain = {"dataset_id": found.params["dataset_id"], "entities": {}, "reply": None}
        state.triage = state.triage.model_copy(update=plain)
        child = self._make_child(LAST_AGENT)
        step = self._make_step(
            LAST_AGENT, child, turn="early", model=offline_model(LAST_AGENT), streams_text=False
        )
        findings = await self._run_step(step, child, state)
        return f"{notice} This is what was found out until then.\n\n{findings}"

    async def _triage(self, state: DeepAgentState) -> TriageResult:
        child = self._make_child(FIRST_AGENT)
        step = self._make_step(FIRST_AGENT, child)
        await finish_all(
            step.think(self._registry.specification(FIRST_AGENT).thinking(state)), _audit_child(child)
        )
        # Whatever the model, nothing is answered before it is known what the user may read.
        listed = await self._dispatcher.execute("list_datasets", {}, context=child, agent_name=FIRST_AGENT)
        state.datasets = [DatasetCard.model_validate(card) for card in listed["datasets"]]
        triage: TriageResult = await self._run_step(step, child, state)
        if triage.next_agents and state.asked_agent not in {None, FIRST_AGENT, LAST_AGENT}:
            triage = triage.model_copy(update={"next_agents": [state.asked_agent]})
        triage = triage.only(self.context.preferences.allows)
        if triage.next_agents and triage.next_agents[-1] != LAST_AGENT:
            triage = triage.model_copy(update={"next_agents": [*triage.next_agents, LAST_AGENT]})
        if not triage.next_agents and not triage.reply:
            raise RunFailedError(
                "Triage gave neither an answer nor an agent.", code="model_failed", retryable=True
            )
        return triage

    async def _hand_off(self, state: DeepAgentState, triage: TriageResult) -> str:
        answer = ""
        previous = FIRST_AGENT
        for name in triage.next_agents:
            child = self._make_child(name)
            hand_off = {"from_agent": previous, "to_agent": name, "operation": triage.category}
            await finish_all(
                self._log.append(
                    "agent_handoff",
                    agent_name=name,
                    data={**hand_off, "depth": child.depth, "reason": redact_text(triage.reason)},
                ),
                _audit_child(child),
            )
            started = time.perf_counter()
            step = self._make_step(name, child)
            await step.think(self._registry.specification(name).thinking(state))
            output = await self._run_step(step, child, state)
            self._keep(state, name, output)
            answer = output if isinstance(output, str) else answer
            await self._log.append(
                "handoff_completed",
                agent_name=name,
                data={**hand_off, "duration_ms": round((time.perf_counter() - started) * 1000)},
            )
            previous = name
        if not answer.strip():
            raise RunFailedError("The agents gave no answer.", code="model_failed", retryable=True)
        return answer

    def _make_child(self, agent_name: str) -> UserExecutionContext:
        return self._manager.create_child(self.context, f"agent.{agent_name}")

    def _make_step(
        self,
        name: str,
        child: UserExecutionContext,
        *,
        turn: str | None = None,
        model: Model | None = None,
        streams_text: bool = True,
    ) -> AgentStep:
        turn, self._turns = turn or f"{self._turns}.{name}", self._turns + 1
        journaled = JournaledModel(model or self._models[name], self._journal.turn(turn), self._budget)
        member = self._registry.create_for_context(name, child, self._dispatcher, model=journaled)
        return AgentStep(member, self._log, notices=self._budget.notices, streams_text=streams_text)

    async def _run_step(self, step: AgentStep, child: UserExecutionContext, state: DeepAgentState) -> Any:
        try:
            return await step.run(state)
        finally:
            state.evidence = list(self._dispatcher.evidence)
            await self._manager.cleanup_context(child.context_id)

    @staticmethod
    def _keep(state: DeepAgentState, name: str, output: Any) -> None:
        if isinstance(output, ActionPlan):
            state.actions = output
        elif name == "data":
            state.data = output
        elif name == "optimization":
            state.optimization = output


async def _audit_child(child: UserExecutionContext) -> None:
    details = {"operation": child.operation, "depth": child.depth, "parent_id": str(child.parent_id)}
    await append_audit(child, "context_child", **details)
