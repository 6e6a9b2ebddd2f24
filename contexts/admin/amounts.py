"""Amounts of resources as people read and type them."""

from decimal import Decimal
from typing import Any

from django.db import models
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

from contexts.models.amounts import AMOUNT_BOUND
from contexts.resources import RULES, Resource, Window

NAMES = {
    Resource.AGENT_RUNS: "Runs",
    Resource.CONCURRENT_RUNS: "Runs at a time",
    Resource.WEBSOCKET_CONNECTIONS: "Open windows",
    Resource.TOKENS: "Tokens",
    Resource.COST_USD: "Cost",
    Resource.CPU_SECONDS: "CPU seconds",
    Resource.MEMORY_BYTES: "Memory",
    Resource.RUN_SECONDS: "Seconds of a run",
    Resource.STORAGE_BYTES: "Storage",
    Resource.MESSAGES: "Messages",
    Resource.RETENTION_DAYS: "Days kept",
}
_PERIODS = {
    Window.MINUTE: "a minute",
    Window.DAY: "a day",
    Window.MONTH: "a month",
    Window.LEASE: "at once",
    Window.CONTEXT: "each context",
    Window.RUN: "each run",
    Window.TOTAL: "in all",
}
_DECIMAL_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def readable(resource: str, amount: Decimal) -> str:
    """Return an amount with its unit, shortened as people read it."""
    if amount < 0:
        return f"-{readable(resource, -amount)}"
    # Of a zero with a sign, only the zero.
    amount = abs(amount)
    match resource:
        case Resource.COST_USD:
            is_tiny = 0 < amount < Decimal("0.01")
            return f"${plain(amount)}" if is_tiny else f"${amount:,.2f}"
        case Resource.MEMORY_BYTES:
            return _bytes(amount, 1024, _BINARY_UNITS)
        case Resource.STORAGE_BYTES:
            return _bytes(amount, 1000, _DECIMAL_UNITS)
        case _:
            rounded = amount if RULES[resource].is_whole else _rounded(amount)
            return plain(rounded, grouped=True)


def readable_limit(resource: str, amount: Decimal) -> str:
    """Return a limit and over which time it counts, such as `500 a day`."""
    return f"{readable(resource, amount)} {_PERIODS[RULES[resource].window]}"


def plain(amount: Decimal, *, grouped: bool = False) -> str:
    """Return a number without the zeros at its end."""
    return plain_text(f"{amount:,f}" if grouped else f"{amount:f}")


def plain_text(shown: str) -> str:
    """Return a number that stands on a page already without the zeros at its end."""
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


class AmountInput(UnfoldAdminDecimalFieldWidget):
    """A field for an amount, which shows no zeros after the point."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        bounds = {"min": 0, "max": str(AMOUNT_BOUND - 1), "style": "min-width: 8rem"}
        super().__init__({**bounds, **(attrs or {})})

    def format_value(self, value: Any) -> str | None:
        """Return the number as it is shown in the field."""
        return plain(value) if isinstance(value, Decimal) else super().format_value(value)


class ReadableAmountsMixin:
    """An admin whose amounts have no zeros at their end and whose resources have their names."""

    formfield_overrides = {models.DecimalField: {"widget": AmountInput}}

    def formfield_for_choice_field(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Return the field; that of the resource offers names that people read."""
        if db_field.name == "resource":
            kwargs["choices"] = [("", "Select value"), *((str(name), text) for name, text in NAMES.items())]
            kwargs["widget"] = UnfoldAdminSelectWidget(attrs={"style": "min-width: 10rem"})
        return super().formfield_for_choice_field(db_field, request, **kwargs)  # type: ignore[misc]


def _rounded(amount: Decimal) -> Decimal:
    """Return an amount with fewer digits, but never nothing for something."""
    if amount >= 1:
        return round(amount, 1)
    return round(amount, 3) or amount


def _bytes(amount: Decimal, step: int, units: tuple[str, ...]) -> str:
    unit = 0
    while amount >= step and unit < len(units) - 1:
        amount, unit = amount / step, unit + 1
    return f"{plain(round(amount, 1), grouped=True)} {units[unit]}"
