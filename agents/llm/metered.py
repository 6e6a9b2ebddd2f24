"""A model whose calls are paid for: each one is reserved before it is made, and counted after."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_core import to_json

from agents.interruption import finish_all
from agents.llm.budget import ModelBudget, list_price, usage_of
from agents.llm.models import is_metered
from agents.usage import Usage
from contexts.exceptions import QuotaExceededError
from contexts.metering import Taken

OUTPUT_TOKENS = (8_192, 1_024)
"""How long an answer may become; the shorter one where the longer cannot be paid any more."""
# No tokenizer of the usual models makes more tokens of usual text (GPT-4o: about 4 bytes a token in English).
BYTES_PER_TOKEN = 3


class MeteredModel(WrapperModel):
    """Calls the model within its run's budget, and the tier's cheaper model from the soft limit on."""

    def __init__(self, wrapped: Model, budget: ModelBudget, *, fallback: Model | None = None) -> None:
        """Pay for the calls of `wrapped`, or of `fallback` in its place, from `budget`."""
        super().__init__(wrapped)
        self._budget = budget
        self._models = (wrapped,) if fallback is None else (wrapped, fallback)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Call the model.

        Raises:
            QuotaExceededError: when tokens or money do not suffice for even a short answer.
        """
        call = await self._prepare(messages, model_settings, model_request_parameters)
        used = Usage()
        try:
            response = await call.model.request(messages, call.settings, model_request_parameters)
            used = call.usage_of(response)
        finally:
            await finish_all(self._budget.count(call.taken, used))
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Call the model, as `request` does; one that was cut off is counted by what came until then."""
        call = await self._prepare(messages, model_settings, model_request_parameters)
        stream: StreamedResponse | None = None
        try:
            async with call.model.request_stream(
                messages, call.settings, model_request_parameters, run_context
            ) as stream:
                yield stream
        finally:
            used = Usage() if stream is None else call.usage_of(stream.get())
            await finish_all(self._budget.count(call.taken, used))

    async def _prepare(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> "_Call":
        """Choose the dearest call that can be paid: the model itself, else the cheaper one, else shorter."""
        budget = self._budget
        input_tokens = _estimate(messages, parameters)
        stated = (settings or {}).get("max_tokens")
        lengths = OUTPUT_TOKENS if stated is None else (stated, min(stated, OUTPUT_TOKENS[-1]))
        refusal: QuotaExceededError | None = None
        for length in dict.fromkeys(lengths):
            for model in self._models:
                is_cheapest = model is self._models[-1]
                if budget.is_past_soft_limit and not is_cheapest:
                    continue
                try:
                    taken = await budget.reserve(model, input_tokens=input_tokens, output_tokens=length)
                except QuotaExceededError as error:
                    refusal = refusal or error
                    continue
                if budget.is_past_soft_limit and not is_cheapest:
                    # Known only now, from the answer.
                    await budget.count(taken, Usage())
                    continue
                if model is not self.wrapped:
                    budget.note_fallback(model)
                return _Call(model, {**(settings or {}), "max_tokens": length}, taken, input_tokens)
        assert refusal is not None
        raise refusal


@dataclass(frozen=True, slots=True)
class _Call:
    model: Model
    settings: ModelSettings
    taken: Taken
    input_tokens: int
    """An estimate."""

    def usage_of(self, response: ModelResponse) -> Usage:
        """Return what the call used; an estimate where the provider was cut off before it told."""
        if not is_metered(self.model):
            return Usage()
        used = usage_of(response)
        if used.input_tokens or used.output_tokens:
            return used
        output_tokens = len(to_json(response.parts)) // BYTES_PER_TOKEN
        name = self.model.model_name
        cost = list_price(name, input_tokens=self.input_tokens, output_tokens=output_tokens)
        return Usage(input_tokens=self.input_tokens, output_tokens=output_tokens, cost_usd=cost)


def _estimate(messages: list[ModelMessage], parameters: ModelRequestParameters) -> int:
    """Return about how many tokens a request has, rather too many."""
    tools = to_json([*parameters.function_tools, *parameters.output_tools], fallback=str)
    return (len(ModelMessagesTypeAdapter.dump_json(messages)) + len(tools)) // BYTES_PER_TOKEN
