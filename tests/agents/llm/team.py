"""The team of agents as tests drive it: the real Pydantic AI agents on the real analysis functions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, FunctionToolset

from agents.analysis import charts
from agents.analysis.comparison import compare_models
from agents.analysis.description import describe_dataset
from agents.analysis.month_forecast import forecast
from agents.analysis.savings import savings_plan
from agents.analysis.spend import spend_breakdown
from agents.catalog import CATALOG, AgentSpecification
from agents.datasets.importer import ImportedDataset
from agents.datasets.session import AnalysisSession, DatasetSource
from agents.llm.offline import offline_model
from agents.state import ActionPlan, DatasetCard, DeepAgentState, Evidence, Turn
from contexts.exceptions import NetraError
from contexts.preferences import DEFAULT_PREFERENCES, Preferences

SPECIFICATIONS = {specification.name: specification for specification in CATALOG}


@dataclass
class Answered:
    """What a question led to."""

    state: DeepAgentState
    deltas: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer."""
        return self.state.answer or ""

    @property
    def tools(self) -> list[str]:
        """Names of the tools called, in order."""
        return [evidence.tool_name for evidence in self.state.evidence]

    @property
    def topics(self) -> list[str]:
        """What triage recognised."""
        triage = self.state.triage
        assert triage is not None
        return list(triage.entities.get("topics", [triage.category]))

    def call(self, tool_name: str) -> Evidence:
        """The only call of a tool."""
        (evidence,) = (evidence for evidence in self.state.evidence if evidence.tool_name == tool_name)
        return evidence


