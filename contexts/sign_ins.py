"""What a sign-in rests on, and whether it still holds."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection
from rest_framework_simplejwt.utils import get_md5_hash_password

from contexts.models import User

# Sessions are found by their digest with the index of migration `0013_tell_sign_ins`.
_WHAT_HOLDS = """
SELECT 'user', id::text, password FROM contexts_user WHERE id = ANY (%(users)s) AND is_active
UNION ALL
SELECT 'token', replace(id::text, '-', ''), user_id::text FROM contexts_tokenfamily
WHERE id = ANY (%(families)s) AND revoked_at IS NULL
UNION ALL
SELECT 'session', encode(sha256(session_key::bytea), 'hex'), '' FROM django_session
WHERE encode(sha256(session_key::bytea), 'hex') = ANY (%(sessions)s) AND expire_date > now()
"""


class SignInKind(StrEnum):
    """How somebody has signed in."""

    TOKEN = "token"
    SESSION = "session"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInProof:
    """What a sign-in rests on; it ends when that is taken away."""

    user_id: UUID
    kind: SignInKind
    reference: str
    """Of a token: its family (hex), empty when it has none. Of a session: the SHA-256 of its key (hex)."""
    password_mark: str
    """What changes with the user's password: the token's claim or the session's hash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """Who has signed in, and until when."""

    proof: SignInProof
    """What it rests on."""
    expires_at: datetime
    """When the token or session ends (UTC)."""

    @property
    def user_id(self) -> UUID:
        """Return who has signed in."""
        return self.proof.user_id


def valid_sign_ins(proofs: Collection[SignInProof]) -> set[SignInProof]:
    """Return which of the proofs still hold, by one statement for any number of them.

    One holds while its user is active and has the same password, and its family was not revoked or its
    session has not ended. A token without a family ends with its user or password alone; whoever has the
    server's key and database mints such.

    Raises:
        DatabaseError: when the database does not answer.
    """
    if not proofs:
        return set()
    tokens = [proof for proof in proofs if proof.kind == SignInKind.TOKEN and proof.reference]
    with connection.cursor() as cursor:
        cursor.execute(
            _WHAT_HOLDS,
            {
                "users": list({proof.user_id for proof in proofs}),
                "families": [UUID(proof.reference) for proof in tokens],
                "sessions": [proof.reference for proof in proofs if proof.kind == SignInKind.SESSION],
            },
        )
        rows = cursor.fetchall()
    passwords = {UUID(name): value for kind, name, value in rows if kind == "user"}
    families = {(name, UUID(value)) for kind, name, value in rows if kind == "token"}
    sessions = {name for kind, name, _ in rows if kind == "session"}
    marks: dict[tuple[UUID, SignInKind], Collection[str]] = {}

    def is_held(proof: SignInProof) -> bool:
        if proof.user_id not in passwords:
            return False
        of_user = (proof.user_id, proof.kind)
        if of_user not in marks:
            marks[of_user] = _marks_of(proof.kind, passwords[proof.user_id])
        if proof.password_mark not in marks[of_user]:
            return False
        if proof.kind == SignInKind.SESSION:
            return proof.reference in sessions
        return not proof.reference or (proof.reference, proof.user_id) in families

    return {proof for proof in proofs if is_held(proof)}


def sign_ins_of_sessions(keys: Collection[str], *, now: datetime) -> dict[str, SignIn]:
    """Return what these sessions say of who has signed in; `valid_sign_ins` says whether it is still so.

    Raises:
        DatabaseError: when the database does not answer.
    """
    known = [key for key in keys if key.isalnum()]
    if not known:
        return {}
    sessions = Session.objects.filter(session_key__in=known, expire_date__gt=now)
    found = {session.session_key: _sign_in_of(session) for session in sessions}
    return {key: sign_in for key, sign_in in found.items() if sign_in is not None}


def digest_of_session(key: str) -> str:
    """Return the SHA-256 of a session's key (hex), which may be kept and told where the key may not."""
    return hashlib.sha256(key.encode()).hexdigest()


def _sign_in_of(session: Session) -> SignIn | None:
    said: Mapping[str, Any] = session.get_decoded()
    if said.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    proof = SignInProof(
        user_id=UUID(said[SESSION_KEY]),
        kind=SignInKind.SESSION,
        reference=digest_of_session(session.session_key),
        password_mark=said.get(HASH_SESSION_KEY, ""),
    )
    return SignIn(proof=proof, expires_at=session.expire_date)


def _marks_of(kind: SignInKind, password: str) -> Collection[str]:
    if kind == SignInKind.TOKEN:
        return {get_md5_hash_password(password)}
    user = User(password=password)
    # Of a secret key that was replaced, sessions hold as long as it is kept as a fallback.
    return {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}
