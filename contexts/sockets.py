"""Contexts and places of sockets, for many at once: everybody's browser connects again after a restart."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import DatabaseError, connection
from pydantic_core import to_json

from contexts.batching import NO_DATABASE, Batcher, is_contended
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, LimitError, NetraError
from contexts.factory import UserContextFactory
from contexts.identifiers import new_id
from contexts.manager import TIME_TO_LIVE, get_context_manager
from contexts.quota_statements import Reservation, granted
from contexts.quotas import RESERVATION_TTL, expire_quotas, release_quotas, reserve_quota
from contexts.records import close_record, close_records, this_process
from contexts.resources import Resource
from contexts.selectors import Standing, standings_of

logger = logging.getLogger(__name__)

RELEASED_AT_ONCE = 256
"""Places that are given back by one call of the database."""
_OPEN = (
    'SELECT refused_context, refused_by, resource, window_start, "limit", soft_percent, used, reserved '
    "FROM netra_open_sockets(%s::jsonb, %s, %s, %s, %s, %s)"
)


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
    made: list[OpenedSocket | NetraError] = []
    try:
        for each in wanted:
            made.append(_make(factory, each, standings[each.user_id]))
        refusals = _take_all_places([each for each in made if isinstance(each, OpenedSocket)])
    except BaseException:
        _forget(each for each in made if isinstance(each, OpenedSocket))
        raise
    return [_settle(each, refusals) if isinstance(each, OpenedSocket) else each for each in made]


def give_up_sockets(outcomes: Sequence[OpenedSocket | NetraError]) -> None:
    """Give back the places and contexts of opened sockets that nobody uses; synchronous.

    If the database does not answer, they expire by themselves.
    """
    opened = [each for each in outcomes if isinstance(each, OpenedSocket)]
    try:
        release_quotas([each.lease for each in opened])
        close_records([each.context for each in opened])
    except NO_DATABASE:
        ids = ", ".join(str(each.lease.id) for each in opened)
        logger.exception("The places of %d sockets expire by themselves: %s", len(opened), ids)
    _forget(opened)


def take_place(context: UserExecutionContext) -> Reservation:
    """Take one of the `websocket_connections` of the context's user; synchronous.

    It is free again within a minute when this process dies.

    Raises:
        QuotaExceededError: when there is none left.
        UnavailableError: when the database does not answer.
    """
    return reserve_quota(context, {Resource.WEBSOCKET_CONNECTIONS: 1}, purpose="socket")


async def release_place(lease: Reservation) -> None:
    """Give back a place, together with those that others give back now.

    If the database does not answer, it is free again once its lease has expired.
    """
    await _release_in_batches(lease)


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


def _take_all_places(sockets: Sequence[OpenedSocket]) -> Mapping[UUID, LimitError]:
    """Take places and record contexts; return why there was no place, by context."""
    refusals = _take_places(sockets)
    if not refusals:
        return refusals
    refused = [each for each in sockets if each.context.context_id in refusals]
    try:
        # What dead processes had reserved may make room.
        for tenant_id in sorted({each.context.tenant_id for each in refused}):
            expire_quotas(tenant_id=tenant_id)
        return _take_places(refused)
    except (DatabaseError, *NO_DATABASE):
        logger.exception("Whether there is room for %d refused sockets could not be seen", len(refused))
        return refusals


def _take_places(sockets: Sequence[OpenedSocket]) -> Mapping[UUID, LimitError]:
    if not sockets:
        return {}
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
        return {context_id: _refusal(refused) for context_id, *refused in cursor.fetchall()}


def _refusal(row: Sequence[object]) -> LimitError:
    try:
        granted([row])
    except LimitError as error:
        return error
    raise AssertionError("a refusal was expected")


def _settle(opened: OpenedSocket, refusals: Mapping[UUID, LimitError]) -> OpenedSocket | NetraError:
    context = opened.context
    if context.context_id in refusals:
        _forget([opened])
        return refusals[context.context_id]
    try:
        get_context_manager().on_close(context, partial(close_record, context))
    except ContextClosedError as error:
        give_up_sockets([opened])
        return error
    return opened


def _forget(sockets: Iterable[OpenedSocket]) -> None:
    for each in sockets:
        get_context_manager().cleanup_context_sync(each.context.context_id)


def _release_batch(leases: Sequence[Reservation]) -> list[None]:
    try:
        release_quotas(leases)
    except NO_DATABASE as error:
        if is_contended(error) and len(leases) > 1:
            raise
        ids = ", ".join(str(lease.id) for lease in leases)
        logger.exception("The places of %d sockets expire by themselves: %s", len(leases), ids)
    return [None] * len(leases)


_release_in_batches: Batcher[Reservation, None] = Batcher(_release_batch, size=RELEASED_AT_ONCE)
