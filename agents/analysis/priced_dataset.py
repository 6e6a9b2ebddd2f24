"""A dataset with the list prices of its models, summed up by whatever a question asks for.

Requests of the same model, processing and price tier are summed in DuckDB as integers; the sums are then
multiplied by exact decimal prices. So no cent is lost to floating point, and a million rows cost as little
as a thousand.
"""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agents.datasets.connection import quote_name
from agents.datasets.formats import openai_usage
from agents.datasets.session import AnalysisSession, DatasetSource

from .money import round_usd
from .prices import ExactCost, ModelPrices, Tokens, find_prices
from .results import Cost, Traffic, UnpricedModel

MEAN_INPUT = "input_tokens / greatest(requests, 1)"
"""SQL: input tokens per request (a mean where a row stands for several requests)."""

ModelKey = tuple[str | None, str | None]
"""Model and provider as the log names them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Sums over the rows that share a group, model, processing and price tier."""

    group: tuple[Any, ...]
    """Values of the expressions grouped by."""
    key: ModelKey
    is_batch: bool
    above: int
    """Highest price threshold (input tokens per request) that the rows are above; -1 for none."""
    tokens: Tokens
    extra: tuple[int, ...]
    """Values of the additional sums."""


class PricedDataset:
    """One dataset of a session, priced at one moment."""

    def __init__(
        self, session: AnalysisSession, dataset_id: str, *, assumed_model: str | None, priced_at: datetime
    ) -> None:
        """Look up the prices of all models of the dataset at `priced_at` (aware, or naive UTC).

        `assumed_model` stands in for the rows that name none; None takes the one stored with the dataset.

        Raises:
            NotFoundError: The session has no such dataset.

        """
        self.session = session
        self.source: DatasetSource = session.source(dataset_id)
        self.table = quote_name(session.table_names[dataset_id])
        self.assumed_model = assumed_model or self.source.assumed_model
        self.priced_at = priced_at if priced_at.tzinfo else priced_at.replace(tzinfo=UTC)
        self.prices: dict[ModelKey, ModelPrices] = {}
        self.unpriced: list[UnpricedModel] = []
        self.traffic_by_key = self._read_traffic()
        for key, traffic in self.traffic_by_key.items():
            self._price(key, traffic)

    def _read_traffic(self) -> Mapping[ModelKey, Traffic]:
        rows = self.session.fetch(
            f"""SELECT model, provider, sum(requests), sum(input_tokens), sum(cached_input_tokens),
                sum(output_tokens) FROM {self.table} GROUP BY ALL ORDER BY ALL"""
        )
        return {(model, provider): _traffic(sums) for model, provider, *sums in rows}

    def _price(self, key: ModelKey, traffic: Traffic) -> None:
        model, provider = key
        name = model or self.assumed_model
        if name is None:
            reason = "The log names no model for these requests, and none was given to assume."
        else:
            try:
                self.prices[key] = find_prices(name, provider if model else None, priced_at=self.priced_at)
                return
            except LookupError as error:
                reason = str(error.args[0])
        self.unpriced.append(UnpricedModel(name=name, traffic=traffic, reason=reason))

    @property
    def traffic(self) -> Traffic:
        """All traffic."""
        return add_traffic(self.traffic_by_key.values())

    @property
    def priced_traffic(self) -> Traffic:
        """The traffic that has a list price."""
        return add_traffic(self.traffic_by_key[key] for key in self.prices)

    @property
    def assumed_requests(self) -> int:
        """Requests priced as the assumed model, because they name none."""
        return sum(self.traffic_by_key[key].requests for key in self.prices if key[0] is None)

    @property
    def baseline_label(self) -> str:
        """The models in use, such as `gpt-4o (assumed)`, the three busiest if there are many."""
        requests: dict[str, int] = {}
        for key, prices in self.prices.items():
            label = prices.name if key[0] else f"{prices.name} (assumed)"
            requests[label] = requests.get(label, 0) + self.traffic_by_key[key].requests
        names = sorted(requests, key=lambda name: (-requests[name], name))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more

    def cells(
        self,
        group_by: Sequence[str] = (),
        *,
        thresholds: Iterable[int] = (),
        sums: Sequence[str] = (),
        source: str | None = None,
    ) -> Iterator[Cell]:
        """Sum up the priced rows by the SQL expressions `group_by`, model, processing and price tier.

        Args:
            group_by: SQL expressions over the table's columns.
            thresholds: Further numbers of input tokens per request to tell apart, besides the models' own.
            sums: SQL integer expressions to sum up besides the token counts.
            source: SQL to read from in place of the table; it has the table's columns at least.

        """
        all_thresholds = {
            *thresholds,
            *(limit for prices in self.prices.values() for limit in prices.thresholds),
        }
        tier = "CASE " + " ".join(
            f"WHEN input_tokens > {limit} * greatest(requests, 1) THEN {limit}"
            for limit in sorted(all_thresholds, reverse=True)
        )
        tier_sql = f"{tier} ELSE -1 END" if all_thresholds else "-1"
        selected = ", ".join(("", *group_by)).removeprefix(", ")
        summed = "".join(f", coalesce(sum({expression}), 0)" for expression in sums)
        count = len(group_by)
        for row in self.session.fetch(
            f"""SELECT {selected + "," if selected else ""} model, provider, is_batch, {tier_sql},
                sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens){summed}
                FROM {source or self.table} GROUP BY ALL"""
        ):
            model, provider, is_batch, above, requests, input_tokens, cached, output, *extra = row[count:]
            if (model, provider) in self.prices:
                yield Cell(
                    group=row[:count],
                    key=(model, provider),
                    is_batch=is_batch,
                    above=above,
                    tokens=Tokens(int(requests), int(input_tokens), int(cached), int(output)),
                    extra=tuple(int(value) for value in extra),
                )

    def cost_of(self, cell: Cell) -> ExactCost:
        """Price a cell at its own model."""
        return self.prices[cell.key].cost(cell.tokens, above=cell.above, is_batch=cell.is_batch)

    def total_cost(self, cells: Iterable[Cell] | None = None) -> ExactCost:
        """Price `cells`, or the whole dataset, at their own models."""
        return sum(
            (self.cost_of(cell) for cell in (cells if cells is not None else self.cells())), ExactCost()
        )

    def group_costs(
        self, cells: Iterable[Cell], group: Callable[[Cell], Any]
    ) -> dict[Any, tuple[Traffic, ExactCost]]:
        """Add up traffic and cost of `cells` by what `group` makes of each."""
        tokens: dict[Any, list[int]] = {}
        costs: dict[Any, ExactCost] = {}
        for cell in cells:
            name = group(cell)
            sums = tokens.setdefault(name, [0, 0, 0, 0])
            counts = cell.tokens
            for position, value in enumerate(
                (counts.requests, counts.input_tokens, counts.cached_input_tokens, counts.output_tokens)
            ):
                sums[position] += value
            costs[name] = costs.get(name, ExactCost()) + self.cost_of(cell)
        return {name: (_traffic(sums), costs[name]) for name, sums in tokens.items()}

    def notes(self) -> list[str]:
        """Sentences that belong under any priced figure."""
        notes = list(self.source.notes)
        if self.assumed_requests:
            notes.append(
                f"The log names no model for {self.assumed_requests:,} requests; "
                f"{self.assumed_model} was assumed for them."
            )
        if any(len(prices.standard) > 1 for prices in self.prices.values()) and self.is_bucketed:
            notes.append("Prices that depend on a request's length were chosen by each bucket's mean length.")
        without_batch = self._batch_requests_without_price()
        if without_batch:
            notes.append(
                f"{without_batch:,} batch requests are priced as usual ones, because no batch price is "
                "listed."
            )
        return notes

    def _batch_requests_without_price(self) -> int:
        rows = self.session.fetch(
            f"SELECT model, provider, sum(requests) FROM {self.table} WHERE is_batch GROUP BY ALL"
        )
        return sum(
            int(requests)
            for model, provider, requests in rows
            if (prices := self.prices.get((model, provider))) is not None and prices.batch is None
        )

    @property
    def is_bucketed(self) -> bool:
        """Whether a row stands for all requests of a time bucket."""
        return self.source.format == openai_usage.NAME


def describe_cost(cost: ExactCost) -> Cost:
    """Round an exact cost for a result."""
    return Cost(
        input_usd=round_usd(cost.input),
        cached_input_usd=round_usd(cost.cached_input),
        output_usd=round_usd(cost.output),
        request_fees_usd=round_usd(cost.request_fees),
        total_usd=round_usd(cost.total),
    )


def add_traffic(parts: Iterable[Traffic]) -> Traffic:
    """Add up traffic."""
    total = [0, 0, 0, 0]
    for part in parts:
        for position, value in enumerate(
            (part.requests, part.input_tokens, part.cached_input_tokens, part.output_tokens)
        ):
            total[position] += value
    return _traffic(total)


def _traffic(sums: Sequence[int | Decimal]) -> Traffic:
    requests, input_tokens, cached, output = (int(value) for value in sums)
    return Traffic(
        requests=requests, input_tokens=input_tokens, cached_input_tokens=cached, output_tokens=output
    )
