"""What other models would cost for the same requests."""

from agents.analysis.results import CandidateCost, ModelComparison, SavingsPlan
from agents.llm.offline.figures import count, name, percent, rate, usd, whole_share
from agents.llm.offline.tables import table

from .parts import describe_traffic

_MODELS_SHOWN = 8


def comparison_finding(comparison: ModelComparison) -> str:
    """Say in one paragraph what the requests cost now and what they would on the other models."""
    if not comparison.traffic.requests:
        return (
            f"Nothing in **{name(comparison.dataset_name)}** has a list price now, so there is nothing to "
            "compare with."
        )
    now = (
        f"The {describe_traffic(comparison.traffic)} of **{name(comparison.dataset_name)}** cost "
        f"{usd(comparison.baseline_cost.total_usd)} on {name(comparison.baseline)} at list prices."
    )
    if not comparison.candidates:
        return f"{now} No model that could be compared is known to be cheaper."
    if len(comparison.candidates) == 1:
        return f"{now} {_sentence(comparison.candidates[0])}"
    first, last = comparison.candidates[0], comparison.candidates[-1]
    return (
        f"{now} {_sentence(first)} At the other end of the list, {name(last.model)} costs "
        f"{usd(last.cost.total_usd)}."
    )


def comparison_table(comparison: ModelComparison, plan: SavingsPlan | None = None) -> list[str]:
    """Write today's cost, that on the other models, and that of batch processing when `plan` knows it."""
    if not comparison.traffic.requests:
        return []
    today = comparison.baseline_cost
    rows: list[tuple[str, ...]] = [
        (f"**Today**: {name(comparison.baseline)}", usd(today.total_usd), "–", "–", "–", "–")
    ]
    rows += [_row(candidate) for candidate in comparison.candidates[:_MODELS_SHOWN]]
    if plan is not None and (batch := plan.batch) is not None:
        rows.append(
            (
                f"{name(plan.baseline)} with everything in batch",
                usd(batch.full_cost_usd),
                usd(batch.full_saving_usd),
                percent(batch.full_saving_percent),
                "–",
                "–",
            )
        )
        if batch.share < 1:
            option = next((option for option in plan.options if option.kind == "batch"), None)
            if option is not None:
                rows.append(
                    (
                        f"{name(plan.baseline)} with {whole_share(batch.share)} in batch",
                        usd(option.baseline_cost_usd - option.saving_usd),
                        usd(option.saving_usd),
                        percent(option.saving_percent),
                        "–",
                        "–",
                    )
                )
    headers = ("Same requests on", "Cost", "Saving", "Saving %", "Input, USD/M", "Output, USD/M")
    parts = ["### What the same requests cost elsewhere", table(headers, rows)]
    too_long = [
        f"{count(candidate.requests_too_long)} requests do not fit {name(candidate.model)} "
        f"({count(candidate.context_window or 0)} tokens)."
        for candidate in comparison.candidates[:_MODELS_SHOWN]
        if candidate.requests_too_long
    ]
    skipped = [f"{name(entry.model)} was left out: {name(entry.reason)}" for entry in comparison.skipped]
    return [*parts, *([" ".join(too_long + skipped)] if too_long or skipped else [])]


def _sentence(candidate: CandidateCost) -> str:
    cost = f"On **{name(candidate.model)}** the same requests cost **{usd(candidate.cost.total_usd)}**"
    if candidate.saving_usd > 0:
        return f"{cost}: {usd(candidate.saving_usd)} or {percent(candidate.saving_percent)} less."
    if candidate.saving_usd < 0:
        return f"{cost}: {usd(-candidate.saving_usd)} or {percent(-candidate.saving_percent)} more."
    return f"{cost}, the same."


def _row(candidate: CandidateCost) -> tuple[str, ...]:
    return (
        f"{name(candidate.model)}",
        usd(candidate.cost.total_usd),
        usd(candidate.saving_usd),
        percent(candidate.saving_percent),
        rate(candidate.price.input_usd_per_million),
        rate(candidate.price.output_usd_per_million),
    )
