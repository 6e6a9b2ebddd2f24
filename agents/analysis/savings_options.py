"""The single ways to pay less: their figures, and the words that make them something to act on."""

from dataclasses import dataclass
from decimal import Decimal

from .money import format_usd, percent_of, round_usd
from .priced_dataset import PricedDataset
from .results import Level, OptionKind, Projection, SavingsOption, UnavailableOption
from .scenario import Measures, Scenarios


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionContext:
    """What every option is worked out from."""

    priced: PricedDataset
    scenarios: Scenarios
    baseline: Decimal
    """List price without any measure, USD."""
    projection: Projection | None
    batch_share: float
    small_share: float

    def saving(self, measures: Measures) -> Decimal:
        """Return what `measures` save, USD."""
        return self.baseline - self.scenarios.cost(measures).total


def _option(
    context: OptionContext,
    saving: Decimal,
    *,
    kind: OptionKind,
    title: str,
    affected_requests: int,
    affected_tokens: int,
    effort: Level,
    risk: Level,
    risk_note: str,
    assumptions: tuple[str, ...],
    formula: str,
    steps: tuple[str, ...],
    model: str | None = None,
) -> SavingsOption:
    factor = Decimal(str(context.projection.factor)) if context.projection else None
    return SavingsOption(
        rank=1,
        kind=kind,
        title=title,
        model=model,
        affected_requests=affected_requests,
        affected_tokens=affected_tokens,
        baseline_cost_usd=round_usd(context.baseline),
        saving_usd=round_usd(saving),
        saving_percent=percent_of(saving, context.baseline),
        monthly_saving_usd=None if factor is None else round_usd(saving * factor),
        effort=effort,
        risk=risk,
        risk_note=risk_note,
        assumptions=assumptions,
        formula=formula,
        steps=steps,
    )


def cheaper_model_option(context: OptionContext) -> SavingsOption | UnavailableOption:
    """Move the shortest requests to the smaller sibling of their model."""
    scenarios = context.scenarios
    saving = context.saving(Measures(smaller_models=True))
    if saving <= 0:
        return UnavailableOption(
            kind="cheaper_model",
            reason="No smaller model of the same family and provider is known to be cheaper here.",
        )
    cells = list(scenarios.moved_cells())
    requests = sum(cell.tokens.requests for cell in cells)
    tokens = sum(cell.tokens.input_tokens + cell.tokens.output_tokens for cell in cells)
    moves = sorted(
        {(context.priced.prices[cell.key].name, scenarios.siblings[cell.key].name) for cell in cells}
    )
    targets = ", ".join(sorted({target for _, target in moves}))
    limit = f"{scenarios.small_limit:,}"
    before = sum((context.priced.cost_of(cell).total for cell in cells), Decimal(0))
    return _option(
        context,
        saving,
        kind="cheaper_model",
        title=f"Send requests of up to {limit} tokens to {targets}",
        model=targets,
        affected_requests=requests,
        affected_tokens=tokens,
        effort="medium",
        risk="medium",
        risk_note="A smaller model may answer worse; nothing in a usage log tells how much.",
        assumptions=(
            f"The shortest {context.small_share * 100:.0f} % of the requests (input and output "
            f"together up to "
            f"{limit} tokens) "
            "are simple enough for the smaller model.",
            "The smaller model reads and writes as many tokens for them.",
            "Moves: " + ", ".join(f"{source} to {target}" for source, target in moves) + ".",
        ),
        formula=(
            f"{requests:,} requests cost {format_usd(before)} now and {format_usd(before - saving)} on "
            f"{targets}: "
            f"{format_usd(before)} - {format_usd(before - saving)} = {format_usd(saving)}"
        ),
        steps=(
            f"Collect 200 real requests of up to {limit} tokens and their present answers.",
            f"Answer them with {targets}, and have the answers compared blind.",
            f"Route requests of up to {limit} tokens to {targets}, first for 10 % of the traffic.",
            "Watch quality and retries for a week, then extend or move the limit.",
        ),
    )


