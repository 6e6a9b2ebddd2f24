"""The time that a log covers, and the periods it is cut into."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.datasets.connection import quote_name
from agents.datasets.formats import openai_usage
from agents.datasets.session import AnalysisSession

from .results import PeriodUnit, TimeRange

_MINUTES_UP_TO = timedelta(hours=2)
_HOURS_UP_TO = timedelta(days=5)

SECONDS: dict[PeriodUnit, int] = {"minute": 60, "hour": 3600, "day": 86400}
"""Length of each period."""


@dataclass(frozen=True, slots=True)
class LogTimes:
    """When the requests of a log were made."""

    first: datetime
    """First time, naive UTC; counted from 1970-01-01 when relative."""
    last: datetime
    """Last time, the same way; for buckets the start of the last one."""
    covered: timedelta
    """Time that the log covers; for buckets the last one's own length included."""
    is_relative: bool
    """Whether times count from the log's own start."""

    @property
    def end(self) -> datetime:
        """The moment up to which the log knows everything."""
        return self.first + self.covered

    @property
    def unit(self) -> PeriodUnit:
        """A length of period that cuts the log into a readable number of them."""
        if self.covered <= _MINUTES_UP_TO:
            return "minute"
        return "hour" if self.covered <= _HOURS_UP_TO else "day"

    def describe(self) -> TimeRange:
        """Express the times as a result."""
        absolute = not self.is_relative
        return TimeRange(
            first_at=self.first.replace(tzinfo=UTC) if absolute else None,
            last_at=self.last.replace(tzinfo=UTC) if absolute else None,
            span_seconds=(self.last - self.first).total_seconds(),
            is_relative=self.is_relative,
        )


NO_TIMES = TimeRange(first_at=None, last_at=None, span_seconds=None, is_relative=False)
"""The description of a log without times."""


def read_times(session: AnalysisSession, dataset_id: str) -> LogTimes | None:
    """Read when the requests of a dataset were made; None when its log has no times.

    A log of buckets covers its last bucket too, whose length is taken to be the shortest gap between two.

    Raises:
        NotFoundError: The session has no such dataset.

    """
    source = session.source(dataset_id)
    table = quote_name(session.table_names[dataset_id])
    ((first, last),) = session.fetch(f"SELECT min(requested_at), max(requested_at) FROM {table}")
    if first is None:
        return None
    covered = last - first
    if source.format == openai_usage.NAME:
        ((gap,),) = session.fetch(
            f"""SELECT min(gap) FROM (
                SELECT moment - lag(moment) OVER (ORDER BY moment) AS gap
                FROM (SELECT DISTINCT requested_at AS moment FROM {table} WHERE requested_at IS NOT NULL))"""
        )
        covered += gap or timedelta(0)
    return LogTimes(first=first, last=last, covered=covered, is_relative=source.time_is_relative)
