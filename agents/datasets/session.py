"""One user's datasets, open for analysis in a process of their own."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from contexts.exceptions import NotFoundError

from .query_process import QueryProcess
from .query_result import QueryResult
from .stored import DatasetSource

__all__ = ["AnalysisSession", "DatasetSource"]


class AnalysisSession:
    """Answer questions about datasets by SQL, without reach beyond them.

    After the constructor the process can read no file but the datasets' own, reach no network, load no
    extension and change no setting, and takes no more memory than it was granted. Calls from several threads
    take turns.
    """

    def __init__(
        self,
        sources: Sequence[DatasetSource],
        *,
        memory_limit_bytes: int,
        process: QueryProcess | None = None,
    ) -> None:
        """Open `sources` in `process`, a fresh one by default, within `memory_limit_bytes`.

        Small datasets are loaded into memory, large ones are read from their files at each query.

        Raises:
            NotFoundError: A dataset's file is gone.
            ToolError: A dataset's file cannot be read, does not fit the memory, or the process was stopped.
            UnavailableError: No process can be made.

        """
        self._sources = {source.id: source for source in sources}
        self._process = process or QueryProcess()
        try:
            self._tables: dict[str, str] = self._process.call(
                "open", sources=tuple(sources), memory_limit_bytes=memory_limit_bytes
            )
        except BaseException:
            self._process.close()
            raise

    @property
    def table_names(self) -> Mapping[str, str]:
        """The SQL name of each dataset by its id."""
        return dict(self._tables)

    @property
    def sources(self) -> Mapping[str, DatasetSource]:
        """The open datasets by their id."""
        return dict(self._sources)

    @property
    def process(self) -> QueryProcess:
        """The process that answers."""
        return self._process

    def source(self, dataset_id: str) -> DatasetSource:
        """Return the open dataset with this id.

        Raises:
            NotFoundError: The session has none.

        """
        try:
            return self._sources[dataset_id]
        except KeyError:
            raise NotFoundError("There is no such dataset.") from None

    def query(self, sql: str, *, max_rows: int = 200) -> QueryResult:
        """Answer one SELECT statement with at most `max_rows` rows.

        Raises:
            ToolError: It is not exactly one reading statement, is wrong, reaches beyond the datasets, needs
                too much memory, or was stopped.

        """
        result: QueryResult = self._process.call("query", sql=sql, max_rows=max_rows)
        return result

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run `sql` of our own, which must not come from users or models, and return all rows.

        Raises:
            ToolError: It needs too much memory, or was stopped.

        """
        rows: list[tuple[Any, ...]] = self._process.call("fetch", sql=sql, parameters=tuple(parameters))
        return rows

    def mentions(self, identifier: UUID) -> bool:
        """Tell whether a text of the open datasets holds an identifier, with dashes or without.

        Raises:
            ToolError: It needs too much memory, or was stopped.

        """
        is_found: bool = self._process.call("mentions", identifier=identifier)
        return is_found

    def close(self) -> None:
        """End the process, which gives all memory back; a query under way raises `ToolError`."""
        self._process.close()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()
