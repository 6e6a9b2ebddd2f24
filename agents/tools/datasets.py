"""Tools that look at datasets."""

from pydantic import BaseModel, Field

from agents.analysis.description import describe_dataset
from agents.models import Dataset
from agents.selectors import datasets_of
from agents.state import DatasetCard
from agents.tools.definition import Parameters, Tool, ToolEnvironment
from contexts.scope import scope

ATTACHED_DATASETS = "attached_datasets"
"""Key of a run's `agent_context`: the ids of the datasets attached to its question."""
MAX_LISTED = 50
MAX_QUERY_ROWS = 200


class DatasetList(BaseModel):
    """The datasets that the user may read, newest first."""

    datasets: list[DatasetCard]
    total: int
    """How many there are; the 50 newest and the attached ones are listed."""


class NoParameters(Parameters):
    """Nothing to choose."""


class DatasetParameters(Parameters):
    """Which dataset."""

    dataset_id: str
    """Id of the dataset, as `list_datasets` gives it."""


class QueryParameters(DatasetParameters):
    """Which dataset, and what to ask it."""

    sql: str = Field(min_length=1, max_length=10_000)
    """One SELECT in DuckDB's dialect; the table is named as `describe_dataset` says."""


def dataset_card(dataset: Dataset, *, selected: bool = False) -> DatasetCard:
    """Return what an agent may know of a dataset before it looks inside."""
    return DatasetCard(
        id=str(dataset.id),
        name=dataset.name,
        format=dataset.format,
        rows=dataset.rows,
        requests=dataset.requests,
        input_tokens=dataset.input_tokens,
        output_tokens=dataset.output_tokens,
        names_models=dataset.names_models,
        assumed_model=dataset.assumed_model or None,
        first_at=None
        if dataset.time_is_relative or dataset.first_at is None
        else dataset.first_at.isoformat(),
        last_at=None if dataset.time_is_relative or dataset.last_at is None else dataset.last_at.isoformat(),
        selected=selected,
    )


def _list_datasets(environment: ToolEnvironment, parameters: NoParameters) -> DatasetList:
    attached = environment.context.agent_context.get(ATTACHED_DATASETS, ())
    with scope(environment.context):
        datasets = datasets_of(environment.context)
        newest = list(datasets[:MAX_LISTED])
        older = datasets.filter(id__in=attached).exclude(id__in=[dataset.id for dataset in newest])
        return DatasetList(
            datasets=[
                dataset_card(dataset, selected=str(dataset.id) in attached) for dataset in [*newest, *older]
            ],
            total=datasets.count() if len(newest) == MAX_LISTED else len(newest),
        )


def _describe_dataset(environment: ToolEnvironment, parameters: DatasetParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return describe_dataset(session, parameters.dataset_id)


def _query_dataset(environment: ToolEnvironment, parameters: QueryParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return session.query(parameters.sql, max_rows=MAX_QUERY_ROWS)


LIST_DATASETS = Tool(
    name="list_datasets",
    description="List the usage logs that the user may read, with their sizes, times and assumed models.",
    parameters=NoParameters,
    function=_list_datasets,
    needs_cpu=False,
)
DESCRIBE_DATASET = Tool(
    name="describe_dataset",
    description="Describe one dataset: its SQL table and columns, time range, token statistics, sample rows.",
    parameters=DatasetParameters,
    function=_describe_dataset,
)
QUERY_DATASET = Tool(
    name="query_dataset",
    description=f"Answer one read-only SELECT over one dataset; at most {MAX_QUERY_ROWS} rows come back.",
    parameters=QueryParameters,
    function=_query_dataset,
)
