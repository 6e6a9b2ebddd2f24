"""Answers to questions about the log itself."""

from agents.analysis.results import DatasetDescription
from agents.datasets.query_result import QueryColumn, QueryResult
from agents.llm.offline.figures import count, name, usd, value
from agents.llm.offline.tables import table

from .parts import describe_traffic

_MODELS_SHOWN = 15
_TEXT_TYPES = ("VARCHAR", "TIMESTAMP", "DATE", "TIME")


def query_answer(dataset_name: str, query: QueryResult, sql: str | None) -> list[str]:
    """Write a query's answer as a sentence or a table, with the SQL that found it."""
    dataset = f"**{name(dataset_name)}**"
    if not query.rows:
        parts = [f"{dataset} has no row that answers this."]
    elif len(query.rows) == 1 and not any(_is_text(column) for column in query.columns):
        pairs = zip(query.columns, query.rows[0], strict=True)
        found = (f"**{_cell(column, cell)}** {_heading(column.name).lower()}" for column, cell in pairs)
        parts = [f"In {dataset}: {', '.join(found)}."]
    else:
        headers = [_heading(column.name) + _zone(column) for column in query.columns]
        rows = [[_cell(*pair) for pair in zip(query.columns, row, strict=True)] for row in query.rows]
        shown = (
            f"the first {count(query.row_count)} rows"
            if query.truncated
            else f"{count(query.row_count)} rows"
        )
        parts = [
            f"In {dataset}, {shown}; the first is {headers[0].lower()} **{rows[0][0]}**.",
            table(headers, rows, texts=sum(_is_text(column) for column in query.columns[:1])),
        ]
    return [*parts, *([f"Found with:\n\n```sql\n{sql.replace('```', '')}\n```"] if sql else [])]


def _is_text(column: QueryColumn) -> bool:
    return column.type.startswith(_TEXT_TYPES)


def description_answer(description: DatasetDescription) -> list[str]:
    """Write what a dataset holds."""
    time = description.time
    when = ""
    if time.first_at is not None and time.last_at is not None:
        when = f", from {time.first_at:%Y-%m-%d %H:%M} to {time.last_at:%Y-%m-%d %H:%M} UTC"
    elif time.span_seconds is not None:
        when = f", {count(int(time.span_seconds))} seconds from the first to the last"
    finding = (
        f"**{name(description.name)}** ({name(description.format)}) holds "
        f"{describe_traffic(description.traffic)}{when}."
    )
    if description.recorded_cost_usd is not None:
        finding += f" The log records a cost of {usd(description.recorded_cost_usd)}."
    if not description.names_models:
        finding += " It names no model" + (
            f"; {name(description.assumed_model)} is assumed." if description.assumed_model else "."
        )
    sizes = [
        (
            what,
            count(numbers.minimum),
            value(numbers.median),
            value(numbers.mean),
            value(numbers.p95),
            count(numbers.maximum),
        )
        for what, numbers in (
            ("Input tokens a request", description.input_tokens),
            ("Output tokens a request", description.output_tokens),
        )
    ]
    parts = [finding, table(("", "Least", "Median", "Mean", "95 % are below", "Most"), sizes)]
    if description.names_models:
        rows = [
            (
                name(entry.model),
                count(entry.traffic.requests),
                count(entry.traffic.input_tokens),
                count(entry.traffic.output_tokens),
            )
            for entry in description.models[:_MODELS_SHOWN]
        ]
        parts.append(table(("Model", "Requests", "Input tokens", "Output tokens"), rows))
    columns = ", ".join(f"`{column.name}`" for column in description.columns)
    parts.append(f"For SELECT statements the table is `{description.table}` with the columns {columns}.")
    return [*parts, *(name(note) for note in description.notes)]


def _heading(column: str) -> str:
    words = column.replace("_", " ").strip()
    return "Count" if words == "count star()" else name(words[:1].upper() + words[1:])


def _zone(column: QueryColumn) -> str:
    return " (UTC)" if column.type.startswith("TIMESTAMP") and column.name != "requested_at" else ""


def _cell(column: QueryColumn, cell: object) -> str:
    if isinstance(cell, str) and column.type.startswith("TIMESTAMP"):
        return cell.replace("T", " ")[:19]
    return value(cell)
