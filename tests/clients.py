"""Signed-in HTTP clients."""

from typing import Any

from rest_framework.test import APIClient

from contexts.models import User
from contexts.sign_ins import SignIn
from contexts.tokens import issue_tokens, read_access_token

PROBLEM = "application/problem+json"


def client_of(user: User, **options: Any) -> APIClient:
    """Return a REST client that sends a real access token of the user's."""
    client = APIClient(**options)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_tokens(user).access}")
    return client


def sign_in_of(user: User) -> SignIn:
    """Return a new sign-in of the user's, by token."""
    return read_access_token(issue_tokens(user).access)


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check that the answer is a problem with this status and code; return its members."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in response.content.decode()
    return problem
