"""The spend logs of the LiteLLM proxy, exported as CSV, JSON or JSON Lines.

Format: LiteLLM's table `LiteLLM_SpendLogs`. `prompt_tokens` includes the tokens read from a provider's
prompt cache, whose number is in `metadata`. A row with `cache_hit = True` was answered from LiteLLM's own
response cache and never reached a provider, so it is left out. `api_key` is a hash of a secret and is not
imported.
"""

from agents.datasets.layout import Layout
from agents.datasets.names import FieldNames

NAME = "litellm_spend_logs"


def recognise(names: FieldNames) -> Layout | None:
    """Take a file with LiteLLM's start time and token counts and at least one more of its own columns."""
    if not names.has_all("startTime", "prompt_tokens", "completion_tokens"):
        return None
    if not names.find("spend", "request_id", "call_type", "model_group", "custom_llm_provider"):
        return None
    cache_hit = names.find("cache_hit")
    return Layout(
        format=NAME,
        columns={
            "requested_at": names.find("startTime"),
            "model": names.find("model", "model_group"),
            "provider": names.find("custom_llm_provider"),
            "input_tokens": names.find("prompt_tokens"),
            "cached_input_tokens": names.find(
                "metadata.usage_object.prompt_tokens_details.cached_tokens",
                "metadata.additional_usage_values.prompt_tokens_details.cached_tokens",
                "metadata.usage_object.cache_read_input_tokens",
                "metadata.additional_usage_values.cache_read_input_tokens",
            ),
            "output_tokens": names.find("completion_tokens"),
            "recorded_cost_usd": names.find("spend"),
            "project": names.find(
                "metadata.user_api_key_team_alias",
                "team_alias",
                "team_id",
                "metadata.user_api_key_alias",
                "key_alias",
                "end_user",
                "user",
            ),
        },
        skip_rows_where=(cache_hit[0], "true") if cache_hit else None,
        skip_note="{rows} requests were answered from LiteLLM's own cache at no cost; they are left out.",
    )
