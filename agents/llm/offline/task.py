"""What triage understood, as the agents after it read it."""

import re

from pydantic import BaseModel, ConfigDict, Field

from agents.state import Category, DatasetCard, DeepAgentState, TriageResult

from .conditions import Condition, find_conditions
from .dataset_choice import without_dataset_names


class Entities(BaseModel):
    """What a question names; the content of `TriageResult.entities`."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    topics: tuple[Category, ...] = ()
    """All that is asked for, the strongest first."""
    models: tuple[str, ...] = ()
    """Models to compare with."""
    assume_model: str | None = None
    """The model that the user says to assume, when it is not the dataset's own."""
    filters_by: tuple[str, ...] = ()
    """Models as the question writes them, when it asks about the requests to them only."""
    batch_share: float | None = Field(default=None, ge=0, le=1)
    """Part of the requests that can wait, when the user names one."""
    notes: tuple[str, ...] = ()
    """What the answer has to say about how the question was understood, a sentence each."""


class Task(BaseModel):
    """The work of a run: the dataset, and what to find out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    question: str
    dataset: DatasetCard
    entities: Entities

    def asks_for(self, *topics: Category) -> bool:
        """Tell whether any of `topics` is asked for."""
        return any(topic in self.entities.topics for topic in topics)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of the question, in its order; a SELECT statement has its own."""
        if re.match(r"\s*(select|with)\b.*\bfrom\b", self.question, re.IGNORECASE | re.DOTALL):
            return ()
        text = without_dataset_names(self.question, [self.dataset])
        return find_conditions(text, self.entities.filters_by)

    @property
    def params(self) -> dict[str, object]:
        """The parameters that every tool call about money has."""
        params: dict[str, object] = {"dataset_id": self.dataset.id}
        if self.entities.assume_model:
            params["assume_model"] = self.entities.assume_model
        return params


def read_task(state: DeepAgentState) -> Task:
    """Read what triage handed on.

    Raises:
        ValueError: Triage named no dataset, or one that the user has not.

    """
    triage = state.triage
    if triage is None:
        raise ValueError("Triage has not looked at the question yet.")
    card = next((card for card in state.datasets if card.id == triage.dataset_id), None)
    if card is None:
        raise ValueError("Triage named no dataset of the user's.")
    return Task(question=state.question, dataset=card, entities=_read_entities(triage))


def _read_entities(triage: TriageResult) -> Entities:
    entities = Entities.model_validate(triage.entities)
    return entities if entities.topics else entities.model_copy(update={"topics": (triage.category,)})
