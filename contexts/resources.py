"""What is limited, over which time it counts, and what holds where no limit is stated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

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
    things: str
    """What is counted, in the plural, as it follows an amount."""
    unit: Literal["", "USD", "bytes"] = ""
    """In what it is counted; blank: in pieces, or in what `things` says."""

    def describe(self, amount: Decimal) -> str:
        """Return an amount in words, such as `50,000 tokens` or `$1.00 of model costs`."""
        if self.unit == "USD":
            return f"${amount:,.2f} {self.things}"
        if self.unit == "bytes":
            return f"{_in_bytes(amount)} {self.things}"
        return f"{amount.normalize():,f} {self.things}"


def _in_bytes(amount: Decimal) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size:
            return f"{(amount / size).quantize(Decimal('0.1')).normalize():,f} {unit}"
    return f"{amount.normalize():,f} bytes"


def _rule(
    window: Window,
    fallback: int,
    things: str,
    *,
    is_whole: bool = True,
    unit: Literal["", "USD", "bytes"] = "",
) -> Rule:
    return Rule(window=window, fallback=Decimal(fallback), things=things, is_whole=is_whole, unit=unit)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "agent_runs": _rule(Window.DAY, 10, "runs"),
        "concurrent_runs": _rule(Window.LEASE, 1, "runs at once"),
        "websocket_connections": _rule(Window.LEASE, 2, "open connections"),
        "tokens": _rule(Window.DAY, 50_000, "tokens"),
        "cost_usd": _rule(Window.MONTH, 1, "of model costs", is_whole=False, unit="USD"),
        "cpu_seconds": _rule(Window.DAY, 60, "CPU seconds", is_whole=False),
        "memory_bytes": _rule(Window.CONTEXT, 256 * MEBIBYTE, "of memory", unit="bytes"),
        "run_seconds": _rule(Window.RUN, 30, "seconds for a run", is_whole=False),
        "storage_bytes": _rule(Window.TOTAL, 50 * MEGABYTE, "of storage", unit="bytes"),
        "messages": _rule(Window.MINUTE, 30, "messages"),
        "retention_days": _rule(Window.TOTAL, 7, "days kept"),
    }
)
"""The rule of every resource, in the order in which they are shown. The migration that makes the database's
functions has the windows and fallbacks too; a test compares them."""
