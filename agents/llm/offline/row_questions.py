"""SQL for plain questions about a log's rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.analysis.results import DatasetDescription

from .condition_sql import split_conditions
from .conditions import Condition
from .topics import correct_spelling

_MEASURES = (
    (r"\b(cached|cache)\b", "cached_input_tokens", "cached_input_tokens"),
    (
        r"\b(outputs?|completions?|generated|answers?|responses?|replies|reply)\b",
        "output_tokens",
        "output_tokens",
    ),
    (r"\b(inputs?|prompts?|context)\b", "input_tokens", "input_tokens"),
    (
        r"\btokens?\b|\b(size|length|long(est)?|large(st)?|short(est)?|small(est)?|big(gest)?)\b",
        "(input_tokens + output_tokens)",
        "tokens",
    ),
)
_FUNCTIONS = (
    (r"\b(average|avg|mean|durchschnitt\w*)\b", "average"),
    (r"\bmedian\b", "0.5"),
    (r"\bp ?(50|75|90|95|99)\b|\b(50|75|90|95|99)(?:th|\.)? ?percentile\b", "percentile"),
    (r"\b(max|maximum|largest|longest|biggest|highest|most)\b", "max"),
    (r"\b(min|minimum|smallest|shortest|lowest|fewest)\b", "min"),
)
_UNITS = ("minute", "hour", "day", "week")
_LIMIT = re.compile(
    r"(\b(?:more|longer|larger|bigger|greater|less|fewer|shorter|smaller) than|\b(?:over|above|under|below)"
    r"|\bat (?:least|most)|\bexceed\w*|[<>]=?)\s*(\d[\d,]*(?:\.\d+)?)\s*(k|thousand|m|million)?\b"
)
_TIME_RANGE = re.compile(
    r"\b(what|which) (period|time ?(range|span|frame)|dates?)\b|\b(from|since) when\b|\bhow long\b"
    r"|\btime ?(range|span)\b"
)
_OPERATORS = {"at least": ">=", ">=": ">=", "at most": "<=", "<=": "<="}
_SMALLER = ("less", "under", "below", "fewer", "shorter", "smaller", "<")
_TOP = re.compile(r"\btop (\d{1,3})\b|\b(\d{1,3}) (?:largest|longest|biggest|most expensive)\b")
_TOP_DEFAULT = 10
_ROWS_SHOWN = 50
_PER_REQUEST = "{measure} / greatest(requests, 1)"


@dataclass(frozen=True, slots=True)
class _Log:
    """What the SQL is written for."""

    table: str
    whole_table: str
    is_relative: bool
    has_times: bool

    def period(self, unit: str) -> tuple[str, str]:
        """SQL of the period that a row falls into, and its column's name."""
        if self.is_relative:
            start = "(SELECT min(requested_at) FROM " + self.whole_table + ")"
            return f"date_sub('{unit}', {start}, requested_at)", f"{unit}s_since_start"
        return f"date_trunc('{unit}', requested_at)", unit


def write_sql(
    question: str, description: DatasetDescription, conditions: Sequence[Condition] = ()
) -> str | None:
    """Write one SELECT statement that answers `question`; None when no rule fits.

    Only rows that fit those of `conditions` that can be expressed are looked at. A question that is itself a
    SELECT statement is taken as it is.
    """
    if re.match(r"\s*(select|with)\b.*\bfrom\b", question, re.IGNORECASE | re.DOTALL):
        return question.strip()
    text = correct_spelling(question.lower())
    time = description.time
    table = '"' + description.table.replace('"', '""') + '"'
    filters, _ = split_conditions(conditions, description)
    log = _Log(
        table=f"(SELECT * FROM {table} WHERE {' AND '.join(filters.values())})" if filters else table,
        whole_table=table,
        is_relative=time.is_relative,
        has_times=time.span_seconds is not None,
    )
    for rule in (_busiest, _time_range, _distinct, _top_rows, _share_of_requests, _grouped, _single):
        sql = rule(text, log)
        if sql is not None:
            return sql
    return None


def _busiest(text: str, log: _Log) -> str | None:
    match = re.search(
        r"\b(busiest|quietest|peak traffic|rush|most requests|most traffic|fewest requests)\b", text
    )
    if match is None or not log.has_times or re.search(r"\b(models?|projects?|teams?|users?)\b", text):
        return None
    unit = next((unit for unit in _UNITS if re.search(rf"\b{unit}s?\b", text)), "hour")
    order = "ASC" if match[1] in {"quietest", "fewest requests"} else "DESC"
    if re.search(r"\b(weekday|day of (the )?week)\b", text) and not log.is_relative:
        expression, column = "dayname(requested_at)", "weekday"
    else:
        expression, column = log.period(unit)
    return (
        f"SELECT {expression} AS {column}, {_sums()} FROM {log.table} "
        f"WHERE requested_at IS NOT NULL GROUP BY 1 ORDER BY requests {order}, 1 LIMIT 5"
    )


def _time_range(text: str, log: _Log) -> str | None:
    if not log.has_times or not _TIME_RANGE.search(text):
        return None
    length = "date_diff('second', min(requested_at), max(requested_at)) AS seconds"
    if log.is_relative:
        return f"SELECT {length}, sum(requests) AS requests FROM {log.table}"
    return (
        f"SELECT min(requested_at) AS first_request, max(requested_at) AS last_request, {length}, "
        f"sum(requests) AS requests FROM {log.table}"
    )


