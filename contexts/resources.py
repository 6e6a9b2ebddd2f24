"""What is limited, over which time it counts, and what holds where no limit is stated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from django.db.models import TextChoices

MEBIBYTE = 2**20
MEGABYTE = 10**6


class Resource(TextChoices):
    """What is limited; the unit is part of the name or said beside it."""

    AGENT_RUNS = "agent_runs"
    CONCURRENT_RUNS = "concurrent_runs"
    WEBSOCKET_CONNECTIONS = "websocket_connections"
    TOKENS = "tokens"
    COST_USD = "cost_usd"
    CPU_SECONDS = "cpu_seconds"
    MEMORY_BYTES = "memory_bytes"
    RUN_SECONDS = "run_seconds"
    STORAGE_BYTES = "storage_bytes"
    MESSAGES = "messages"
    RETENTION_DAYS = "retention_days"


class Window(TextChoices):
    """Over which time, or per what, a limit counts."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    LEASE = "lease"
    CONTEXT = "context"
    RUN = "run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How a resource counts."""

    window: Window
    """Over which time, or per what."""
    fallback: Decimal
    """The limit of a member where neither tier nor override states one: that of the free tier."""
    is_whole: bool = True
    """Whether only whole amounts make sense."""


def _rule(window: Window, fallback: int, *, is_whole: bool = True) -> Rule:
    return Rule(window=window, fallback=Decimal(fallback), is_whole=is_whole)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "agent_runs": _rule(Window.DAY, 10),
        "concurrent_runs": _rule(Window.LEASE, 1),
        "websocket_connections": _rule(Window.LEASE, 2),
        "tokens": _rule(Window.DAY, 50_000),
        "cost_usd": _rule(Window.MONTH, 1, is_whole=False),
        "cpu_seconds": _rule(Window.DAY, 60, is_whole=False),
        "memory_bytes": _rule(Window.CONTEXT, 256 * MEBIBYTE),
        "run_seconds": _rule(Window.RUN, 30, is_whole=False),
        "storage_bytes": _rule(Window.TOTAL, 50 * MEGABYTE),
        "messages": _rule(Window.MINUTE, 30),
        "retention_days": _rule(Window.TOTAL, 7),
    }
)
"""The rule of every resource, in the order in which they are shown. The migration that makes the database's
functions has the windows and fallbacks too; a test compares them."""
