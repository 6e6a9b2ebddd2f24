"""Charts of results, rendered to SVG on the server: readable on light and dark pages, without scripts."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import vl_convert

from .money import format_usd
from .results import Chart, ModelComparison, PeriodUnit, SavingsPlan, SpendBreakdown
from .times import SECONDS

_WIDTH = 520
_BAR_STEP = 26
_LINE_HEIGHT = 180
_CHEAPER_MODELS_SHOWN = 6
_LABEL_LIMIT = 240
_LETTER_WIDTH = 7.4  # of 12-pixel system fonts, a little generous: the renderer's own font is narrower
# Text follows the reader's colour scheme, at more than 4.5:1 on either ground. The hues of the bars have
# middle lightness and keep more than 3:1 on both.
_TEXT, _TEXT_ON_DARK = "#565c66", "#b4bac4"
_SCHEME = (
    "<style>@media (prefers-color-scheme: dark) {"
    f'[fill="{_TEXT}"] {{ fill: {_TEXT_ON_DARK} }} [stroke="{_TEXT}"] {{ stroke: {_TEXT_ON_DARK} }}'
    "}</style>"
)
_COLOURS = {"today": "#8a8f98", "model": "#3b82c4", "measure": "#2f9e6e"}
_UNITS: dict[PeriodUnit, tuple[str, str]] = {
    "minute": ("minutes since the start", "%H:%M"),
    "hour": ("hours since the start", "%b %d %H:%M"),
    "day": ("days since the start", "%b %d"),
}


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    usd: float
    text: str
    kind: Literal["today", "model", "measure"]


def spend_chart(breakdown: SpendBreakdown) -> Chart | None:
    """Draw the spend over time; None with fewer than two periods."""
    if len(breakdown.by_period) < 2 or breakdown.period is None:
        return None
    relative_title, time_format = _UNITS[breakdown.period]
    seconds = SECONDS[breakdown.period]
    values: list[dict[str, Any]]
    if breakdown.time.is_relative:
        values = [
            {"at": period.offset_seconds / seconds, "usd": float(period.cost_usd)}
            for period in breakdown.by_period
        ]
        axis = alt.X("at:Q", title=relative_title, scale=alt.Scale(nice=False))
    else:
        values = [
            {"at": period.starts_at.isoformat(), "usd": float(period.cost_usd)}
            for period in breakdown.by_period
            if period.starts_at is not None
        ]
        axis = alt.X("at:T", title="UTC", scale=alt.Scale(type="utc"), axis=alt.Axis(format=time_format))
    chart = (
        alt.Chart(alt.InlineData(values=values), width=_WIDTH, height=_LINE_HEIGHT)
        .mark_area(
            interpolate="step-after",
            color=_COLOURS["model"],
            fillOpacity=0.35,
            line={"color": _COLOURS["model"], "strokeWidth": 1.5},
            aria=False,
        )
        .encode(x=axis, y=alt.Y("usd:Q", title=f"USD per {breakdown.period}", axis=alt.Axis(format="$,.2~f")))
    )
    peak = breakdown.peak
    peak_text = (
        f" The peak is {peak.label} with {format_usd(peak.cost_usd)}, {peak.ratio:.1f} times the mean of "
        f"{format_usd(peak.mean_usd)}."
        if peak
        else ""
    )
    alt_text = (
        f"Spend at list prices per {breakdown.period}, from {breakdown.by_period[0].label} to "
        f"{breakdown.by_period[-1].label}: {format_usd(breakdown.cost.total_usd)} in all.{peak_text}"
    )
    return _render(chart, alt_text)


def comparison_chart(comparison: ModelComparison, plan: SavingsPlan | None = None) -> Chart | None:
    """Draw today's cost, that on cheaper models, and that with the measures of `plan`; None without any."""
    bars = [_bar(f"today: {comparison.baseline}", comparison.baseline_cost.total_usd, "today")]
    bars += [
        _bar(candidate.model, candidate.cost.total_usd, "model")
        for candidate in comparison.candidates[:_CHEAPER_MODELS_SHOWN]
    ]
    return _bar_chart(bars + (_measures(plan) if plan else []))


