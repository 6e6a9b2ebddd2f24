"""Stopping contexts after a breach, and telling at once who must know."""

import logging
from uuid import UUID

from contexts.closing import note_failure
from contexts.context import UserExecutionContext
from contexts.register import ContextRegister, QuarantineCallback

logger = logging.getLogger(__name__)


class Quarantine:
    """Stops contexts of a register; each is stopped once, and for good."""

    def __init__(self, register: ContextRegister) -> None:
        """Stop contexts that are in `register`."""
        self._register = register

    def stop(self, context_id: UUID, reason: str) -> bool:
        """Stop a context with its parents and children; return whether any was not stopped before."""
        stopped = self._register.quarantine(context_id, reason)
        for context, callbacks in stopped:
            logger.error(
                "Quarantined, %s: context %s, user %s, run %s",
                reason,
                context.context_id,
                context.user_id,
                context.run_id,
            )
            for callback in callbacks:
                self._call(callback, context)
        return bool(stopped)

    def on_stop(self, context: UserExecutionContext, callback: QuarantineCallback) -> None:
        """Have `callback` called once when `context` is stopped, at once if it is already.

        Raises:
            ContextClosedError: when the context is neither open nor stopped.
        """
        if not self._register.add_quarantine_callback(context, callback):
            self._call(callback, context)

    def _call(self, callback: QuarantineCallback, context: UserExecutionContext) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 - recorded, and stops none of the others
            note_failure(self._register, context)
