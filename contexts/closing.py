"""The orderly end of contexts: children first, callbacks last in first out, none stopping the rest."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from contexts.context import UserExecutionContext
from contexts.register import ContextRegister, Registration

logger = logging.getLogger(__name__)

Finish = Callable[[Registration], None]


async def close_all(
    closing: Sequence[Registration], *, register: ContextRegister, finish: Finish, may_wait: bool = True
) -> None:
    """Call what is to be called at the end of each context, in their order, then `finish` it.

    A cancellation, too, lets all be finished first, and goes on afterwards.
    """
    interruption: BaseException | None = None
    for registration in closing:
        for callback in reversed(registration.close_callbacks):
            try:
                outcome = callback()
                if inspect.isawaitable(outcome):
                    await (outcome if may_wait else _refuse(outcome))
            except Exception:  # noqa: BLE001 - recorded by `note_failure`, and stops none of the others
                note_failure(register, registration.context)
            except BaseException as error:  # noqa: BLE001 - raised below
                note_failure(register, registration.context)
                interruption = interruption or error
        finish(registration)
    if interruption is not None:
        raise interruption


def close_all_sync(closing: Sequence[Registration], *, register: ContextRegister, finish: Finish) -> None:
    """Do the same from synchronous code; an asynchronous callback counts as one that failed."""
    work = close_all(closing, register=register, finish=finish, may_wait=False)
    try:
        work.send(None)  # ends at once, since it waits for nothing
    except StopIteration:
        return


def note_failure(register: ContextRegister, context: UserExecutionContext) -> None:
    """Count and log, with the ids of its context, the failure of a callback that is being handled."""
    register.count("failed_callbacks")
    logger.exception(
        "A callback failed: context %s, user %s, run %s",
        context.context_id,
        context.user_id,
        context.run_id,
    )


async def _refuse(outcome: Awaitable[None]) -> None:
    if isinstance(outcome, Coroutine):
        outcome.close()
    raise TypeError("An asynchronous callback cannot run in a synchronous context.")
