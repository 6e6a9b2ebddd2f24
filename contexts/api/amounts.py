"""Amounts of limited resources as JSON: money as decimal strings, everything else as numbers."""

from decimal import Decimal

from contexts.models import Resource

_CENTS = Decimal("0.01")


def amount_json(resource: str, amount: Decimal | int) -> int | float | str:
    """Return an amount of `resource`: US dollars as a string, whole amounts as integers."""
    value = Decimal(amount)
    if resource == Resource.COST_USD:
        return format_usd(value)
    return int(value) if value == value.to_integral_value() else float(value)


def format_usd(amount: Decimal) -> str:
    """Return dollars with two decimals, or as many as are needed: `1.00`, `0.000125`."""
    shortest = amount.normalize()
    exponent = shortest.as_tuple().exponent
    needs_more = isinstance(exponent, int) and exponent < -2
    return f"{shortest if needs_more else amount.quantize(_CENTS):f}"
