"""Signing in with a password, for clients that are no browser."""

from datetime import datetime, timedelta

from allauth.account.adapter import get_adapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from contexts.exceptions import NotAuthenticatedError, RateLimitedError
from contexts.models import User
from contexts.tokens import TokenPair, issue_tokens

# The defaults of allauth's `login_failed` rate: 5 failures of an account in 5 minutes.
MAX_FAILURES = 5
FAILURES_WINDOW = timedelta(minutes=5)


def sign_in(request: HttpRequest, *, username: str, password: str, now: datetime) -> TokenPair:
    """Return the tokens of a new sign-in; failures count together with those of the sign-in page.

    Raises:
        NotAuthenticatedError: when no active account has these credentials.
        RateLimitedError: after too many failures of this account or from this address.
    """
    try:
        user = get_adapter().authenticate(request, username=username, password=password)
    except ValidationError as error:
        raise RateLimitedError(
            "Too many failed sign-ins; try again in a few minutes.",
            resource="sign_in_failures",
            limit=MAX_FAILURES,
            resets_at=now + FAILURES_WINDOW,
        ) from error
    if not isinstance(user, User) or not user.is_active:
        raise NotAuthenticatedError("No active account has this username and password.")
    return issue_tokens(user)