def _distinct(text: str, log: _Log) -> str | None:
    for words, column in ((r"models?", "model"), (r"(?:projects?|teams?|users?|keys?)", "project")):
        if re.search(rf"\b(how many|number of)( different| distinct)? {words}\b", text):
            return f"SELECT count(DISTINCT {column}) AS different_{column}s FROM {log.table}"
        if re.search(rf"\b(which|what|list|show)( are)?( the| all)? {words}\b", text):
            return _group_sql(column, column, log)
    return None


def _top_rows(text: str, log: _Log) -> str | None:
    match = _TOP.search(text)
    rows = int(match[1] or match[2]) if match else _TOP_DEFAULT
    plural = re.search(r"\b(largest|longest|biggest) (requests|prompts|calls|inputs|outputs|answers)\b", text)
    if not (match or plural) or re.search(r"\b(models|projects|teams|users)\b", text):
        return None
    measure, _ = _measure(text) or ("(input_tokens + output_tokens)", "tokens")
    return (
        "SELECT row_number AS row, requested_at, model, input_tokens, output_tokens "
        f"FROM {log.table} ORDER BY {measure} DESC, row_number LIMIT {max(rows, 1)}"
    )


def _share_of_requests(text: str, log: _Log) -> str | None:
    condition = _condition(text)
    if condition is None:
        return None
    matching = f"coalesce(sum(requests) FILTER (WHERE {condition}), 0)"
    return (
        f"SELECT {matching} AS matching_requests, sum(requests) AS all_requests, "
        f"round(100.0 * {matching} / sum(requests), 2) AS percent FROM {log.table}"
    )


def _grouped(text: str, log: _Log) -> str | None:
    match = re.search(
        r"\b(?:per|by|each|every)\s+(minute|hour|day|week|weekday|model|project|team|user|key)\b", text
    )
    if match is None:
        return None
    group = match[1]
    if group in _UNITS:
        if not log.has_times:
            return None
        expression, column = log.period(group)
        return (
            f"SELECT {expression} AS {column}, {_sums()} FROM {log.table} "
            f"WHERE requested_at IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT {_ROWS_SHOWN}"
        )
    if group == "weekday":
        return _group_sql("dayname(requested_at)", "weekday", log) if not log.is_relative else None
    return _group_sql("model" if group == "model" else "project", group, log)


def _single(text: str, log: _Log) -> str | None:
    measure = _measure(text)
    function = next((name for pattern, name in _FUNCTIONS if re.search(pattern, text)), None)
    if re.search(r"\bratio\b", text):
        return (
            "SELECT round(sum(input_tokens) / sum(output_tokens), 2) AS input_tokens_for_each_output_token "
            f"FROM {log.table}"
        )
    if measure is None:
        if re.search(r"\brows?|records?|entries|lines\b", text):
            return f"SELECT count(*) AS rows, coalesce(sum(requests), 0) AS requests FROM {log.table}"
        if re.search(r"\b(how many|number of|count|wie ?viele|anzahl)\b", text):
            return f"SELECT coalesce(sum(requests), 0) AS requests FROM {log.table}"
        return None
    expression, name = measure
    each = _PER_REQUEST.format(measure=expression)
    match function:
        case "average":
            return f"SELECT round(sum({expression}) / sum(requests), 2) AS average_{name} FROM {log.table}"
        case "0.5":
            return f"SELECT round(quantile_cont({each}, 0.5), 2) AS median_{name} FROM {log.table}"
        case "percentile":
            found = re.search(r"\b(50|75|90|95|99)\b|p(50|75|90|95|99)", text)
            rank = (found[1] or found[2]) if found else "95"
            return f"SELECT round(quantile_cont({each}, 0.{rank}), 2) AS p{rank}_{name} FROM {log.table}"
        case "max" | "min":
            return f"SELECT round({function}({each}), 2) AS {function}imum_{name} FROM {log.table}"
        case _ if name == "tokens":
            return (
                f"SELECT sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, "
                f"sum(input_tokens) + sum(output_tokens) AS all_tokens FROM {log.table}"
            )
        case _:
            return f"SELECT sum({expression}) AS {name} FROM {log.table}"


def _measure(text: str) -> tuple[str, str] | None:
    found = [(column, name) for pattern, column, name in _MEASURES if re.search(pattern, text)]
    has_both = {"input_tokens", "output_tokens"} <= {name for _, name in found}
    return _MEASURES[-1][1:] if has_both else found[0] if found else None


def _condition(text: str) -> str | None:
    match = _LIMIT.search(text)
    if match is None:
        return None
    measure, _ = _measure(text) or ("input_tokens", "input_tokens")
    factor = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}.get(match[3] or "", 1)
    number = round(float(match[2].replace(",", "")) * factor)
    operator = _OPERATORS.get(match[1]) or ("<" if match[1].startswith(_SMALLER) else ">")
    return f"{_PER_REQUEST.format(measure=measure)} {operator} {number}"


def _group_sql(expression: str, column: str, log: _Log) -> str:
    return (
        f"SELECT {expression} AS {column}, {_sums()} FROM {log.table} "
        f"GROUP BY 1 ORDER BY requests DESC, 1 LIMIT {_ROWS_SHOWN}"
    )


def _sums() -> str:
    return "sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens"
