"""Contexts and places of sockets, for many at once: everybody's browser connects again after a restart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import connection
from pydantic_core import to_json

from contexts.context import UserExecutionContext
from contexts.database import call_from_anywhere
from contexts.exceptions import NetraError
from contexts.factory import UserContextFactory
from contexts.identifiers import new_id
from contexts.manager import TIME_TO_LIVE
from contexts.quota_statements import Reservation
from contexts.quotas import RESERVATION_TTL, reserve_quota
from contexts.records import close_record, this_process
from contexts.resources import Resource
from contexts.selectors import Standing, standings_of

_OPEN = "SELECT netra_open_sockets(%s::jsonb, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedSocket:
    """A socket that a signed-in user wants to open."""

    user_id: UUID
    connection_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSocket:
    """A socket's own context, and its lease of one of its user's places."""

    context: UserExecutionContext
    lease: Reservation


def open_sockets(wanted: Sequence[WantedSocket]) -> list[OpenedSocket | NetraError]:
    """Make for each socket its recorded context and take a place for it, both or neither; synchronous.

    The outcome of one that may not be opened is the error: `NotAuthenticatedError`, `PermissionDeniedError`,
    or `QuotaExceededError` when the user has no place or context left.

    Raises:
        UnavailableError: when the database does not answer.
    """
    factory = UserContextFactory()
    standings = standings_of({each.user_id for each in wanted})
    outcomes = [_make(factory, each, standings[each.user_id]) for each in wanted]
    made = [outcome for outcome in outcomes if isinstance(outcome, OpenedSocket)]
    try:
        refused = _take_places(made)
    except BaseException:
        for each in made:
            factory.manager.cleanup_context_sync(each.context.context_id)
        raise
    return [
        _settle(factory, each, outcome, refused) if isinstance(outcome, OpenedSocket) else outcome
        for each, outcome in zip(wanted, outcomes, strict=True)
    ]


def take_place(context: UserExecutionContext) -> Reservation:
    """Take one of the `websocket_connections` of the context's user; synchronous.

    It is free again within a minute when this process dies.

    Raises:
        QuotaExceededError: when there is none left.
        UnavailableError: when the database does not answer.
    """
    return reserve_quota(context, {Resource.WEBSOCKET_CONNECTIONS: 1}, purpose="socket")


def _make(
    factory: UserContextFactory, wanted: WantedSocket, standing: Standing | NetraError
) -> OpenedSocket | NetraError:
    if isinstance(standing, NetraError):
        return standing
    try:
        context = factory.unrecorded_for_socket(standing, connection_id=wanted.connection_id)
    except NetraError as error:
        return error
    lease = Reservation(id=new_id(), tenant_id=context.tenant_id, user_id=context.user_id)
    return OpenedSocket(context=context, lease=lease)


def _take_places(sockets: Sequence[OpenedSocket]) -> frozenset[UUID]:
    """Take places and record contexts; return the contexts for which there was no place."""
    if not sockets:
        return frozenset()
    rows = [
        {
            "context_id": socket.context.context_id,
            "request_id": socket.context.request_id,
            "lease_id": socket.lease.id,
            "tenant_id": socket.context.tenant_id,
            "user_id": socket.context.user_id,
            "created_at": socket.context.created_at,
        }
        for socket in sockets
    ]
    process = this_process()
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN,
            [
                to_json(rows).decode(),
                f"{RESERVATION_TTL.total_seconds()} s",
                process.host,
                process.id,
                process.started_at,
                f"{TIME_TO_LIVE.total_seconds()} s",
            ],
        )
        return frozenset(cursor.fetchone()[0])


def _settle(
    factory: UserContextFactory, wanted: WantedSocket, opened: OpenedSocket, refused: frozenset[UUID]
) -> OpenedSocket | NetraError:
    context = opened.context
    if context.context_id not in refused:
        factory.manager.on_close(context, partial(call_from_anywhere, close_record, context))
        return opened
    factory.manager.cleanup_context_sync(context.context_id)
    try:
        return _open_alone(factory, wanted)
    except NetraError as error:
        return error


def _open_alone(factory: UserContextFactory, wanted: WantedSocket) -> OpenedSocket:
    """Open one that was refused a place: what dead processes hold is looked at first."""
    context = factory.for_socket(wanted.user_id, connection_id=wanted.connection_id)
    try:
        return OpenedSocket(context=context, lease=take_place(context))
    except BaseException:
        factory.manager.cleanup_context_sync(context.context_id)
        raise
