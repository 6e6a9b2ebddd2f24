"""Pages of a table with millions of rows, which are not all counted for that."""

from typing import Any

from django.core.paginator import Paginator
from django.db import connection
from django.utils.functional import cached_property

COUNTED = 10_000
"""Up to here rows are counted; a list that is narrowed down shows no more than these."""

_ESTIMATE = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass"


class EstimatingPaginator(Paginator):
    """Counts up to 10,000 rows; of a whole table with more it takes PostgreSQL's own estimate."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are: exactly up to 10,000."""
        rows: Any = self.object_list
        counted: int = rows.order_by()[: COUNTED + 1].count()
        if counted <= COUNTED:
            return counted
        if rows.query.where:
            return COUNTED
        with connection.cursor() as cursor:
            cursor.execute(_ESTIMATE, [rows.model._meta.db_table])
            return max(counted, int(cursor.fetchone()[0]))
