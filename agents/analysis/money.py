"""Rounding and writing of dollar amounts."""

from decimal import ROUND_HALF_EVEN, Decimal

_MICRO = Decimal("0.000001")
_CENT = Decimal("0.01")


def round_usd(amount: Decimal) -> Decimal:
    """Round an exact amount of USD to a millionth of a dollar, as results carry it."""
    return amount.quantize(_MICRO, rounding=ROUND_HALF_EVEN)


def format_usd(amount: Decimal) -> str:
    """Write an amount of USD for people: cents, and two significant digits below one cent."""
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if size == 0 or size >= _CENT:
        return f"{sign}${size.quantize(_CENT, rounding=ROUND_HALF_EVEN):,}"
    return f"{sign}${size:.{1 - size.adjusted()}f}"


def percent_of(part: Decimal, whole: Decimal) -> float:
    """Return `part` in percent of `whole`, to a hundredth; 0 when `whole` is 0."""
    return round(float(part / whole * 100), 2) if whole else 0.0


def share_of(part: Decimal, whole: Decimal) -> float:
    """Return `part / whole` to six places; 0 when `whole` is 0."""
    return round(float(part / whole), 6) if whole else 0.0
