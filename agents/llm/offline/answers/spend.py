"""Where the money goes: the finding, the table by model, sizes and projects; and how it moves over time."""

from agents.analysis.results import ModelSpend, SpendBreakdown
from agents.llm.offline.figures import count, name, percent, share, times, usd
from agents.llm.offline.tables import table

from .parts import describe_cost, describe_traffic

_PROJECTS_SHOWN = 10
_MODELS_SHOWN = 15
_PERIODS_SHOWN = 5


def spend_finding(spend: SpendBreakdown) -> str:
    """Say in one paragraph what it costs and where it goes."""
    if not spend.by_model:
        return (
            f"**{name(spend.dataset_name)}** holds {describe_traffic(spend.traffic)}, and none of it has "
            "a list price, "
            "so I give no cost."
        )
    top = spend.by_model[0]
    largest = max(spend.by_size, key=lambda size: size.share, default=None)
    prices = f"the list prices of {model_label(top)}" if len(spend.by_model) == 1 else "list prices"
    finding = (
        f"**{name(spend.dataset_name)}** holds {describe_traffic(spend.traffic)}. At {prices} that is "
        f"**{describe_cost(spend.cost)}**"
    )
    if len(spend.by_model) > 1:
        finding += f"; {share(top.share)} of it goes to {name(top.model)}"
    if largest is not None and len(spend.by_size) > 1:
        finding += f"; requests with {largest.label} take the largest part, {share(largest.share)}"
    if spend.mean_cost_per_request_usd is not None:
        finding += f". A request costs {usd(spend.mean_cost_per_request_usd)} on average"
    if spend.recorded_cost_usd is not None:
        finding += f". The log itself records {usd(spend.recorded_cost_usd)}"
    return finding + "."


def spend_tables(spend: SpendBreakdown) -> list[str]:
    """Write the spend by model, by size of request and by project."""
    if not spend.by_model:
        return []
    headers = ("Model", "Requests", "Input tokens", "Output tokens", "Input", "Output", "Cost", "Share")
    parts = [
        "### Where the money goes",
        table(headers, [_model_row(entry) for entry in spend.by_model[:_MODELS_SHOWN]]),
    ]
    if len(spend.by_size) > 1:
        rows = [
            (size.label, count(size.traffic.requests), usd(size.cost_usd), share(size.share))
            for size in spend.by_size
        ]
        parts.append(table(("Size of request", "Requests", "Cost", "Share"), rows))
    if spend.by_project:
        rows = [
            (name(entry.project), count(entry.traffic.requests), usd(entry.cost_usd), share(entry.share))
            for entry in spend.by_project[:_PROJECTS_SHOWN]
        ]
        parts.append(table(("Project", "Requests", "Cost", "Share"), rows))
    return parts


def trend_finding(spend: SpendBreakdown) -> str:
    """Say in one paragraph how the spend moves and where its peak is."""
    if not spend.by_period:
        return (
            f"The spend of **{name(spend.dataset_name)}** cannot be laid out over time, because the log "
            "has no times "
            "or no priced requests."
        )
    sentences = []
    if (trend := spend.trend) is not None:
        change = (
            f"{percent(abs(trend.change_percent))} {'more' if trend.change_percent > 0 else 'less'} than "
            "in the first"
        )
        sentences.append(
            f"The spend of **{name(spend.dataset_name)}** is **{trend.direction}**: "
            f"{usd(trend.second_half_usd)} in the "
            f"second half of the time, {change} ({usd(trend.first_half_usd)})."
        )
    else:
        sentences.append(f"**{name(spend.dataset_name)}** is too short or too small to show a trend.")
    if (peak := spend.peak) is not None:
        sentences.append(
            f"The peak is **{peak.label}**{_zone(spend)} with {usd(peak.cost_usd)}, {times(peak.ratio)} "
            "the mean of "
            f"{usd(peak.mean_usd)} per {spend.period}. In all it is {usd(spend.cost.total_usd)}."
        )
    return " ".join(sentences)


def trend_table(spend: SpendBreakdown) -> list[str]:
    """Write the most expensive periods."""
    if len(spend.by_period) < 2:
        return []
    dearest = sorted(spend.by_period, key=lambda period: -period.cost_usd)[:_PERIODS_SHOWN]
    rows = [
        (
            period.label,
            count(period.traffic.requests),
            count(period.traffic.input_tokens),
            count(period.traffic.output_tokens),
            usd(period.cost_usd),
        )
        for period in dearest
    ]
    headers = (
        f"Most expensive {spend.period}s{_zone(spend)}",
        "Requests",
        "Input tokens",
        "Output tokens",
        "Cost",
    )
    return [table(headers, rows)]


def busiest_hours(spend: SpendBreakdown) -> list[str]:
    """Write the hours with the most requests and what each costs."""
    if not spend.busiest_hours:
        return []
    zone = _zone(spend)
    first = spend.busiest_hours[0]
    finding = (
        f"The busiest hour of **{name(spend.dataset_name)}** is **{first.label}**{zone} with "
        f"{count(first.traffic.requests)} requests, which cost {usd(first.cost_usd)} at list prices."
    )
    rows = [
        (
            hour.label,
            count(hour.traffic.requests),
            count(hour.traffic.input_tokens),
            count(hour.traffic.output_tokens),
            usd(hour.cost_usd),
        )
        for hour in spend.busiest_hours
    ]
    headers = (f"Busiest hours{zone}", "Requests", "Input tokens", "Output tokens", "Cost")
    return [finding, table(headers, rows)]


def model_label(entry: ModelSpend) -> str:
    """Write a model's name, and whether it was assumed."""
    return name(entry.model) + (" (assumed)" if entry.is_assumed else "")


def _zone(spend: SpendBreakdown) -> str:
    return " (hours:minutes since the start)" if spend.time.is_relative else " UTC"


def _model_row(entry: ModelSpend) -> tuple[str, ...]:
    cost = entry.cost
    cached = f" + {usd(cost.cached_input_usd)} cached" if cost.cached_input_usd else ""
    return (
        model_label(entry),
        count(entry.traffic.requests),
        count(entry.traffic.input_tokens),
        count(entry.traffic.output_tokens),
        usd(cost.input_usd) + cached,
        usd(cost.output_usd),
        usd(cost.total_usd),
        share(entry.share),
    )
