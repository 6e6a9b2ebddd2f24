"""Circuit breakers: what keeps failing is left alone for a while."""

from collections.abc import Callable
from typing import TypeVar

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError

from contexts.exceptions import UnavailableError

T = TypeVar("T")

MAX_FAILURES = 5
OPEN_SECONDS = 10.0


class ModelBreakers:
    """A circuit breaker for each model that users prefer, so that one's trouble is not everybody's.

    A breaker opens after 5 failures in a row; 10 s later one call is let through, which closes it or
    opens it again. Only breakers with failures are kept.
    """

    def __init__(self) -> None:
        """Start with every breaker closed."""
        self._breakers: dict[str, CircuitBreaker] = {}

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Return what `function` returns, unless the breaker `name` is open.

        Raises:
            UnavailableError: when the breaker is open.
            Exception: whatever `function` raises; it counts as a failure.
        """
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = CircuitBreaker(
                fail_max=MAX_FAILURES, reset_timeout=OPEN_SECONDS, name=name, throw_new_error_on_trip=False
            )
            self._breakers[name] = breaker
        try:
            return breaker.call(function)
        except CircuitBreakerError:
            raise UnavailableError(
                "The model failed several times in a row; try again in a few seconds."
            ) from None
        finally:
            if breaker.current_state == STATE_CLOSED and breaker.fail_counter == 0:
                self._breakers.pop(name, None)
