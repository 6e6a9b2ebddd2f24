import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.test import APIClient

from contexts import exceptions
from contexts.api.problems import STATUS_OF_CODE, problem_response
from tests.clients import assert_problem
from tests.factories import Cast

PROTOCOL = {
    "invalid_request": 400,
    "not_authenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "conflict": 409,
    "payload_too_large": 413,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "quarantined": 423,
    "unavailable": 503,
}


def _answer(error: Exception) -> Any:
    response = problem_response(error, {"request": None, "view": None})
    response.json = lambda: json.loads(response.content)
    return response


def _classes(parent: type[exceptions.NetraError]) -> list[type[exceptions.NetraError]]:
    return [found for child in parent.__subclasses__() for found in (child, *_classes(child))]


@pytest.mark.parametrize(("code", "status"), PROTOCOL.items())
def test_the_promised_codes_have_the_promised_statuses(code: str, status: int) -> None:
    assert STATUS_OF_CODE[code] == status


def test_every_error_of_the_tree_has_a_status() -> None:
    own = [found for found in _classes(exceptions.NetraError) if found.__module__ == "contexts.exceptions"]
    assert len(own) > 10
    assert {found.code for found in own} <= set(STATUS_OF_CODE)


def test_a_limit_says_what_how_much_and_until_when() -> None:
    resets_at = datetime.now(UTC) + timedelta(seconds=90)
    error = exceptions.QuotaExceededError(
        "Used up.", resource="agent_runs", limit=Decimal("10.000000"), resets_at=resets_at
    )
    response = _answer(error)
    problem = assert_problem(response, 429, "quota_exceeded")
    assert (problem["resource"], problem["limit"]) == ("agent_runs", 10)
    assert datetime.fromisoformat(problem["resets_at"]) == resets_at.replace(
        microsecond=resets_at.microsecond // 1000 * 1000
    )
    assert 85 <= int(response["Retry-After"]) <= 90


def test_a_limit_in_money_is_a_decimal_string_and_one_without_end_still_says_when_to_retry() -> None:
    error = exceptions.RateLimitedError("Slow.", resource="cost_usd", limit=Decimal(1), resets_at=None)
    response = _answer(error)
    problem = assert_problem(response, 429, "rate_limited")
    assert problem["limit"] == "1.00"
    assert problem["resets_at"] is None
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (RequestDataTooBig(), 413, "payload_too_large"),
        (SuspiciousOperation("secret"), 400, "invalid_request"),
        (OperationalError("host=secret"), 503, "unavailable"),
        (Throttled(wait=7), 429, "rate_limited"),
    ],
)
def test_errors_of_the_frameworks_become_problems(error: Exception, status: int, code: str) -> None:
    response = _answer(error)
    assert_problem(response, status, code)
    assert "secret" not in response.content.decode()


def test_a_validation_error_names_each_field() -> None:
    problem = assert_problem(
        _answer(ValidationError({"title": ["Too long."], "items": [{"id": ["Not a number."]}]})),
        400,
        "invalid_request",
    )
    assert problem["detail"] == "title: Too long. items.id: Not a number."
    assert problem["errors"]["title"] == ["Too long."]


def test_an_unforeseen_error_shows_only_its_incident_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = _answer(ZeroDivisionError("password=hunter2"))
    problem = assert_problem(response, 500, "internal")
    assert "hunter2" not in response.content.decode()
    assert "ZeroDivision" not in response.content.decode()
    assert problem["incident_id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "address", ["/api", "/api/", "/api/v1/nothing", "/api/v1/threads/", "/api/v1/runs/12"]
)
def test_an_unknown_address_below_api_is_a_problem(client: Any, address: str) -> None:
    assert_problem(client.get(address), 404, "not_found")


def test_a_missing_sign_in_and_a_wrong_method_are_problems(cast: Cast, client: Any) -> None:
    response = client.get("/api/v1/me")
    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert_problem(client.get("/api/v1/auth/token"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "address", ["runs/018f0000-0000-7000-8000-000000000000%0a", "nowhere", "me%0a%0a", "%0a", "me/%00"]
)
def test_an_unknown_address_is_a_problem_too(db: None, address: str) -> None:
    assert_problem(APIClient().get(f"/api/v1/{address}"), 404, "not_found")