def savings_chart(plan: SavingsPlan) -> Chart | None:
    """Draw today's cost beside that with each measure and with all of them; None without any measure."""
    return _bar_chart(
        [_bar(f"today: {plan.baseline}", plan.baseline_cost.total_usd, "today"), *_measures(plan)]
    )


def warm_up() -> None:
    """Render a tiny chart, so that nobody has to wait for the renderer's start of about a second."""
    _bar_chart([_Bar("a", 1.0, "1", "today"), _Bar("b", 1.0, "1", "model")])


def _measures(plan: SavingsPlan) -> list[_Bar]:
    labels = {"prompt_caching": "ideal prompt caching"}
    if plan.batch is not None:
        labels["batch"] = f"batch for {plan.batch.share * 100:.0f} %"
    bars = [
        _bar(
            labels.get(option.kind, f"{option.model} for short requests"),
            option.baseline_cost_usd - option.saving_usd,
            "measure",
        )
        for option in plan.options
    ]
    if plan.batch is not None and plan.batch.share < 1:
        bars.append(_bar("batch for 100 %", plan.batch.full_cost_usd, "measure"))
    if plan.combined is not None and len(plan.combined.steps) > 1:
        bars.append(_bar("all measures together", plan.combined.cost_after_usd, "measure"))
    return bars


def _bar(label: str, usd: Any, kind: Literal["today", "model", "measure"]) -> _Bar:
    return _Bar(label, float(usd), format_usd(usd), kind)


def _bar_chart(bars: Sequence[_Bar]) -> Chart | None:
    if len(bars) < 2:
        return None
    ordered = [bars[0], *sorted(bars[1:], key=lambda bar: -bar.usd)]
    label_width = min(_LABEL_LIMIT, max(len(bar.label) for bar in bars) * _LETTER_WIDTH)
    base = alt.Chart(
        alt.InlineData(
            values=[
                {"what": bar.label, "usd": bar.usd, "text": bar.text, "kind": bar.kind} for bar in ordered
            ]
        ),
        width=_WIDTH - _LABEL_LIMIT + 80,
        height=alt.Step(_BAR_STEP),
    ).encode(
        y=alt.Y(
            "what:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, minExtent=label_width)
        ),
        x=alt.X("usd:Q", title="USD at list prices", axis=alt.Axis(format="$,~s", tickCount=5)),
    )
    marks = base.mark_bar(aria=False).encode(
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())), legend=None
        )
    )
    texts = base.mark_text(align="left", dx=4, color=_TEXT, aria=False).encode(text="text:N")
    alt_text = "Cost of the same requests at list prices: " + ", ".join(
        f"{bar.label} {bar.text}" for bar in ordered
    )
    return _render(marks + texts, alt_text + ".")


def _render(chart: alt.Chart | alt.LayerChart, alt_text: str) -> Chart:
    # Names of models come from users' files: as inline data they are text, never markup or a specification.
    spec: dict[str, Any] = chart.configure(
        background="transparent",
        font="system-ui, sans-serif",
        padding={"left": 4, "top": 4, "right": 56, "bottom": 4},
        axis=alt.AxisConfig(
            labelColor=_TEXT,
            titleColor=_TEXT,
            domainColor=_TEXT,
            tickColor=_TEXT,
            gridColor=_TEXT,
            gridOpacity=0.2,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            labelLimit=_LABEL_LIMIT,
        ),
        text=alt.MarkConfig(fontSize=12),
        view=alt.ViewConfig(stroke=None),
    ).to_dict()
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    label = html.escape(alt_text, quote=True)
    start = svg.index(">", svg.index("<svg ")) + 1
    opening = svg[:start].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return Chart(svg=opening + _SCHEME + svg[start:], alt_text=alt_text, vega_spec=spec)
