"""The book of what was really called: lines that processes add to one file, also while a database is away."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VARIABLE = "NETRA_SCRIPTED_COUNTS"
"""Names the file in the environment of the processes."""

Phase = Literal["began", "ended"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One call of a model or a tool."""

    kind: Literal["model", "tool"]
    name: str
    """Of the script."""
    key: str
    """Of a model call: its agent and its number among that agent's; of a tool call: its call id."""
    phase: Phase
    process: int
    at: float
    """Unix time."""


def count(kind: Literal["model", "tool"], *, name: str, key: str, phase: Phase) -> None:
    """Add a line to the book; what is added at once by others is kept apart by the system."""
    entry = {
        "kind": kind,
        "name": name,
        "key": key,
        "phase": phase,
        "process": os.getpid(),
        "at": time.time(),
    }
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, (json.dumps(entry | {"at": time.time()}) + "\n").encode())
    finally:
        os.close(file)


def read_counts(path: Path) -> list[Entry]:
    """Return all lines so far, in the order in which they were added."""
    if not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_text().splitlines()]


def calls(entries: list[Entry], kind: str, name: str, phase: Phase = "began") -> Counter[str]:
    """Return how often each call of one script was made, by its key."""
    return Counter(
        entry.key for entry in entries if (entry.kind, entry.name, entry.phase) == (kind, name, phase)
    )
