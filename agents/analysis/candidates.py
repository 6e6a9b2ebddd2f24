"""Which other models are worth a look: smaller siblings, and small or middling models of other providers."""

import re
from datetime import datetime

from .prices import ModelPrices, find_prices

WELL_KNOWN = (
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.4-mini",
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-3.8-flash",
    "mistral-small-latest",
    "deepseek-v4-flash",
)
"""General text models of low and middle price; those that genai-prices does not know are passed over."""

_SMALLER_SIBLINGS = (
    (r"gpt-4o(?!-mini)", "gpt-4o-mini"),
    (r"gpt-4\.1(?!-)", "gpt-4.1-mini"),
    (r"gpt-4\.1-mini", "gpt-4.1-nano"),
    (r"gpt-4(-turbo|-32k|-0|$)", "gpt-4o-mini"),
    (r"gpt-5(\.[0-3])?(-chat|-codex|-pro|$)", "gpt-5-mini"),
    (r"gpt-5-mini", "gpt-5-nano"),
    (r"gpt-5\.[4-9](-pro|$)", "gpt-5.4-mini"),
    (r"o[134](-pro|-preview|$)", "o4-mini"),
    (r".*claude.*(opus|sonnet)-5", "claude-haiku-5-5"),
    (r".*claude.*(opus|sonnet)", "claude-haiku-4-5"),
    (r"gemini-2\.5-pro", "gemini-2.5-flash"),
    (r"gemini-2\.5-flash(?!-)", "gemini-2.5-flash-lite"),
    (r"gemini-[3-9].*pro", "gemini-3.8-flash"),
    (r"mistral-(large|medium)", "mistral-small-latest"),
)


def find_candidates(*, priced_at: datetime) -> list[ModelPrices]:
    """Look up the well-known models that have a list price and are not deprecated."""
    found = []
    for name in WELL_KNOWN:
        try:
            prices = find_prices(name, priced_at=priced_at)
        except LookupError:
            continue  # The price list of another day may not know all of them.
        if not prices.is_deprecated:
            found.append(prices)
    return found


def find_smaller_sibling(prices: ModelPrices, *, priced_at: datetime) -> ModelPrices | None:
    """Look up the smaller and cheaper model of the same family at the same provider, if there is one."""
    family = prices.price_model.rsplit("/", 1)[-1].lower()
    for pattern, sibling in _SMALLER_SIBLINGS:
        if re.match(pattern, family):
            try:
                found = find_prices(sibling, prices.provider, priced_at=priced_at)
            except LookupError:
                return None
            here, there = prices.standard[0], found.standard[0]
            cheaper = there.input < here.input and there.output < here.output
            return found if cheaper and found.provider == prices.provider else None
    return None
