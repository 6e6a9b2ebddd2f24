"""The engine of one run: triage, then the specialists it names, then the answer."""

import time
from typing import Any

from agents.agent_step import AgentStep
from agents.dispatcher import UnifiedToolDispatcher
from agents.event_log import EventLog
from agents.markdown import render_markdown
from agents.outcomes import RunOutcome, Usage
from agents.registry import AgentRegistry
from agents.state import ActionPlan, DatasetCard, DeepAgentState, TriageResult
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError, RunFailedError
from contexts.manager import UserContextManager

FIRST_AGENT = "triage"
LAST_AGENT = "reporting"


class UserExecutionEngine:
    """Carries out one run inside one context, and refuses any other."""

    def __init__(
        self,
        *,
        context: UserExecutionContext,
        manager: UserContextManager,
        registry: AgentRegistry,
        log: EventLog,
    ) -> None:
        """Serve `context`, a registered root context with a run; use `ExecutionEngineFactory` to make one."""
        self.context = context
        self._manager = manager
        self._registry = registry
        self._log = log
        self._dispatcher = UnifiedToolDispatcher.for_context(context, log)
        self._step = 1
        self.usage = Usage()
        """What the models have used so far."""

    async def run(self, context: UserExecutionContext, state: DeepAgentState, *, resumed: bool) -> RunOutcome:
        """Answer the question in `state`; every event on the way is committed before it is sent.

        `resumed` says that an earlier attempt has started already.

        Raises:
            ContextIsolationError: when `context` is not the one this engine was made for.
            NetraError: what ends the run as failed.
            FencedError: when the run was taken over by another attempt.
        """
        if context is not self.context:
            raise ContextIsolationError("This engine serves another context.")
        started = time.perf_counter()
        if resumed:
            await self._log.append("run_resumed", agent_name=FIRST_AGENT, data={"attempt": self._log.attempt})
        else:
            await self._log.append(
                "agent_started", agent_name=FIRST_AGENT, data={"agents": list(self._registry.names)}
            )
        triage = await self._triage(state)
        state.triage = triage
        if triage.reply is not None and not triage.next_agents:
            answer = triage.reply
            self._log.send_delta(offset=0, text=answer)
        else:
            answer = await self._hand_off(state, triage)
        state.answer = answer
        recommendations = state.actions.recommendations if state.actions else []
        return RunOutcome.completed(
            answer=answer,
            html=render_markdown(answer),
            recommendations=[item.model_dump(mode="json") for item in recommendations],
            usage=self.usage,
            duration_ms=round((time.perf_counter() - started) * 1000),
        )

    async def _triage(self, state: DeepAgentState) -> TriageResult:
        child = self._manager.create_child(self.context, "agent.triage")
        step = self._make_step(FIRST_AGENT, child)
        await step.think(self._registry.specification(FIRST_AGENT).thinking(state))
        # Whatever the model, nothing is answered before it is known what the user may read.
        listed = await self._dispatcher.execute("list_datasets", {}, context=child, agent_name=FIRST_AGENT)
        state.datasets = [DatasetCard.model_validate(card) for card in listed["datasets"]]
        triage: TriageResult = await self._run_step(step, child, state)
        if triage.next_agents and state.asked_agent not in {None, FIRST_AGENT, LAST_AGENT}:
            triage = triage.model_copy(update={"next_agents": [state.asked_agent]})
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
            child = self._manager.create_child(self.context, f"agent.{name}")
            hand_off = {"from_agent": previous, "to_agent": name, "operation": triage.category}
            await self._log.append(
                "agent_handoff",
                agent_name=name,
                data={**hand_off, "depth": child.depth, "reason": triage.reason},
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

    def _make_step(self, name: str, child: UserExecutionContext) -> AgentStep:
        member = self._registry.create_for_context(name, child, self._dispatcher)
        return AgentStep(member, self._log, first_step=self._step)

    async def _run_step(self, step: AgentStep, child: UserExecutionContext, state: DeepAgentState) -> Any:
        try:
            return await step.run(state)
        finally:
            self._step = step.next_step
            self.usage += step.usage
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
