"""What a sign-in rests on, and whether it still holds."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


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
    """Of a token: its family (hex). Of a session: the SHA-256 of its key (hex)."""
    password_mark: str
    """What changes with the user's password: the token's claim or the session's hash."""
