"""Whose questions the terminal asks, and with which token."""

import getpass
import os
import sys

from django.db import OperationalError, ProgrammingError
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotAuthenticatedError, NotFoundError, UnavailableError
from contexts.models import User
from realtime.terminal.api import ServerApi, is_loopback

PASSWORD_VARIABLE = "NETRA_PASSWORD"


def mint_token(username: str) -> str:
    """Return an access token of a user of the database at hand.

    Raises:
        NotFoundError: when it has no such user.
        NotAuthenticatedError: when the user is deactivated.
        UnavailableError: when the database is not set up or does not answer.
    """
    try:
        user = User.objects.filter(username=username).first()
    except ProgrammingError as error:
        raise UnavailableError(
            "The database is not set up; run `make run` or `python manage.py migrate` first."
        ) from error
    except OperationalError as error:
        raise UnavailableError(f"The database does not answer: {str(error).splitlines()[0]}.") from error
    if user is None:
        raise NotFoundError(
            f"There is no user {username!r}; `python manage.py seed_demo` makes the demo accounts."
        )
    if not user.is_active:
        raise NotAuthenticatedError(f"The account {username!r} is deactivated.")
    return str(AccessToken.for_user(user))


async def sign_in_at(api: ServerApi, username: str) -> str:
    """Return an access token for a server named by its address.

    A password in `NETRA_PASSWORD` is used first; then, on this machine alone, a token minted from
    the database at hand; then a password typed at a prompt.

    Raises:
        NotAuthenticatedError: when no password is given, or it is wrong.
        UnavailableError: when no Netra server answers.
    """
    if not await api.is_netra():
        raise UnavailableError(f"No Netra server answers at {api.url}.")
    password = os.environ.get(PASSWORD_VARIABLE)
    obstacle = ""
    if password is None and is_loopback(api.url):
        try:
            token = await call_in_thread(mint_token, username)
            if await api.accepts(token):
                return token
            obstacle = "The server has another database or secret key than this command. "
        except NetraError as error:
            obstacle = f"{error.message} "
    if password is None:
        password = _ask_password(username, api.url, obstacle)
    return await api.sign_in(username, password)


def _ask_password(username: str, url: str, obstacle: str) -> str:
    if not sys.stdin.isatty():
        raise NotAuthenticatedError(
            f"{obstacle}Set {PASSWORD_VARIABLE} to the password of {username!r} at {url}."
        )
    return getpass.getpass(f"Password of {username} at {url}: ")
