"""The agents that exist, and their making for one context."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_ai import Agent, FunctionToolset
from pydantic_ai.models import Model

from agents.catalog import CATALOG, AgentSpecification
from agents.dispatcher import UnifiedToolDispatcher
from agents.llm.budget import ModelBudget
from agents.llm.metered import MeteredModel
from agents.llm.models import is_metered, select_fallback, select_model
from agents.tools import added_tools
from contexts.context import UserExecutionContext
from contexts.exceptions import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextAgent:
    """An agent made for one context; it serves no other."""

    specification: AgentSpecification
    context: UserExecutionContext
    agent: Agent[UserExecutionContext, Any]
    """Its words and types; `model` and `tools` are given to each run of it."""
    model: Model
    tools: FunctionToolset[UserExecutionContext]


class AgentRegistry:
    """Knows the agents by name; keeps nothing of any user."""

    def __init__(
        self,
        specifications: Iterable[AgentSpecification] = CATALOG,
        *,
        choose_model: Callable[[AgentSpecification, UserExecutionContext], Model] = select_model,
        choose_fallback: Callable[[AgentSpecification, UserExecutionContext], Model | None] = select_fallback,
    ) -> None:
        """Know `specifications`, each driven by the model that `choose_model` gives.

        `choose_fallback` gives the cheaper one that goes on when most of the quota is used, or none.
        """
        self._choose_model = choose_model
        self._choose_fallback = choose_fallback
        self._specifications: Mapping[str, AgentSpecification] = {item.name: item for item in specifications}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the agents' names, in the order in which they work."""
        return tuple(self._specifications)

    def specification(self, name: str) -> AgentSpecification:
        """Return what makes the agent `name`.

        Raises:
            NotFoundError: when there is none of that name.
        """
        try:
            return self._specifications[name]
        except KeyError:
            raise NotFoundError(f"There is no agent {name!r}.") from None

    def choose_models(self, context: UserExecutionContext, budget: ModelBudget) -> Mapping[str, Model]:
        """Return the model of each agent, by the agent's name, for one context and its descendants.

        Those that somebody charges for are paid from `budget`.

        Raises:
            UnavailableError: when one of them cannot be used.
        """
        return {name: self._model(item, context, budget) for name, item in self._specifications.items()}

    def _model(
        self, specification: AgentSpecification, context: UserExecutionContext, budget: ModelBudget
    ) -> Model:
        model = self._choose_model(specification, context)
        if not is_metered(model):
            return model
        return MeteredModel(model, budget, fallback=self._choose_fallback(specification, context))

    def create_for_context(
        self, name: str, context: UserExecutionContext, dispatcher: UnifiedToolDispatcher, *, model: Model
    ) -> ContextAgent:
        """Make the agent `name` for `context`, driven by `model`, with its tools behind `dispatcher`.

        Raises:
            NotFoundError: when there is none of that name.
        """
        specification = self.specification(name)
        return ContextAgent(
            specification=specification,
            context=context,
            agent=copy(_template(specification)),
            model=model,
            tools=dispatcher.toolset((*specification.tools, *added_tools(name)), context, agent_name=name),
        )


@cache
def _template(specification: AgentSpecification) -> Agent[UserExecutionContext, Any]:
    """Return an agent to be copied for each context: its schemas take long to make, and never change."""
    return Agent(
        name=specification.name,
        deps_type=UserExecutionContext,
        output_type=specification.output_type,
        instructions=specification.instructions,
        retries=2,
    )
