"""The Mooncake traces: JSON Lines with `timestamp`, `input_length`, `output_length` and `hash_ids`, no model.

Format: Mooncake (FAST '25). `timestamp` is in milliseconds since the trace's start; `hash_ids` has one id
for each block of 512 tokens of the prompt, and equal leading ids mean a shared prefix.
"""

from agents.datasets.layout import Layout
from agents.datasets.names import FieldNames

NAME = "mooncake_trace"


def recognise(names: FieldNames) -> Layout | None:
    """Take a file with the trace's four fields."""
    if not names.has_all("timestamp", "input_length", "output_length", "hash_ids"):
        return None
    return Layout(
        format=NAME,
        columns={
            "requested_at": names.find("timestamp"),
            "input_tokens": names.find("input_length"),
            "output_tokens": names.find("output_length"),
            "prefix_hashes": names.find("hash_ids"),
        },
        time_is_relative=True,
    )
