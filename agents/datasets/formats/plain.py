"""Any table of requests whose columns have usual names."""

from agents.datasets.layout import Layout
from agents.datasets.names import FieldNames

NAME = "plain_table"

SYNONYMS: dict[str, tuple[str, ...]] = {
    "requested_at": (
        "timestamp",
        "requested_at",
        "created_at",
        "created",
        "request_time",
        "start_time",
        "started_at",
        "startTime",
        "time",
        "datetime",
        "date",
        "day",
        "ts",
        "logged_at",
        "event_time",
    ),
    "model": (
        "model",
        "model_name",
        "model_id",
        "request_model",
        "response_model",
        "deployment",
        "deployment_name",
        "engine",
        "gen_ai.request.model",
        "model_group",
    ),
    "provider": ("provider", "provider_name", "vendor", "custom_llm_provider", "gen_ai.system"),
    "requests": ("requests", "request_count", "num_requests", "num_model_requests", "n_requests", "calls"),
    "input_tokens": (
        "input_tokens",
        "prompt_tokens",
        "context_tokens",
        "tokens_in",
        "tokens_input",
        "input_token_count",
        "prompt_token_count",
        "tokens_prompt",
        "input_length",
        "in_tokens",
        "num_input_tokens",
        "n_input_tokens",
        "usage.input_tokens",
        "usage.prompt_tokens",
        "gen_ai.usage.input_tokens",
    ),
    "cached_input_tokens": (
        "cached_input_tokens",
        "cached_tokens",
        "input_cached_tokens",
        "cached_prompt_tokens",
        "cache_read_tokens",
        "cache_read_input_tokens",
        "prompt_cached_tokens",
        "tokens_cached",
        "usage.prompt_tokens_details.cached_tokens",
        "usage.input_tokens_details.cached_tokens",
    ),
    "output_tokens": (
        "output_tokens",
        "completion_tokens",
        "generated_tokens",
        "tokens_out",
        "tokens_output",
        "output_token_count",
        "completion_token_count",
        "candidates_token_count",
        "tokens_completion",
        "output_length",
        "out_tokens",
        "num_output_tokens",
        "n_output_tokens",
        "usage.output_tokens",
        "usage.completion_tokens",
        "gen_ai.usage.output_tokens",
    ),
    "recorded_cost_usd": (
        "cost",
        "cost_usd",
        "total_cost",
        "total_cost_usd",
        "spend",
        "spend_usd",
        "price",
        "price_usd",
        "amount_usd",
        "usage_cost",
    ),
    "is_batch": ("is_batch", "batch"),
    "project": (
        "project",
        "project_name",
        "project_id",
        "team",
        "team_name",
        "team_id",
        "application",
        "app",
        "service",
        "user",
        "user_id",
        "user_name",
        "api_key_name",
        "key_alias",
        "tag",
    ),
    "prefix_hashes": ("prefix_hashes", "hash_ids"),
}
"""For each canonical column the names by which files call it, the most telling first."""

REQUIRED = {"input_tokens": "input tokens", "output_tokens": "output tokens"}
"""The canonical columns that a usage log cannot do without, and what to call them."""


def recognise(names: FieldNames) -> Layout | None:
    """Take a file that has input and output tokens under any usual name."""
    columns = {column: names.find(*candidates)[:1] for column, candidates in SYNONYMS.items()}
    if not all(columns[column] for column in REQUIRED):
        return None
    return Layout(format=NAME, columns={column: found for column, found in columns.items() if found})


def missing(names: FieldNames) -> list[str]:
    """Tell which required columns are not there, each with some of the names it may have."""
    return [
        f"{label} (named for example {', '.join(SYNONYMS[column][:3])})"
        for column, label in REQUIRED.items()
        if not names.find(*SYNONYMS[column])
    ]
