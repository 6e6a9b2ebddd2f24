"""The log formats that can be read, one module each, the most particular first."""

from agents.datasets.layout import Layout, Recogniser
from agents.datasets.names import FieldNames

from . import azure_trace, litellm_spend, mooncake_trace, openai_usage, plain

_RECOGNISERS: tuple[Recogniser, ...] = (
    azure_trace.recognise,
    mooncake_trace.recognise,
    litellm_spend.recognise,
    openai_usage.recognise,
    plain.recognise,
)


def find_layout(names: FieldNames) -> Layout | None:
    """Return the layout of the first format that takes a file with these fields, or None."""
    return next((layout for recognise in _RECOGNISERS if (layout := recognise(names)) is not None), None)