def caching_option(context: OptionContext) -> SavingsOption | UnavailableOption:
    """Serve shared prompt prefixes from the provider's prompt cache."""
    traffic = context.priced.priced_traffic
    if not context.scenarios.has_hashes:
        if traffic.cached_input_tokens:
            already = context.scenarios.cost_without_cache().total - context.baseline
            reason = (
                f"The log shows {traffic.cached_input_tokens:,} cached input tokens, which already save "
                f"{format_usd(already)}. How much more could be cached is not in the log: it would need the "
                "prompts' "
                "prefixes."
            )
        else:
            reason = (
                "The log has token counts only. How much of the prompts repeats, and so could be cached, is "
                "not in "
                "it: it would need cached token counts or hashes of the prompts' prefixes."
            )
        return UnavailableOption(kind="prompt_caching", reason=reason)
    saving = context.saving(Measures(ideal_cache=True))
    if saving <= 0:
        return UnavailableOption(
            kind="prompt_caching",
            reason="No prefix repeats beyond what is cached already, or no cached price is listed.",
        )
    tokens = context.scenarios.ideal_cached_tokens()
    rates = sorted(
        {
            (prices.name, prices.standard[0].input, prices.standard[0].cached_input)
            for prices in context.priced.prices.values()
            if prices.lists_cached_price
        }
    )
    price_list = "; ".join(
        f"{name}: {full.normalize():f} USD per million tokens, cached {cached.normalize():f}"
        for name, full, cached in rates
    )
    return _option(
        context,
        saving,
        kind="prompt_caching",
        title="Reuse shared prompt prefixes from the provider's prompt cache",
        affected_requests=traffic.requests,
        affected_tokens=tokens,
        effort="low",
        risk="low",
        risk_note="Answers stay the same; real caches forget after minutes and save less than the ideal one.",
        assumptions=(
            "An ideal prefix cache: each leading block of 512 tokens that an earlier request to the same "
            "model had "
            "is served from it, and nothing is ever forgotten. It is an upper bound.",
            "Writing to the cache costs nothing extra, which is so at OpenAI but not at every provider.",
        ),
        formula=(
            f"{tokens:,} of {traffic.input_tokens:,} input tokens at the cached price ({price_list}): "
            f"{format_usd(saving)}"
        ),
        steps=(
            "Put what is the same in every prompt (instructions, tools, examples) first and what varies "
            "last.",
            "Keep prefixes byte for byte the same: no dates, names or random ids near the start.",
            "Send requests that share a prefix close together in time, with the same cache key where one "
            "exists.",
            "Log cached input tokens, and compare their share with the ideal.",
        ),
    )


def batch_option(context: OptionContext) -> SavingsOption | UnavailableOption:
    """Send what may wait through the provider's batch interface."""
    share = Decimal(str(context.batch_share))
    saving = context.saving(Measures(batch_share=share))
    full = context.saving(Measures(batch_share=Decimal(1)))
    if full <= 0:
        return UnavailableOption(
            kind="batch",
            reason="No batch price is listed for the models in use, or all goes through batch already.",
        )
    if saving <= 0:
        return UnavailableOption(kind="batch", reason="None of the traffic was assumed able to wait.")
    scenarios = context.scenarios
    requests = int(scenarios.batchable_requests() * share)
    names = ", ".join(sorted({prices.name for prices in context.priced.prices.values() if prices.batch}))
    return _option(
        context,
        saving,
        kind="batch",
        title=f"Send {context.batch_share * 100:.0f} % of the requests through the batch interface",
        affected_requests=requests,
        affected_tokens=int(scenarios.batchable_tokens() * share),
        effort="medium",
        risk="low",
        risk_note="Answers stay the same but may take up to 24 hours, so nobody may be waiting for them.",
        assumptions=(
            f"{context.batch_share * 100:.0f} % of the requests, spread evenly over all sizes, can "
            f"wait up to 24 "
            "hours; "
            "the log does not tell how many really can.",
            f"If every request could wait, it would save {format_usd(full)}.",
            f"Batch prices are listed for {names}.",
        ),
        formula=(
            f"{context.batch_share * 100:.0f} % of ({format_usd(context.baseline)} - "
            f"{format_usd(context.baseline - full)} at batch prices) = {format_usd(saving)}"
        ),
        steps=(
            "List the callers that nobody waits for: reports, enrichment, evaluation, nightly jobs.",
            "Have them write their requests to a file and hand it to the provider's batch interface.",
            "Collect the results within 24 hours, and send what failed again.",
        ),
    )
