"""What the month will cost, or why it cannot be told."""

from agents.analysis.results import Forecast, SpendBreakdown
from agents.llm.offline.figures import name, usd
from agents.llm.offline.tables import table


def forecast_finding(forecast: Forecast, spend: SpendBreakdown | None) -> str:
    """Say in one paragraph what is expected."""
    dataset = f"**{name(forecast.dataset_name)}**"
    expected, low, high = forecast.expected_usd, forecast.low_usd, forecast.high_usd
    if expected is not None and low is not None and high is not None:
        return (
            f"For {forecast.target}, {dataset} is heading for **{usd(expected)}** at list prices, "
            f"most likely between {usd(low)} and {usd(high)}."
        )
    finding = f"There is not enough in {dataset} for a forecast. {forecast.reason}"
    if spend is not None and spend.projection is not None:
        finding += (
            f" A mere scaling of its {usd(spend.cost.total_usd)} gives "
            f"**{usd(spend.projection.monthly_usd)}** a month. "
            f"{spend.projection.statement}"
        )
    return finding


def forecast_table(forecast: Forecast) -> list[str]:
    """Write the forecast's figures and how they came about."""
    if not forecast.has_enough_data:
        return []
    figures = (
        ("Seen so far", forecast.spent_usd),
        ("Mean full day", forecast.daily_mean_usd),
        ("Low", forecast.low_usd),
        ("Expected", forecast.expected_usd),
        ("High", forecast.high_usd),
    )
    rows = [(what, usd(amount)) for what, amount in figures if amount is not None]
    return [table((name(forecast.target), "USD"), rows), f"How: {forecast.method}"]
