"""Usage logs: reading foreign formats into one Parquet table, and querying that table safely."""

from .importer import ImportedDataset, import_file
from .query_result import QueryColumn, QueryResult
from .session import AnalysisSession, DatasetSource

__all__ = ["AnalysisSession", "DatasetSource", "ImportedDataset", "QueryColumn", "QueryResult", "import_file"]
