"""Socket tickets: issued to signed-in users, redeemed once, by any process."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import connection

from contexts.context import UserExecutionContext
from contexts.models import SocketTicket
from contexts.scope import scope, ticket_scope
from contexts.sign_ins import SignIn, SignInKind, SignInProof

TICKET_LIFETIME = timedelta(seconds=60)

# Whoever deletes the row has redeemed the ticket: nobody else can.
_REDEEM = """
DELETE FROM contexts_socketticket WHERE digest = ANY (%s)
RETURNING digest, expires_at, user_id, kind, reference, password_mark, signed_in_until
"""


def issue_ticket(context: UserExecutionContext, sign_in: SignIn, *, now: datetime) -> str:
    """Return a new ticket for the context's user: 256 random bits, good once within 60 s.

    Whoever comes with it is signed in by `sign_in`, and for no longer.
    """
    ticket = secrets.token_urlsafe(32)
    with scope(context):
        SocketTicket.objects.filter(user_id=context.user_id, expires_at__lte=now).delete()
        SocketTicket.objects.create(
            digest=_digest(ticket),
            user_id=context.user_id,
            expires_at=now + TICKET_LIFETIME,
            kind=sign_in.proof.kind,
            reference=sign_in.proof.reference,
            password_mark=sign_in.proof.password_mark,
            signed_in_until=sign_in.expires_at,
        )
    return ticket


def redeem_tickets(tickets: Collection[str], *, now: datetime) -> dict[str, SignIn]:
    """Use tickets up and return which sign-in each was issued to; `valid_sign_ins` says whether it holds.

    A ticket that is unknown, used or expired is left out.

    Raises:
        UnavailableError: when the database does not answer.
    """
    if not tickets:
        return {}
    by_digest = {_digest(ticket): ticket for ticket in tickets}
    with ticket_scope(*by_digest), connection.cursor() as cursor:
        cursor.execute(_REDEEM, [list(by_digest)])
        rows = cursor.fetchall()
    found = {}
    for digest, expires_at, user_id, kind, reference, password_mark, signed_in_until in rows:
        if expires_at > now:
            proof = SignInProof(
                user_id=user_id, kind=SignInKind(kind), reference=reference, password_mark=password_mark
            )
            found[by_digest[bytes(digest)]] = SignIn(proof=proof, expires_at=signed_in_until)
    return found


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
