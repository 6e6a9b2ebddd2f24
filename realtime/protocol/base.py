"""What all frames of the socket have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

PROTOCOL = "netra.v1"
"""The subprotocol that clients offer and the server answers."""
MAX_FRAME_BYTES = 65_536
"""Largest client frame, in bytes of UTF-8."""
MAX_TEXT_LENGTH = 10_000
"""Longest message, in characters (Unicode code points)."""

FrameId = Annotated[str, Field(min_length=1, max_length=128)] | StrictInt
"""What the client calls a frame by; the answer bears the same."""


class Frame(BaseModel):
    """A JSON object; a field that is not described here is not allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
