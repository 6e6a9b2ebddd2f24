"""Socket tickets: issued to signed-in users, redeemed once, by any process."""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from contexts.context import UserExecutionContext
from contexts.exceptions import NotAuthenticatedError
from contexts.models import SocketTicket
from contexts.scope import scope, ticket_scope

TICKET_LIFETIME = timedelta(seconds=60)


def issue_ticket(context: UserExecutionContext, *, now: datetime) -> str:
    """Return a new ticket for the context's user: 256 random bits, good once within 60 s."""
    ticket = secrets.token_urlsafe(32)
    with scope(context):
        SocketTicket.objects.filter(user_id=context.user_id, expires_at__lte=now).delete()
        SocketTicket.objects.create(
            digest=_digest(ticket), user_id=context.user_id, expires_at=now + TICKET_LIFETIME
        )
    return ticket


def redeem_ticket(ticket: str, now: datetime) -> UUID:
    """Use a ticket up and return the id of the user it was issued to.

    Raises:
        NotAuthenticatedError: when there is no such ticket, or it was used before or expired.
    """
    # Whoever deletes the row has redeemed the ticket: nobody else can.
    digest = _digest(ticket)
    with ticket_scope(digest), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM contexts_socketticket WHERE digest = %s RETURNING user_id, expires_at > %s",
            [digest, now],
        )
        row = cursor.fetchone()
    if row is None or not row[1]:
        raise NotAuthenticatedError("The ticket is unknown, used or expired.")
    user_id: UUID = row[0]
    return user_id


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