class Team:
    """Asks the offline agents about datasets that lie in one analysis session."""

    def __init__(
        self,
        sources: Sequence[DatasetSource],
        imported: Sequence[ImportedDataset],
        *,
        failing: Sequence[str] = (),
    ) -> None:
        self.session = AnalysisSession(sources, memory_limit_bytes=1 << 30)
        self.cards = [
            DatasetCard(
                id=source.id,
                name=source.name,
                format=source.format,
                rows=facts.rows,
                requests=facts.requests,
                input_tokens=facts.input_tokens,
                output_tokens=facts.output_tokens,
                names_models=facts.names_models,
                assumed_model=source.assumed_model,
            )
            for source, facts in zip(sources, imported, strict=True)
        ]
        self.failing = set(failing)
        self.priced_at = datetime.now(UTC)

    async def ask(
        self,
        question: str,
        *,
        history: Sequence[Turn] = (),
        selected: Sequence[str] = (),
        asked_agent: str | None = None,
        preferences: Preferences = DEFAULT_PREFERENCES,
    ) -> Answered:
        """Run triage and then those it names, as the engine does."""
        cards = [card.model_copy(update={"selected": card.id in selected}) for card in self.cards]
        state = DeepAgentState(
            question=question, history=list(history), datasets=cards, asked_agent=asked_agent
        )
        answered = Answered(state)
        triage = await self._run(SPECIFICATIONS["triage"], answered)
        state.triage = triage.only(preferences.allows)
        assert state.triage is not None
        if state.triage.reply is not None and not state.triage.next_agents:
            state.answer = state.triage.reply
            return answered
        for name in state.triage.next_agents:
            output = await self._run(SPECIFICATIONS[name], answered)
            if isinstance(output, str):
                state.answer = output
            elif isinstance(output, ActionPlan):
                state.actions = output
            else:
                setattr(state, name, output)
        return answered

    async def _run(self, specification: AgentSpecification, answered: Answered) -> Any:
        found: list[Evidence] = []
        agent = Agent(
            offline_model(specification.name),
            output_type=specification.output_type,
            instructions=specification.instructions,
            toolsets=[self._toolset(specification, found)],
        )
        async with agent.run_stream(answered.state.model_dump_json()) as result:
            if specification.output_type is str:
                answered.deltas = [delta async for delta in result.stream_text(delta=True, debounce_by=None)]
                output: Any = "".join(answered.deltas)
            else:
                output = await result.get_output()
        answered.state.evidence += found
        return output

    def _toolset(self, specification: AgentSpecification, found: list[Evidence]) -> FunctionToolset[None]:
        def keep(
            tool_name: str, params: dict[str, Any], result: BaseModel | dict[str, Any]
        ) -> dict[str, Any]:
            data = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
            given = {key: value for key, value in params.items() if value is not None}
            found.append(
                Evidence(agent_name=specification.name, tool_name=tool_name, params=given, result=data)
            )
            return data

        def tool(name: str, function: Any) -> Any:
            def call(**params: Any) -> dict[str, Any]:
                if name in self.failing:
                    return {"error": {"code": "tool_failed", "message": "The disk is on fire."}}
                try:
                    return keep(name, params, function(**params))
                except NetraError as error:
                    return {"error": {"code": error.code, "message": error.message}}

            return call

        session, at = self.session, self.priced_at

        def list_datasets() -> dict[str, Any]:
            """List the datasets."""
            return keep(
                "list_datasets", {}, {"datasets": [card.model_dump(mode="json") for card in self.cards]}
            )

        def describe(dataset_id: str) -> dict[str, Any]:
            """Describe a dataset."""
            return tool("describe_dataset", lambda dataset_id: describe_dataset(session, dataset_id))(
                dataset_id=dataset_id
            )

        def query(dataset_id: str, sql: str) -> dict[str, Any]:
            """Answer a SELECT statement."""
            return tool("query_dataset", lambda dataset_id, sql: session.query(sql))(
                dataset_id=dataset_id, sql=sql
            )

        def spend(dataset_id: str, assume_model: str | None = None) -> dict[str, Any]:
            """Break the spend down."""
            return tool(
                "spend_breakdown",
                lambda dataset_id, assume_model: spend_breakdown(
                    session, dataset_id, assumed_model=assume_model, priced_at=at
                ),
            )(dataset_id=dataset_id, assume_model=assume_model)

        def compare(
            dataset_id: str, assume_model: str | None = None, candidates: list[str] | None = None
        ) -> dict[str, Any]:
            """Compare models."""
            return tool(
                "compare_models",
                lambda dataset_id, assume_model, candidates: compare_models(
                    session, dataset_id, assumed_model=assume_model, candidates=candidates, priced_at=at
                ),
            )(dataset_id=dataset_id, assume_model=assume_model, candidates=candidates)

        def savings(
            dataset_id: str, assume_model: str | None = None, batch_share: float | None = None
        ) -> dict[str, Any]:
            """Plan savings."""
            return tool(
                "savings_plan",
                lambda dataset_id, assume_model, batch_share: savings_plan(
                    session, dataset_id, assumed_model=assume_model, batch_share=batch_share, priced_at=at
                ),
            )(dataset_id=dataset_id, assume_model=assume_model, batch_share=batch_share)

        def month(dataset_id: str, assume_model: str | None = None) -> dict[str, Any]:
            """Forecast the month."""
            return tool(
                "forecast_spend",
                lambda dataset_id, assume_model: forecast(
                    session, dataset_id, assumed_model=assume_model, priced_at=at
                ),
            )(dataset_id=dataset_id, assume_model=assume_model)

        def draw(
            dataset_id: str, assume_model: str | None = None, batch_share: float | None = None
        ) -> dict[str, Any]:
            """Draw charts."""

            def drawn(dataset_id: str, assume_model: str | None, batch_share: float | None) -> dict[str, Any]:
                plan = savings_plan(
                    session, dataset_id, assumed_model=assume_model, batch_share=batch_share, priced_at=at
                )
                breakdown = spend_breakdown(session, dataset_id, assumed_model=assume_model, priced_at=at)
                titles = {
                    "Cost": charts.savings_chart(plan),
                    "Spend over time": charts.spend_chart(breakdown),
                }
                return {
                    "charts": [
                        {
                            "id": str(number),
                            "url": f"/api/v1/charts/{number}.svg",
                            "title": title,
                            "alt_text": chart.alt_text,
                        }
                        for number, (title, chart) in enumerate(titles.items())
                        if chart is not None
                    ]
                }

            return tool("draw_charts", drawn)(
                dataset_id=dataset_id, assume_model=assume_model, batch_share=batch_share
            )

        functions = {
            "list_datasets": list_datasets,
            "describe_dataset": describe,
            "query_dataset": query,
            "spend_breakdown": spend,
            "compare_models": compare,
            "savings_plan": savings,
            "forecast_spend": month,
            "draw_charts": draw,
        }
        toolset: FunctionToolset[None] = FunctionToolset()
        for name in specification.tools:
            toolset.add_function(functions[name], name=name)
        return toolset


def evidence_text(state: DeepAgentState) -> str:
    """All evidence as one JSON text."""
    return json.dumps([evidence.model_dump(mode="json") for evidence in state.evidence])
