"""How figures and names are written in answers."""

import re
from decimal import Decimal
from typing import Any

from agents.analysis.money import format_usd

# Only what Markdown would act upon: an underscore within a word, for instance, it leaves alone.
_SPECIAL = re.compile(r"[\\`*\[\]<|]|(?<!\w)_|_(?!\w)|~~|&(?=#?\w+;)")


def usd(amount: Decimal | str) -> str:
    """Write US dollars: cents and thousands separators, two significant digits below one cent."""
    return format_usd(Decimal(amount))


def count(number: int) -> str:
    """Write a count of tokens or requests with thousands separators."""
    return f"{number:,}"


def percent(number: float | Decimal | str) -> str:
    """Write a percentage (0 to 100) to one decimal."""
    return f"{Decimal(str(number)):.1f} %"


def share(part: float) -> str:
    """Write a part of one (0 to 1) as a percentage to one decimal."""
    return percent(Decimal(str(part)) * 100)


def whole_share(part: float) -> str:
    """Write a part of one that somebody named (0 to 1), such as `30 %`."""
    return f"{(Decimal(str(part)) * 100).normalize():f} %"


def times(ratio: float) -> str:
    """Write a ratio to one decimal."""
    return f"{Decimal(str(ratio)):.1f} times"


def rate(price: Decimal | None) -> str:
    """Write a price in USD per million tokens with two decimals, or more if it has more; a dash for none."""
    if price is None:
        return "–"
    normal = price.normalize()
    exponent = normal.as_tuple().exponent
    return f"${normal:f}" if isinstance(exponent, int) and exponent < -2 else f"${normal:.2f}"


def name(text: str | None) -> str:
    """Write a name from a log or a user so that Markdown takes it literally; a word for none."""
    return "(not named)" if text is None else _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def value(cell: Any) -> str:
    """Write a cell of a query's answer."""
    match cell:
        case None:
            return "–"
        case bool():
            return "yes" if cell else "no"
        case int():
            return count(cell)
        case float():
            return f"{cell:,.2f}"
        case _:
            return name(str(cell))
