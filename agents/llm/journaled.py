"""A model whose responses are recorded: what an earlier attempt was answered is not asked for again."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pydantic_ai import ModelMessage, ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from agents.journal import Turn
from agents.llm.budget import ModelBudget
from contexts.exceptions import RunFailedError


class JournaledModel(WrapperModel):
    """Answers from one turn of the journal as far as it goes, then asks the model and adds to it."""

    def __init__(self, wrapped: Model, turn: Turn, budget: ModelBudget) -> None:
        """Record what `wrapped` responds in `turn`; `budget` tells what each response cost."""
        super().__init__(wrapped)
        self._turn = turn
        self._budget = budget

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the recorded response, or the model's.

        Raises:
            RunHandedBackError: when the run is to go on elsewhere.
            FencedError: when it does so already.
            RunFailedError: when the model ended as no code may end here.
        """
        if (recorded := self._recorded()) is not None:
            return recorded
        before = self._budget.usage
        with _contained():
            response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        await self._turn.save(response, self._budget.usage - before)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream the recorded response, or the model's, which is recorded once it is whole.

        Raises what `request` does.
        """
        if (recorded := self._recorded()) is not None:
            yield CompletedStreamedResponse(
                recorded, model_request_parameters=model_request_parameters, replay_events=True
            )
            return
        before = self._budget.usage
        with _contained():
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                yield stream
        await self._turn.save(stream.get(), self._budget.usage - before)

    def _recorded(self) -> ModelResponse | None:
        recorded = self._turn.next_response()
        if recorded is None:
            return None
        response, used = recorded
        self._budget.usage += used
        return response


@contextmanager
def _contained() -> Iterator[None]:
    """Have code of a model or its stream end no more than its run."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        raise RunFailedError(
            f"The model's code raised {type(error).__name__}.", code="model_failed", retryable=False
        ) from error
