"""What a run has learnt so far, handed from agent to agent."""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Category = Literal[
    "spend_breakdown",
    "trend",
    "model_comparison",
    "savings",
    "caching",
    "batch",
    "forecast",
    "dataset_question",
    "capabilities",
    "small_talk",
    "missing_data",
    "out_of_scope",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Turn(_Part):
    """An earlier message of the conversation."""

    author: Literal["user", "assistant"]
    text: str


class DatasetCard(_Part):
    """What an agent may know of a dataset before it looks inside."""

    id: str
    name: str
    format: str
    rows: int
    requests: int
    input_tokens: int
    output_tokens: int
    names_models: bool
    assumed_model: str | None = None
    """The model that the user said to assume where the log names none."""
    first_at: str | None = None
    last_at: str | None = None
    selected: bool = False
    """Whether the user attached it to this message."""


class TriageResult(_Part):
    """What is asked, and who should work on it."""

    category: Category
    """The kind of question."""
    reason: str
    """One sentence: why this category and these agents."""
    dataset_id: str | None = None
    """The dataset the question is about."""
    next_agents: list[Literal["data", "optimization", "actions", "reporting"]] = Field(default_factory=list)
    """Who works on it, in order; empty when `reply` answers already."""
    entities: dict[str, Any] = Field(default_factory=dict)
    """What the question names: models, shares, periods."""
    reply: str | None = None
    """The whole answer (Markdown) when no specialist is needed."""

    def only(self, allows: Callable[[str], bool]) -> Self:
        """Return the result without the agents that `allows` says no to.

        Triage's reason then names them; when no specialist is left, the reply says so.
        """
        kept = [name for name in self.next_agents if allows(name)]
        if kept == self.next_agents:
            return self
        off = ", ".join(name for name in self.next_agents if name not in kept)
        if set(kept) <= {"reporting"}:
            reply = f"The agents that could answer this are switched off in the preferences: {off}."
            return self.model_copy(update={"next_agents": [], "reply": reply})
        reason = f"{self.reason} Switched off in the preferences: {off}."
        return self.model_copy(update={"next_agents": kept, "reason": reason})


class Evidence(_Part):
    """A tool's result: the only source of figures in an answer."""

    agent_name: str
    tool_name: str
    params: dict[str, Any]
    result: dict[str, Any]


class Findings(_Part):
    """What a specialist concludes from the evidence."""

    summary: str
    """One to three sentences."""
    highlights: list[str] = Field(default_factory=list)
    """The figures that matter, a sentence each."""
    problems: list[str] = Field(default_factory=list)
    """What could not be found out and why, a sentence each."""


class Recommendation(_Part):
    """One thing to do, what it saves and what it takes."""

    title: str
    kind: str
    """Such as `cheaper_model`, `prompt_caching`, `batch`."""
    saving_usd: str | None = None
    """For the log's own time span, in USD (decimal string)."""
    saving_percent: str | None = None
    """Of the log's list price (decimal string)."""
    monthly_saving_usd: str | None = None
    """Projected to 30 days, in USD (decimal string), when a projection is possible."""
    effort: Literal["low", "medium", "high"]
    risk: str
    assumptions: list[str] = Field(default_factory=list)
    formula: str = ""
    """The formula or SQL behind the saving."""
    steps: list[str] = Field(default_factory=list)


class ActionPlan(_Part):
    """What to do, the most worthwhile first."""

    summary: str
    recommendations: list[Recommendation] = Field(default_factory=list)


class DeepAgentState(_Part):
    """The whole of it: each agent reads it as its prompt and adds its part."""

    question: str
    history: list[Turn] = Field(default_factory=list)
    asked_agent: str | None = None
    """The agent that the user asked for by name, if any."""
    language: str | None = None
    """Language of the answer (BCP 47); none: the question's."""
    time_zone: str = "UTC"
    """Time zone of times in the answer (IANA)."""
    datasets: list[DatasetCard] = Field(default_factory=list)
    """Every dataset the user may read; those attached to the question are `selected`."""
    triage: TriageResult | None = None
    evidence: list[Evidence] = Field(default_factory=list)
    data: Findings | None = None
    optimization: Findings | None = None
    actions: ActionPlan | None = None
    answer: str | None = None
    """The final answer (Markdown)."""
