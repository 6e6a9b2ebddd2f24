"""Who a request is from: by access token, looked up together with the sign-in that it belongs to."""

from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Exists, OuterRef
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from contexts.exceptions import NotAuthenticatedError
from contexts.models import TokenFamily, User
from contexts.sign_ins import SignIn, sign_ins_of_sessions
from contexts.tokens import sign_in_of_token


class TokenAuthentication(JWTAuthentication):
    """Signs requests in by `Authorization: Bearer`, as long as the token's sign-in was not ended."""

    def get_user(self, validated_token: Token) -> User:  # type: ignore[override]  # ours are all of one class
        """Return the token's user.

        Raises:
            NotAuthenticatedError: when they are deactivated or have another password, or have signed out.
        """
        proof = sign_in_of_token(validated_token).proof
        users = User.objects.filter(id=proof.user_id, is_active=True)
        if proof.reference:
            families = TokenFamily.objects.filter(
                id=UUID(proof.reference), user=OuterRef("pk"), revoked_at=None
            )
            users = users.filter(Exists(families))
        user = users.first()
        if user is None or proof.password_mark != get_md5_hash_password(user.password):
            raise NotAuthenticatedError("The sign-in was ended; sign in again.")
        return user


class TokenScheme(SimpleJWTScheme):
    """Describes that in the API's description."""

    target_class = "contexts.api.authentication.TokenAuthentication"


def sign_in_of(request: Request) -> SignIn:
    """Return what a signed-in request was signed in with.

    Raises:
        NotAuthenticatedError: when its session has ended meanwhile.
    """
    if isinstance(request.auth, AccessToken):
        return sign_in_of_token(request.auth)
    key = request._request.session.session_key or ""
    sign_in = sign_ins_of_sessions([key], now=datetime.now(UTC)).get(key)
    if sign_in is None:
        raise NotAuthenticatedError("The session has ended.")
    return sign_in
