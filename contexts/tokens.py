"""JSON web tokens of one sign-in: issued as a pair, rotated, and revoked together as a family."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from contexts.exceptions import NotAuthenticatedError
from contexts.models import User
from contexts.scope import owner_scope

# Names the first refresh token of a sign-in in all that were rotated from it.
_FAMILY = "family"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPair:
    """What a client keeps: a short-lived access token and the refresh token that renews it."""

    access: str
    refresh: str


class _AnyRefreshToken(RefreshToken):
    """A refresh token checked for all but being spent, which means more than being invalid."""

    def check_blacklist(self) -> None:
        """Leave the check to `rotate_tokens`, under its lock."""


def issue_tokens(user: User) -> TokenPair:
    """Return the tokens of a new sign-in."""
    with owner_scope(user_id=user.id):
        token = RefreshToken.for_user(user)
    return TokenPair(access=str(token.access_token), refresh=str(token))


def rotate_tokens(refresh: str) -> TokenPair:
    """Spend a refresh token and return the next pair.

    A token that was spent already has been copied: every token of its sign-in is revoked.

    Raises:
        NotAuthenticatedError: when the token is invalid, expired, spent or revoked, its user is
            deactivated, or their password was changed.
    """
    token = _decode(refresh)
    with owner_scope(user_id=_user_id(token)):
        user = _lock_user(token)
        is_spent = BlacklistedToken.objects.filter(token__jti=_identity(token)).exists()
        if is_spent:
            _revoke_family(token, user)
            pair = None
        else:
            pair = _next_pair(token)
    if pair is None:
        raise NotAuthenticatedError("The refresh token was used before; its sign-in has been ended.")
    return pair


def revoke_tokens(refresh: str) -> None:
    """End the sign-in that a refresh token belongs to; access tokens run out by themselves.

    Raises:
        NotAuthenticatedError: as `rotate_tokens` does, but a spent token will do.
    """
    token = _decode(refresh)
    with owner_scope(user_id=_user_id(token)):
        _revoke_family(token, _lock_user(token))


def _decode(refresh: str) -> RefreshToken:
    try:
        return _AnyRefreshToken(refresh)  # type: ignore[arg-type]  # the library types it as a token
    except TokenError as error:
        raise NotAuthenticatedError("The refresh token is invalid or expired.") from error


def _lock_user(token: RefreshToken) -> User:
    """Return the token's user, whose tokens nobody else changes until the transaction ends."""
    user = User.objects.select_for_update(no_key=True).filter(id=_user_id(token), is_active=True).first()
    if user is None:
        raise NotAuthenticatedError("The account does not exist or is deactivated.")
    if token.payload.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise NotAuthenticatedError("The password was changed; sign in again.")
    return user


def _user_id(token: RefreshToken) -> UUID:
    try:
        return UUID(str(token.payload.get(api_settings.USER_ID_CLAIM)))
    except ValueError:
        raise NotAuthenticatedError("The refresh token names no account.") from None


def _next_pair(token: RefreshToken) -> TokenPair:
    family = _family(token)
    token.blacklist()
    token.set_jti()
    token.set_exp()
    token.set_iat()
    token[_FAMILY] = family
    token.outstand()
    return TokenPair(access=str(token.access_token), refresh=str(token))


def _revoke_family(token: RefreshToken, user: User) -> None:
    family = _family(token)
    for row in OutstandingToken.objects.filter(user=user, blacklistedtoken=None):
        try:
            other = _AnyRefreshToken(row.token)  # type: ignore[arg-type]
        except TokenError:
            continue  # expired, so revoked already
        if _family(other) == family:
            other.blacklist()


def _identity(token: RefreshToken) -> str:
    return str(token.payload[api_settings.JTI_CLAIM])


def _family(token: RefreshToken) -> str:
    return str(token.payload.get(_FAMILY) or _identity(token))
