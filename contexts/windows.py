"""The time windows over which quotas count, in UTC."""

from datetime import UTC, datetime, timedelta

from contexts.resources import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def window_start(window: str, *, now: datetime) -> datetime:
    """Return when the window around `now` began; the epoch for what has no window."""
    moment = now.astimezone(UTC)
    match window:
        case Window.MINUTE:
            return moment.replace(second=0, microsecond=0)
        case Window.DAY:
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)
        case Window.MONTH:
            return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        case _:
            return EPOCH


def window_end(window: str, *, now: datetime) -> datetime | None:
    """Return when the window around `now` ends and its quota is free again, if it ends."""
    start = window_start(window, now=now)
    match window:
        case Window.MINUTE:
            return start + timedelta(minutes=1)
        case Window.DAY:
            return start + timedelta(days=1)
        case Window.MONTH:
            return (start + timedelta(days=32)).replace(day=1)
        case _:
            return None
