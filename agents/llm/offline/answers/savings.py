"""Ways to pay less: the ranked recommendations, prompt caching and batch processing."""

from collections.abc import Collection
from decimal import Decimal

from agents.analysis.results import ModelComparison, OptionKind, SavingsPlan
from agents.llm.offline.figures import count, name, percent, share, usd, whole_share
from agents.state import ActionPlan, Recommendation

from .parts import bullets

_KINDS: dict[OptionKind, str] = {
    "cheaper_model": "smaller model",
    "prompt_caching": "prompt caching",
    "batch": "batch",
}


def savings_finding(plan: SavingsPlan) -> str:
    """Say in one paragraph what can be saved."""
    if not plan.options:
        return f"No saving could be worked out for **{name(plan.dataset_name)}**."
    best = plan.options[0]
    finding = (
        f"The largest single saving is **{usd(best.saving_usd)}** ({percent(best.saving_percent)} of "
        f"{usd(best.baseline_cost_usd)}): {name(best.title)}."
    )
    if plan.combined is not None and len(plan.combined.steps) > 1:
        finding += (
            f" All measures together would bring it from {usd(plan.baseline_cost.total_usd)} down to "
            f"**{usd(plan.combined.cost_after_usd)}** ({percent(plan.combined.saving_percent)} less)."
        )
    return finding


def cheapest_note(plan: SavingsPlan, comparison: ModelComparison | None) -> list[str]:
    """Say why the cheapest model, where it saves more, is not the first recommendation."""
    if comparison is None or not comparison.candidates or not plan.options:
        return []
    cheapest = max(comparison.candidates, key=lambda candidate: candidate.saving_usd)
    if cheapest.saving_usd <= plan.options[0].saving_usd:
        return []
    return [
        f"Moving everything to {name(cheapest.model)} would save more, {usd(cheapest.saving_usd)}, but it is "
        "not the first recommendation: the log holds no evidence that its answers are good enough."
    ]


def caching_finding(plan: SavingsPlan) -> str:
    """Say in one paragraph what prompt caching saves or could save."""
    caching = plan.caching
    reasons = [entry.reason for entry in plan.unavailable if entry.kind == "prompt_caching"]
    dataset = f"**{name(plan.dataset_name)}**"
    if caching.basis == "prefix_hashes" and caching.possible_saving_usd is not None:
        finding = (
            f"{dataset} costs **{usd(plan.baseline_cost.total_usd)}** on {name(plan.baseline)} without "
            "further caching. "
            f"An ideal prefix cache would serve {count(caching.cacheable_tokens)} input tokens "
            f"({share(caching.cacheable_share)} of {count(plan.traffic.input_tokens)}) at the cached "
            "price and save "
            f"**{usd(caching.possible_saving_usd)}**."
        )
    elif caching.basis == "recorded":
        finding = (
            f"In {dataset} {count(caching.cacheable_tokens)} input tokens "
            f"({share(caching.cacheable_share)}) came from a "
            f"cache already, which saves **{usd(caching.already_saved_usd)}** against the full input price."
        )
    else:
        finding = f"What prompt caching would save on {dataset} **cannot be told from this log**."
    return " ".join((finding, *reasons))


def batch_finding(plan: SavingsPlan) -> str:
    """Say in one paragraph what batch processing saves."""
    batch = plan.batch
    if batch is None:
        reasons = [entry.reason for entry in plan.unavailable if entry.kind == "batch"]
        return " ".join((f"Batch processing saves nothing on **{name(plan.dataset_name)}**.", *reasons))
    option = next((option for option in plan.options if option.kind == "batch"), None)
    part = f" ({percent(option.saving_percent)})" if option is not None else ""
    return (
        f"If **{whole_share(batch.share)}** of the requests of **{name(plan.dataset_name)}** can wait up "
        "to 24 hours, batch "
        f"prices save **{usd(batch.saving_usd)}**{part} of {usd(plan.baseline_cost.total_usd)}. If all of "
        "them could, it "
        f"would be {usd(batch.full_saving_usd)} ({percent(batch.full_saving_percent)}), and the bill "
        f"{usd(batch.full_cost_usd)}."
    )


def recommendations_section(actions: ActionPlan | None) -> list[str]:
    """Write the recommendations, ranked, each with what it rests on."""
    if actions is None or not actions.recommendations:
        return []
    parts = ["### What to do"]
    for rank, recommendation in enumerate(actions.recommendations, start=1):
        parts += [f"**{rank}. {name(recommendation.title)}**", bullets(_lines(recommendation))]
    return parts


def combined_section(plan: SavingsPlan, kinds: Collection[OptionKind]) -> list[str]:
    """Write all measures together, and those that this log gives no figure for."""
    parts = []
    combined = plan.combined
    if combined is not None and len(combined.steps) > 1:
        chain = ", ".join(
            f"{_KINDS[step.kind]} saves {usd(step.saving_usd)} and leaves {usd(step.cost_after_usd)}"
            for step in combined.steps
        )
        parts.append(
            f"**All together**: from {usd(plan.baseline_cost.total_usd)}, {chain}. That is "
            f"{usd(combined.saving_usd)} or {percent(combined.saving_percent)} less. {combined.method}"
        )
    missing = [
        f"**No figure for {_KINDS[entry.kind]}**: {entry.reason}"
        for entry in plan.unavailable
        if entry.kind in kinds
    ]
    return parts + missing


def _lines(recommendation: Recommendation) -> list[str]:
    lines = []
    if recommendation.saving_usd is not None and recommendation.saving_percent is not None:
        lines.append(
            f"Saves **{usd(recommendation.saving_usd)}** "
            f"({percent(recommendation.saving_percent)}){_monthly(recommendation)}"
        )
    lines.append(f"Effort: {recommendation.effort}. Risk: {name(recommendation.risk)}")
    if recommendation.assumptions:
        lines.append("Assumes: " + name(" ".join(recommendation.assumptions)))
    if recommendation.formula:
        lines.append(f"Computed: {name(recommendation.formula)}")
    if recommendation.steps:
        steps = (f"\n    {number}. {name(step)}" for number, step in enumerate(recommendation.steps, start=1))
        lines.append("Steps:" + "".join(steps))
    return lines


def _monthly(recommendation: Recommendation) -> str:
    if recommendation.monthly_saving_usd is None:
        return "."
    return f"; carried on to a month {usd(Decimal(recommendation.monthly_saving_usd))} (see the assumptions)."
