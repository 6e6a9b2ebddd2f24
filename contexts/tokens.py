"""JSON web tokens of one sign-in: issued as a pair, rotated, and revoked together as a family."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from contexts.exceptions import NotAuthenticatedError
from contexts.models import TokenFamily, User
from contexts.scope import owner_scope
from contexts.sign_ins import SignIn, SignInKind, SignInProof

# Names the sign-in's `TokenFamily` in all tokens that came of it.
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
    """Return the tokens of a new sign-in, and forget those of the user that have expired."""
    now = datetime.now(UTC)
    with owner_scope(user_id=user.id):
        TokenFamily.objects.filter(user=user, expires_at__lte=now).delete()
        OutstandingToken.objects.filter(user=user, expires_at__lte=now).delete()
        token = RefreshToken.for_user(user)
        token[_FAMILY] = TokenFamily.objects.create(user=user, expires_at=_expires_at(token)).id.hex
    return TokenPair(access=str(token.access_token), refresh=str(token))


def rotate_tokens(refresh: str) -> TokenPair:
    """Spend a refresh token and return the next pair.

    A token that was spent already has been copied: every token of its sign-in is revoked.

    Raises:
        NotAuthenticatedError: when the token is invalid, expired, spent or revoked, its user is
            deactivated, or their password was changed.
    """
    token, proof = _read_refresh_token(refresh)
    with owner_scope(user_id=proof.user_id):
        family = _lock_family(proof)
        if family.revoked_at is not None:
            raise NotAuthenticatedError("The sign-in was ended; sign in again.")
        is_spent = BlacklistedToken.objects.filter(token__jti=token.payload[api_settings.JTI_CLAIM]).exists()
        pair = None if is_spent else _next_pair(token, family)
        if pair is None:
            end_sign_in(proof)
    if pair is None:
        raise NotAuthenticatedError("The refresh token was used before; its sign-in has been ended.")
    return pair


def revoke_tokens(refresh: str) -> UUID:
    """End the sign-in that a refresh token belongs to, with its access tokens; return whose it was.

    Raises:
        NotAuthenticatedError: as `rotate_tokens` does, but a spent or revoked token will do.
    """
    _, proof = _read_refresh_token(refresh)
    with owner_scope(user_id=proof.user_id):
        _lock_family(proof)
        end_sign_in(proof)
    return proof.user_id


def end_sign_in(proof: SignInProof) -> None:
    """End a sign-in by token; one whose token has no family lasts until the token expires."""
    if proof.kind == SignInKind.TOKEN and proof.reference:
        families = TokenFamily.objects.filter(id=UUID(proof.reference), user_id=proof.user_id)
        families.filter(revoked_at=None).update(revoked_at=datetime.now(UTC))


def read_access_token(access: str) -> SignIn:
    """Return what an access token says, verified without the database.

    `contexts.sign_ins.valid_sign_ins` says whether it is still so.

    Raises:
        NotAuthenticatedError: when it is forged, expired or meant for others, or is no access token.
    """
    try:
        return sign_in_of_token(AccessToken(access))  # type: ignore[arg-type]  # typed as a token
    except TokenError as error:
        raise NotAuthenticatedError("The access token is invalid or expired.") from error


def sign_in_of_token(token: Token) -> SignIn:
    """Return who signed in with a token that was verified, and until when it says so.

    Raises:
        NotAuthenticatedError: when it names no account, or no family as we do.
    """
    claims = token.payload
    try:
        proof = SignInProof(
            user_id=UUID(str(claims.get(api_settings.USER_ID_CLAIM))),
            kind=SignInKind.TOKEN,
            reference=UUID(str(claims[_FAMILY])).hex if _FAMILY in claims else "",
            password_mark=str(claims.get(api_settings.REVOKE_TOKEN_CLAIM)),
        )
    except ValueError:
        raise NotAuthenticatedError("The token names no account.") from None
    return SignIn(proof=proof, expires_at=_expires_at(token))


def _read_refresh_token(refresh: str) -> tuple[RefreshToken, SignInProof]:
    try:
        token = _AnyRefreshToken(refresh)  # type: ignore[arg-type]  # the library types it as a token
    except TokenError as error:
        raise NotAuthenticatedError("The refresh token is invalid or expired.") from error
    proof = sign_in_of_token(token).proof
    if not proof.reference:
        raise NotAuthenticatedError("The refresh token belongs to no sign-in.")
    return token, proof


def _lock_family(proof: SignInProof) -> TokenFamily:
    """Return the sign-in's family, which nobody else changes until the transaction ends."""
    families = TokenFamily.objects.select_for_update(of=("self",), no_key=True).select_related("user")
    family = families.filter(id=UUID(proof.reference), user_id=proof.user_id, user__is_active=True).first()
    if family is None:
        raise NotAuthenticatedError("The account or sign-in does not exist, or is deactivated.")
    if proof.password_mark != get_md5_hash_password(family.user.password):
        raise NotAuthenticatedError("The password was changed; sign in again.")
    return family


def _next_pair(token: RefreshToken, family: TokenFamily) -> TokenPair:
    token.blacklist()
    token.set_jti()
    token.set_exp()
    token.set_iat()
    token.outstand()
    family.expires_at = _expires_at(token)
    family.save(update_fields=["expires_at"])
    return TokenPair(access=str(token.access_token), refresh=str(token))


def _expires_at(token: Token) -> datetime:
    return datetime.fromtimestamp(token["exp"], UTC)
