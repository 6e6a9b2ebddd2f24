"""The OpenAI usage API's completions usage: pages of time buckets, each with results.

Format: `GET /v1/organization/usage/completions`: `{"object": "page", "data": [{"object": "bucket",
"start_time", "end_time", "results": [{"input_tokens", "input_cached_tokens", "output_tokens",
"num_model_requests", "model", "batch", "project_id", …}]}]}`. Several pages or buckets may follow each
other, one a line or in a list. Times are Unix seconds; `input_tokens` includes the cached ones. One row is
one result: many requests of one bucket.
"""

from agents.datasets.layout import Layout
from agents.datasets.names import FieldNames

NAME = "openai_usage"
BUCKET_START = "start_time"


def recognise(names: FieldNames) -> Layout | None:
    """Take results with the token counts and the number of requests, in a bucket that starts somewhere."""
    if not names.has_all("input_tokens", "output_tokens", "num_model_requests", BUCKET_START):
        return None
    return Layout(
        format=NAME,
        columns={
            "requested_at": names.find(BUCKET_START),
            "model": names.find("model"),
            "requests": names.find("num_model_requests"),
            "input_tokens": names.find("input_tokens"),
            "cached_input_tokens": names.find("input_cached_tokens"),
            "output_tokens": names.find("output_tokens"),
            "is_batch": names.find("batch"),
            "project": names.find("project_id", "user_id", "api_key_id"),
        },
        notes=(
            "Each row is a bucket of a usage report that stands for many requests; sizes of single requests "
            "are "
            "not known, so means are used in their place.",
        ),
    )
