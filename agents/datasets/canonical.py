"""The one table that every usage log becomes: its columns, and the SQL that checks and converts raw text.

One row is one request, or one bucket of a provider's usage report (then `requests` tells how many). The
columns are those of `COLUMNS`, in that order; times are UTC `TIMESTAMP`s, and where the log only tells the
time since its own start they are counted from 1970-01-01.

Every raw value arrives as text (or NULL). What is not acceptable raises, inside DuckDB, an error whose
message starts with `BAD_ROW`, so that one streaming pass both checks and writes.
"""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from dataclasses import dataclass

BAD_ROW = "netra-bad-row: "
"""Marks the error messages that this module's SQL raises on purpose."""

TOKENS_PER_REQUEST_LIMIT = 10**9
"""More tokens than this in one request are refused as a mistake; the longest context windows hold 10**7."""

NAME_LIMIT = 200
"""Characters of a model's, provider's or project's name that are kept."""


@dataclass(frozen=True, slots=True)
class CanonicalColumn:
    """A column of the stored table."""

    name: str
    type: str
    """DuckDB type."""
    description: str


COLUMNS = (
    CanonicalColumn("row_number", "BIGINT", "position in the log, from 1"),
    CanonicalColumn(
        "requested_at", "TIMESTAMP", "time of the request or start of the bucket, UTC; may be NULL"
    ),
    CanonicalColumn("model", "VARCHAR", "model as the log names it; may be NULL"),
    CanonicalColumn("provider", "VARCHAR", "provider as the log names it; may be NULL"),
    CanonicalColumn("requests", "BIGINT", "number of requests that the row stands for"),
    CanonicalColumn("input_tokens", "BIGINT", "input tokens, the cached ones included"),
    CanonicalColumn("cached_input_tokens", "BIGINT", "input tokens read from a prompt cache; 0 when unknown"),
    CanonicalColumn("output_tokens", "BIGINT", "generated tokens"),
    CanonicalColumn("recorded_cost_usd", "DOUBLE", "what the log itself says it cost, USD; may be NULL"),
    CanonicalColumn("is_batch", "BOOLEAN", "whether it went through batch processing"),
    CanonicalColumn("project", "VARCHAR", "project, team, key or user as the log names it; may be NULL"),
    CanonicalColumn(
        "prefix_hashes",
        "BIGINT[]",
        "one hash for each 512-token block of the prompt, equal leading ones mean a shared prefix; may be "
        "NULL",
    ),
)

RAW_FIELDS = tuple(column.name for column in COLUMNS if column.name != "row_number")
"""The names under which a format hands over its raw texts."""


def canonical_sql(raw_sql: str, *, time_is_relative: bool) -> str:
    """Wrap `raw_sql` so that it yields the canonical columns, or raises at its first unacceptable row.

    `raw_sql` yields `row_number BIGINT` and the `RAW_FIELDS` as VARCHAR. Relative times are milliseconds.
    """
    time = _relative_time("requested_at") if time_is_relative else _absolute_time("requested_at")
    return f"""
    WITH raw AS ({raw_sql}),
    numbers AS (
        SELECT *,
            {_number("requests")} AS requests_number,
            {_number("input_tokens")} AS input_number,
            {_number("cached_input_tokens")} AS cached_number,
            {_number("output_tokens")} AS output_number,
            {_number("recorded_cost_usd")} AS cost_number
        FROM raw
    ),
    checked AS (
        SELECT *, {_problem()} AS problem FROM numbers
    )
    SELECT
        CASE WHEN problem IS NULL THEN row_number
             ELSE CAST(error('{BAD_ROW}' || row_number || '|' || problem) AS BIGINT) END AS row_number,
        {time} AS requested_at,
        {_name("model")} AS model,
        {_name("provider")} AS provider,
        CAST(coalesce(requests_number, 1) AS BIGINT) AS requests,
        CAST(input_number AS BIGINT) AS input_tokens,
        CAST(coalesce(cached_number, 0) AS BIGINT) AS cached_input_tokens,
        CAST(output_number AS BIGINT) AS output_tokens,
        cost_number AS recorded_cost_usd,
        coalesce(lower(trim(is_batch)) IN ('true', 't', 'yes', '1', 'batch'), false) AS is_batch,
        {_name("project")} AS project,
        CASE WHEN prefix_hashes IS NULL THEN NULL
             WHEN list_count(TRY_CAST(prefix_hashes AS BIGINT[])) = len(TRY_CAST(prefix_hashes AS BIGINT[]))
             THEN TRY_CAST(prefix_hashes AS BIGINT[])
             ELSE CAST({_raise("'the prefix hashes are no list of whole numbers'")} AS BIGINT[])
             END AS prefix_hashes
    FROM checked
    """


