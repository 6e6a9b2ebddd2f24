"""Sentences and pictures that several sections share."""

from collections.abc import Sequence

from agents.analysis.results import Cost, PricedModel, Traffic, UnpricedModel
from agents.llm.offline.evidence import DrawnChart
from agents.llm.offline.figures import count, name, rate, usd

_CHART_ALT_LIMIT = 400


def describe_traffic(traffic: Traffic) -> str:
    """Write requests and tokens as a phrase."""
    cached = f" ({count(traffic.cached_input_tokens)} of them cached)" if traffic.cached_input_tokens else ""
    return (
        f"{count(traffic.requests)} requests with {count(traffic.input_tokens)} input{cached} and "
        f"{count(traffic.output_tokens)} output tokens"
    )


def describe_cost(cost: Cost) -> str:
    """Write a cost and its parts as a phrase, such as `$96.79 ($55.90 for input + $40.89 for output)`."""
    parts = [(cost.input_usd, "input"), (cost.cached_input_usd, "cached input"), (cost.output_usd, "output")]
    parts.append((cost.request_fees_usd, "request fees"))
    shown = [f"{usd(amount)} for {what}" for amount, what in parts if amount]
    return f"{usd(cost.total_usd)} ({' + '.join(shown)})" if len(shown) > 1 else usd(cost.total_usd)


def describe_prices(prices: Sequence[PricedModel]) -> str:
    """Write the list prices used, a phrase a model."""
    return "; ".join(
        f"{name(price.name)} {rate(price.input_usd_per_million)} in"
        + (
            f", {rate(price.cached_input_usd_per_million)} cached"
            if price.cached_input_usd_per_million is not None
            else ""
        )
        + f", {rate(price.output_usd_per_million)} out"
        + (", more for long requests" if price.is_tiered else "")
        for price in prices
    )


def describe_unpriced(unpriced: Sequence[UnpricedModel]) -> str:
    """Write what has no price and why, a sentence a model."""
    return " ".join(
        f"Not priced: {describe_traffic(entry.traffic)} of {name(entry.name)}. {name(entry.reason)}"
        for entry in unpriced
    )


def show_charts(charts: Sequence[DrawnChart]) -> list[str]:
    """Write charts as Markdown images."""
    return [f"![{name(chart.alt_text[:_CHART_ALT_LIMIT])}]({chart.url})" for chart in charts]


def bullets(lines: Sequence[str]) -> str:
    """Write a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
