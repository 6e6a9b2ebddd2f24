"""Every error that Netra raises on purpose, each with a stable `code`.

NetraError
├── InvalidRequestError          invalid_request      what was asked is malformed or impossible
│   └── InvalidDatasetError      invalid_request      a file that cannot be read as a usage log
├── InvalidContextError          invalid_context      an execution context with unusable identifiers
│   └── InvalidIdentifierTypeError  invalid_context   an identifier that is neither UUID nor string
├── ContextIsolationError        context_isolation    something of another user was about to be reached
├── ContextClosedError           context_closed       the execution context has ended
├── NotAuthenticatedError        not_authenticated    nobody, or no longer, signed in
├── PermissionDeniedError        permission_denied    signed in, but not allowed
├── NotFoundError                not_found            absent, or someone else's
├── ConflictError                conflict             contradicts what is already there
├── PayloadTooLargeError         payload_too_large    more bytes than are taken
├── LimitError
│   ├── QuotaExceededError       quota_exceeded       a tier's limit is used up
│   └── RateLimitedError         rate_limited         too many in a short time
├── QuarantinedError             quarantined          stopped after an isolation breach
├── ToolError                    tool_failed          a tool could not do what an agent asked
│   └── OutcomeUnknownError      outcome_unknown      a call was cut off, and may not be made again
├── RunFailedError               (given)              a run ends, with this code, as `run_failed`
└── UnavailableError             unavailable          a service that is needed does not answer

HTTP statuses and WebSocket close codes are mapped from `code` at the edges only.

FencedError stands beside the tree: nobody is told of it, for another attempt goes on with the work.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar


class FencedError(Exception):
    """The work has ended or gone to another attempt: this one may write nothing more."""


class NetraError(Exception):
    """An error with a stable code and a message that may be shown to the user."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Any) -> None:
        """Keep `message` (one sentence, no secret, no other tenant's data) and its `details`."""
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequestError(NetraError):
    """What was asked is malformed or impossible."""

    code = "invalid_request"


class InvalidDatasetError(InvalidRequestError):
    """A file that cannot be read as a log of LLM usage."""


class InvalidContextError(NetraError):
    """An execution context was asked for with unusable identifiers."""

    code = "invalid_context"


class InvalidIdentifierTypeError(InvalidContextError, TypeError):
    """An identifier is neither a UUID nor a string that holds one."""


class ContextIsolationError(NetraError):
    """Something that belongs to another user was about to be reached."""

    code = "context_isolation"


class ContextClosedError(NetraError):
    """The execution context has ended and can do nothing more."""

    code = "context_closed"


class NotAuthenticatedError(NetraError):
    """Nobody is signed in, or the sign-in has ended."""

    code = "not_authenticated"


class PermissionDeniedError(NetraError):
    """The user is signed in, but may not do this."""

    code = "permission_denied"


class NotFoundError(NetraError):
    """The thing does not exist, or belongs to someone else."""

    code = "not_found"


class ConflictError(NetraError):
    """The request contradicts what is already there."""

    code = "conflict"


class PayloadTooLargeError(NetraError):
    """More bytes were sent than are taken."""

    code = "payload_too_large"


class LimitError(NetraError):
    """A limit was reached: which one, how high it is, and when it is free again."""

    def __init__(
        self,
        message: str,
        *,
        resource: str,
        limit: Decimal | int,
        used: Decimal | int = 0,
        reserved: Decimal | int = 0,
        resets_at: datetime | None,
    ) -> None:
        """Keep the `resource`'s name, `limit`, `used` and `reserved` in its unit, and `resets_at` (UTC)."""
        super().__init__(message, resource=resource, limit=limit, resets_at=resets_at)
        self.resource = resource
        self.limit = limit
        self.used = used
        self.reserved = reserved
        self.resets_at = resets_at

    @property
    def remaining(self) -> Decimal:
        """Return what was left of the limit that refused."""
        return max(Decimal(0), Decimal(self.limit) - self.used - self.reserved)


class QuotaExceededError(LimitError):
    """A tier's limit is used up."""

    code = "quota_exceeded"


class RateLimitedError(LimitError):
    """Too many requests in a short time."""

    code = "rate_limited"


class QuarantinedError(NetraError):
    """The context was stopped after an isolation breach."""

    code = "quarantined"


class ToolError(NetraError):
    """A tool could not do what an agent asked; the run goes on."""

    code = "tool_failed"


class OutcomeUnknownError(ToolError):
    """A call that must not be made twice was cut off: nobody knows whether it had its effect."""

    code = "outcome_unknown"


class RunFailedError(NetraError):
    """A run has to end now; `code` and `retryable` go into its `run_failed` event."""

    def __init__(self, message: str, *, code: str, retryable: bool) -> None:
        """Keep the failure's stable `code` and whether asking again may help."""
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.retryable = retryable


class UnavailableError(NetraError):
    """A service that is needed does not answer now."""

    code = "unavailable"