def _text(name: str) -> str:
    return f"nullif(trim({name}), '')"


def _name(name: str) -> str:
    return f"left({_text(name)}, {NAME_LIMIT})"


def _number(name: str) -> str:
    # Through DOUBLE, because a cast to BIGINT would silently round 3.7; counts below 10**15 stay exact.
    return f"TRY_CAST(nullif(trim({name}), '') AS DOUBLE)"


def _raise(message_sql: str) -> str:
    return f"error('{BAD_ROW}' || row_number || '|' || {message_sql})"


def _shown(name: str) -> str:
    return f"'\"' || left({name}, 40) || '\"'"


def _problem() -> str:
    limit = f"{TOKENS_PER_REQUEST_LIMIT} * coalesce(requests_number, 1)"
    cases = [
        f"""WHEN {_text("requests")} IS NOT NULL AND (requests_number IS NULL OR requests_number < 0
            OR requests_number > {TOKENS_PER_REQUEST_LIMIT} OR requests_number <> floor(requests_number))
        THEN 'the number of requests is ' || {_shown("requests")} || ', which is no whole number from 0'"""
    ]
    for name, number, label, is_required in (
        ("input_tokens", "input_number", "input tokens", True),
        ("output_tokens", "output_number", "output tokens", True),
        ("cached_input_tokens", "cached_number", "cached input tokens", False),
    ):
        if is_required:
            cases.append(f"WHEN {_text(name)} IS NULL THEN 'the number of {label} is missing'")
        cases.append(f"""WHEN {_text(name)} IS NOT NULL AND ({number} IS NULL OR {number} < 0
            OR {number} <> floor({number}))
        THEN 'the number of {label} is ' || {_shown(name)} || ', which is no whole number from 0'""")
        cases.append(f"""WHEN {number} > {limit}
        THEN 'the number of {label} is ' || {_shown(name)} || ','
            || ' more than {TOKENS_PER_REQUEST_LIMIT} a request'""")
    cases.append("""WHEN cached_number > input_number
        THEN 'there are more cached input tokens (' || left(cached_input_tokens, 40)
            || ') than input tokens (' || left(input_tokens, 40)
            || '), but input tokens have to include the cached ones'""")
    cases.append(f"""WHEN {_text("recorded_cost_usd")} IS NOT NULL AND (cost_number IS NULL
            OR NOT isfinite(cost_number))
        THEN 'the cost is ' || {_shown("recorded_cost_usd")} || ', which is no number'""")
    return "CASE " + " ".join(cases) + " END"


def _absolute_time(name: str) -> str:
    text = f"trim({name})"
    number = f"TRY_CAST({text} AS DOUBLE)"
    # Unix times are told apart by their size: seconds, milli-, micro- and nanoseconds between 2001 and 2286.
    unix_seconds = f"""CASE WHEN {number} BETWEEN 1e9 AND 1e10 THEN {number}
        WHEN {number} BETWEEN 1e12 AND 1e13 THEN {number} / 1e3
        WHEN {number} BETWEEN 1e15 AND 1e16 THEN {number} / 1e6
        WHEN {number} BETWEEN 1e18 AND 1e19 THEN {number} / 1e9 END"""
    from_unix = f"make_timestamp(CAST(round(({unix_seconds}) * 1e6) AS BIGINT))"
    from_text = f"CAST(TRY_CAST({text} AS TIMESTAMPTZ) AS TIMESTAMP)"
    parsed = f"CASE WHEN {number} IS NULL THEN {from_text} ELSE {from_unix} END"
    message = f"'the time is ' || {_shown(name)} || ', which is neither an ISO 8601 nor a recent Unix time'"
    return f"""CASE WHEN {_text(name)} IS NULL THEN NULL
        WHEN ({parsed}) BETWEEN TIMESTAMP '2000-01-01' AND TIMESTAMP '2200-01-01' THEN ({parsed})
        ELSE CAST({_raise(message)} AS TIMESTAMP) END"""


def _relative_time(name: str) -> str:
    milliseconds = f"TRY_CAST(trim({name}) AS DOUBLE)"
    message = f"'the time is ' || {_shown(name)} || ', which is no number of milliseconds since the start'"
    return f"""CASE WHEN {_text(name)} IS NULL THEN NULL
        WHEN {milliseconds} BETWEEN 0 AND 1e13
        THEN make_timestamp(CAST(round({milliseconds} * 1e3) AS BIGINT))
        ELSE CAST({_raise(message)} AS TIMESTAMP) END"""
