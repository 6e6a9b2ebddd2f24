"""The Azure LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens`, one row a request, no model.

Format: Azure Public Dataset, "Azure LLM inference trace 2023" and 2024.
"""

from agents.datasets.layout import Layout
from agents.datasets.names import FieldNames

NAME = "azure_llm_inference_trace"


def recognise(names: FieldNames) -> Layout | None:
    """Take a file with exactly the trace's three columns."""
    if len(names) != 3 or not names.has_all("TIMESTAMP", "ContextTokens", "GeneratedTokens"):
        return None
    return Layout(
        format=NAME,
        columns={
            "requested_at": names.find("TIMESTAMP"),
            "input_tokens": names.find("ContextTokens"),
            "output_tokens": names.find("GeneratedTokens"),
        },
    )
