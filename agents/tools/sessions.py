"""The dataset that one run has open for analysis."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from agents.datasets.query_process import QueryProcess
from agents.datasets.session import AnalysisSession, DatasetSource
from agents.selectors import dataset_of, datasets_of
from agents.tools.work import ToolWork
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, NotFoundError
from contexts.quotas import limit_of
from contexts.resources import Resource
from contexts.scope import scope

_ENDED = "The run has ended."
_LOOK_UP_SECONDS = 0.2


class AnalysisSessions:
    """Private, locked DuckDB instances, of which a run has one at a time, for one call at a time.

    So all of the run's analysis keeps within the `memory_bytes` of its user. A dataset stays open for the
    next call, until another one is asked for or the run ends.
    """

    def __init__(self, context: UserExecutionContext) -> None:
        """Open datasets for `context`'s user, within their `memory_bytes`."""
        self._context = context
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._process: QueryProcess | None = None
        self._session: AnalysisSession | None = None
        self._used: dict[UUID, None] = {}
        self._is_closed = False

    @contextmanager
    def use(self, dataset_id: str, work: ToolWork) -> Iterator[AnalysisSession]:
        """Have the session that holds this dataset and no other to oneself; calls take turns.

        What it uses counts for `work`, and with it the session is stopped.

        Raises:
            NotFoundError: when the dataset does not exist or is another tenant's.
            ToolError: when its data cannot be read or do not fit the memory, or the work was stopped.
            ContextClosedError: when the run has ended.
            UnavailableError: when the server has no process for it.
        """
        try:
            identifier = UUID(dataset_id)
        except ValueError:
            raise NotFoundError("There is no such dataset.") from None
        with self._wait_for_turn(work):
            if self._is_closed:
                raise ContextClosedError(_ENDED)
            is_open = self._session is not None and str(identifier) in self._session.sources
            wanted = None if is_open else self._find(identifier)
            if wanted is not None:
                self._drop()
            try:
                process = self._take_process()
                with work.using(process):
                    if wanted is not None:
                        source, memory = wanted
                        self._session = AnalysisSession([source], memory_limit_bytes=memory, process=process)
                    assert self._session is not None
                    # Last used, last in order.
                    self._used.pop(identifier, None)
                    self._used[identifier] = None
                    yield self._session
            finally:
                if self._is_closed or self._session is None or self._session.process.has_ended:
                    self._drop()

    def mentioned(self, identifiers: Collection[UUID], work: ToolWork) -> set[UUID]:
        """Return those identifiers that stand in data the user may read: names of datasets, used logs.

        Whoever put them there, reading them there is no leak. Raises what `use` does, but for datasets that
        are gone.
        """
        with scope(self._context):
            rows = datasets_of(self._context).values_list("name", "filename", "notes")
            names = "\n".join(str(part) for row in rows for part in row).lower().replace("-", "")
        found = {identifier for identifier in identifiers if identifier.hex in names}
        for used in reversed(list(self._used)):
            if len(found) == len(set(identifiers)):
                break
            with suppress(NotFoundError), self.use(str(used), work) as session:
                found |= {identifier for identifier in identifiers if session.mentions(identifier)}
        return found

    def close(self) -> None:
        """Stop what is running and close what is open, for good."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.stop()
        # Otherwise whoever uses it closes it.
        if self._turn.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._turn.release()

    @contextmanager
    def _wait_for_turn(self, work: ToolWork) -> Iterator[None]:
        # A call that was stopped waits no longer.
        while not self._turn.acquire(timeout=_LOOK_UP_SECONDS):
            work.check()
        try:
            yield
        finally:
            self._turn.release()

    def _take_process(self) -> QueryProcess:
        """Return the process of the open dataset, or a fresh one."""
        with self._lock:
            if self._is_closed:
                raise ContextClosedError(_ENDED)
            if self._process is None:
                self._process = QueryProcess()
            return self._process

    def _find(self, dataset_id: UUID) -> tuple[DatasetSource, int]:
        """Return what to open, and how many bytes of memory it may take."""
        with scope(self._context):
            dataset = dataset_of(self._context, dataset_id)
            memory = int(limit_of(self._context, Resource.MEMORY_BYTES))
        source = DatasetSource(
            id=str(dataset.id),
            name=dataset.name,
            path=dataset.path,
            assumed_model=dataset.assumed_model or None,
            time_is_relative=dataset.time_is_relative,
            format=dataset.format,
            notes=tuple(dataset.notes),
        )
        return source, memory

    def _drop(self) -> None:
        with self._lock:
            process, self._process, self._session = self._process, None, None
        if process is not None:
            process.close()
