"""Events as JSON text, made once: what the database keeps is what the sockets are sent."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from agents.storable import storable

_NUL = "\\u0000"


def encode_data(data: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return an event's data as they can be stored, and their JSON text.

    Characters that PostgreSQL refuses are replaced, numbers that JSON does not know become null.

    Raises:
        TypeError: when something in them is not JSON-like.
    """
    try:
        text = _to_text(data)
        if _NUL not in text:
            return data, text
    except UnicodeError:
        pass
    data = storable(data)
    return data, _to_text(data)


def _to_text(data: dict[str, Any]) -> str:
    try:
        return to_json(data, inf_nan_mode="null").decode()
    except PydanticSerializationError as error:
        if "UnicodeEncodeError" in str(error):
            raise UnicodeError from error
        raise TypeError(f"An event's data are JSON-like: {error}") from error


class FrameHead:
    """What all frames of one run's events have in common, as JSON text."""

    __slots__ = ("_ids",)

    def __init__(self, *, run_id: UUID, thread_id: UUID, user_id: UUID) -> None:
        """Write the ids once."""
        self._ids = f'"run_id":"{run_id}","thread_id":"{thread_id}","user_id":"{user_id}"'

    def frame(self, *, seq: int, event_type: str, agent_name: str, timestamp: str, data: str) -> str:
        """Return the text of the frame that `Event.frame` describes; `data` is JSON text."""
        return (
            f'{{"type":{_quoted(event_type)},"seq":{seq},{self._ids},"agent_name":{_quoted(agent_name)},'
            f'"timestamp":"{timestamp}","data":{data}}}'
        )


@lru_cache(maxsize=1_024)
def _quoted(name: str) -> str:
    return to_json(name).decode()
