"""Errors as HTTP answers: problem details (RFC 9457) with a stable code, and nothing internal."""

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.views import set_rollback

from contexts.api.amounts import amount_json
from contexts.exceptions import (
    InvalidRequestError,
    LimitError,
    NetraError,
    NotAuthenticatedError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    UnavailableError,
)
from contexts.identifiers import new_id

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS_OF_CODE = {
    "invalid_request": 400,
    "invalid_context": 400,
    "not_authenticated": 401,
    "permission_denied": 403,
    "context_isolation": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "context_closed": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "tool_failed": 422,
    "outcome_unknown": 422,
    "quarantined": 423,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "internal": 500,
    "error": 500,
    "unavailable": 503,
}
"""The one table from an error's code to its HTTP status."""

_CODE_OF_FRAMEWORK_STATUS = {
    400: "invalid_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}
# Asked of clients when nobody can know the moment at which a limit is free again.
_UNKNOWN_WAIT_SECONDS = 60


class ProblemResponse(JsonResponse):
    """An `application/problem+json` answer; the status follows from the code."""

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """Say `detail` (one sentence for the user) and any further `members`."""
        status = STATUS_OF_CODE[code]
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "code": code,
            "detail": detail,
            **members,
        }
        super().__init__(problem, status=status, content_type=MEDIA_TYPE, headers=dict(headers or {}))
        self["Cache-Control"] = "no-store"


def problem_response(error: Exception, context: Mapping[str, Any]) -> ProblemResponse:
    """Answer any exception of a view; REST framework's `EXCEPTION_HANDLER`.

    What was not foreseen is logged with an incident id, the only thing of it that the client sees.
    """
    set_rollback()
    translated = _translate(error)
    if isinstance(translated, NetraError) and translated.code in STATUS_OF_CODE:
        return _netra_problem(translated)
    if isinstance(translated, exceptions.APIException) and translated.status_code < 500:
        return _framework_problem(translated)
    return _incident(error, context)


def _translate(error: Exception) -> Exception:
    match error:
        case Http404():
            return NotFoundError("There is nothing at this address.")
        case PermissionDenied():
            return PermissionDeniedError("This is not allowed.")
        case RequestDataTooBig():
            return PayloadTooLargeError("The request is larger than is taken.")
        case SuspiciousOperation():
            return InvalidRequestError("The request is malformed.")
        case OperationalError() | InterfaceError() | PoolTimeout():
            logger.error("The database did not answer.", exc_info=error)
            return UnavailableError("The database does not answer now; try again in a moment.")
        case _:
            return error


def _netra_problem(error: NetraError) -> ProblemResponse:
    members: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, LimitError):
        members = {
            "resource": error.resource,
            "limit": amount_json(error.resource, error.limit),
            "resets_at": error.resets_at,
        }
        headers["Retry-After"] = str(_wait_seconds(error.resets_at, now=datetime.now(UTC)))
    elif isinstance(error, NotAuthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    elif isinstance(error, UnavailableError):
        headers["Retry-After"] = "5"
    return ProblemResponse(error.code, error.message, headers=headers, **members)


def _framework_problem(error: exceptions.APIException) -> ProblemResponse:
    code = _CODE_OF_FRAMEWORK_STATUS.get(error.status_code, "invalid_request")
    headers: dict[str, str] = {}
    members: dict[str, Any] = {}
    # Both are set by REST framework on the way here, when they apply.
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    detail: Any = error.detail
    if isinstance(error, exceptions.ValidationError):
        members["errors"] = detail
        detail = " ".join(_sentences(detail))
    elif isinstance(detail, dict):
        detail = detail.get("detail") or str(error.default_detail)
    return ProblemResponse(code, str(detail), headers=headers, **members)


def _sentences(detail: Any, field: str = "") -> list[str]:
    """Flatten REST framework's nested messages into `field: message` sentences."""
    if isinstance(detail, dict):
        return [
            sentence
            for name, value in detail.items()
            for sentence in _sentences(
                value, f"{field}.{name}".strip(".") if name != "non_field_errors" else field
            )
        ]
    if isinstance(detail, list):
        return [sentence for value in detail for sentence in _sentences(value, field)]
    return [f"{field}: {detail}" if field else str(detail)]


def _wait_seconds(resets_at: datetime | None, *, now: datetime) -> int:
    if resets_at is None:
        return _UNKNOWN_WAIT_SECONDS
    return max(1, math.ceil((resets_at - now).total_seconds()))


def _incident(error: Exception, context: Mapping[str, Any]) -> ProblemResponse:
    incident_id = new_id()
    request, view = context.get("request"), context.get("view")
    user = getattr(request, "_user", None)
    logger.error(
        "Incident %s: %s failed, user %s",
        incident_id,
        type(view).__name__,
        getattr(user, "pk", None),
        exc_info=error,
    )
    return ProblemResponse(
        "internal",
        "Something went wrong on the server. It was recorded under the incident id given here.",
        incident_id=str(incident_id),
    )
