"""What a dataset holds, before any price."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from decimal import Decimal
from typing import Any

from agents.datasets.canonical import COLUMNS
from agents.datasets.connection import quote_name
from agents.datasets.query_result import make_json_safe
from agents.datasets.session import AnalysisSession

from .money import round_usd
from .priced_dataset import add_traffic
from .results import Column, DatasetDescription, Distribution, ModelTraffic, Traffic
from .times import NO_TIMES, read_times

_MODELS_LIMIT = 50
_SAMPLE_ROWS = 5
_SAMPLE_HASHES = 4


def describe_dataset(session: AnalysisSession, dataset_id: str) -> DatasetDescription:
    """Describe one dataset of the session: columns, totals, times, sizes, models, and sample rows.

    Raises:
        NotFoundError: The session has no such dataset.

    """
    source = session.source(dataset_id)
    name = session.table_names[dataset_id]
    table = quote_name(name)
    models = [
        ModelTraffic(model=model, traffic=_traffic(sums))
        for model, *sums in session.fetch(
            f"""SELECT model, sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens)
                FROM {table} GROUP BY model ORDER BY 2 DESC, 1"""
        )
    ]
    times = read_times(session, dataset_id)
    ((rows, recorded, projects, hashes),) = session.fetch(
        f"""SELECT count(*), sum(recorded_cost_usd),
            count(DISTINCT project), count(prefix_hashes) FROM {table}"""
    )
    return DatasetDescription(
        dataset_id=source.id,
        name=source.name,
        table=name,
        format=source.format,
        columns=tuple(
            Column(name=column.name, type=column.type, description=column.description) for column in COLUMNS
        ),
        rows=rows,
        traffic=add_traffic(entry.traffic for entry in models),
        time=times.describe() if times else NO_TIMES,
        input_tokens=_distribution(session, table, "input_tokens"),
        output_tokens=_distribution(session, table, "output_tokens"),
        models=tuple(models[:_MODELS_LIMIT]),
        names_models=any(entry.model is not None for entry in models),
        assumed_model=source.assumed_model,
        projects=projects,
        records_cost=recorded is not None,
        recorded_cost_usd=None if recorded is None else round_usd(Decimal(str(recorded))),
        has_prefix_hashes=hashes > 0,
        notes=source.notes,
        sample_rows=_sample(session, table),
    )


def _traffic(sums: list[int]) -> Traffic:
    requests, input_tokens, cached, output = (int(value) for value in sums)
    return Traffic(
        requests=requests, input_tokens=input_tokens, cached_input_tokens=cached, output_tokens=output
    )


def _distribution(session: AnalysisSession, table: str, column: str) -> Distribution:
    value = f"{column} / greatest(requests, 1)"
    ((minimum, median, p95, maximum, mean),) = session.fetch(
        f"""SELECT min({value}), quantile_cont({value}, 0.5), quantile_cont({value}, 0.95), max({value}),
            sum({column}) / greatest(sum(requests), 1) FROM {table}"""
    )
    return Distribution(
        minimum=int(minimum),
        median=round(float(median), 2),
        p95=round(float(p95), 2),
        maximum=int(maximum),
        mean=round(float(mean), 2),
    )


def _sample(session: AnalysisSession, table: str) -> tuple[dict[str, Any], ...]:
    names = [column.name for column in COLUMNS]
    columns = ", ".join(
        f"{name}[:{_SAMPLE_HASHES}]" if name == "prefix_hashes" else quote_name(name) for name in names
    )
    rows = session.fetch(f"SELECT {columns} FROM {table} ORDER BY row_number LIMIT {_SAMPLE_ROWS}")
    return tuple(
        {name: make_json_safe(value) for name, value in zip(names, row, strict=True)} for row in rows
    )
