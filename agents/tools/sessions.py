"""The datasets that one run has open for analysis."""

import threading
from collections.abc import Collection
from uuid import UUID

from agents.datasets.session import AnalysisSession, DatasetSource
from agents.selectors import dataset_of, datasets_of
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, NotFoundError
from contexts.scope import scope
from contexts.selectors import limits_of


class AnalysisSessions:
    """One private, locked DuckDB instance a dataset, opened at first use and closed with the run."""

    def __init__(self, context: UserExecutionContext) -> None:
        """Open datasets for `context`'s user, within their tier's `memory_bytes`."""
        self._context = context
        self._lock = threading.Lock()
        self._sessions: dict[UUID, AnalysisSession] = {}
        self._closed = False

    def open(self, dataset_id: str) -> AnalysisSession:
        """Return the session that holds this dataset and no other.

        Raises:
            NotFoundError: when it does not exist or is another tenant's.
            ToolError: when its data cannot be read or does not fit the memory.
        """
        try:
            identifier = UUID(dataset_id)
        except ValueError:
            raise NotFoundError("There is no such dataset.") from None
        with self._lock:
            if self._closed:
                raise ContextClosedError("The run has ended.")
            session = self._sessions.get(identifier)
            if session is None:
                session = self._sessions[identifier] = self._load(identifier)
            return session

    def mentioned(self, identifiers: Collection[UUID]) -> set[UUID]:
        """Return those identifiers that stand in data the user may read: names of datasets, open logs.

        Whoever put them there, reading them there is no leak.
        """
        with scope(self._context):
            rows = datasets_of(self._context).values_list("name", "filename", "notes")
            names = "\n".join(str(part) for row in rows for part in row).lower().replace("-", "")
        with self._lock:
            sessions = list(self._sessions.values())
        return {
            identifier
            for identifier in identifiers
            if identifier.hex in names or any(session.mentions(identifier) for session in sessions)
        }

    def interrupt(self) -> None:
        """Stop whatever query is running."""
        for session in list(self._sessions.values()):
            session.interrupt()

    def close(self) -> None:
        """Stop and close every session."""
        with self._lock:
            self._closed = True
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.interrupt()
            session.close()

    def _load(self, dataset_id: UUID) -> AnalysisSession:
        with scope(self._context):
            dataset = dataset_of(self._context, dataset_id)
            memory = int(limits_of(self._context.tier)["memory_bytes"].limit)
        source = DatasetSource(
            id=str(dataset.id),
            name=dataset.name,
            path=dataset.path,
            assumed_model=dataset.assumed_model or None,
            time_is_relative=dataset.time_is_relative,
            format=dataset.format,
            notes=tuple(dataset.notes),
        )
        return AnalysisSession([source], memory_limit_bytes=memory)
