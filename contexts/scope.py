"""Database scopes: which rows a transaction may see and write (row-level security).

Every table with rows of a tenant or user refuses them by default (`contexts.row_security`). A scope is
one transaction that says for whom it works; what it says ends with the transaction, so that nothing of
it survives into a pooled connection.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import AsyncConnection
from psycopg_pool import PoolTimeout

from contexts.audit_details import audit_details
from contexts.context import UserExecutionContext
from contexts.database import async_pool
from contexts.exceptions import UnavailableError
from contexts.models import AuditEntry, User

_NAMES = ("netra.scope", "netra.tenant_id", "netra.user_id", "netra.role", "netra.ticket")
_SET = "SELECT " + ", ".join(f"set_config('{name}', %s, true)" for name in _NAMES)
_GET = "SELECT " + ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in _NAMES)
_CLAIMS = "netra_claims"


@dataclass(frozen=True, slots=True)
class Claims:
    """For whom a transaction works, as row-level security reads it."""

    kind: str
    """`user`, `system`, `event_log` or `ticket`; anything else sees nothing."""
    tenant_id: str = ""
    user_id: str = ""
    role: str = ""
    ticket: str = ""

    @property
    def values(self) -> list[str]:
        """Return the settings' values in the order of their names."""
        return [self.kind, self.tenant_id, self.user_id, self.role, self.ticket]


@contextmanager
def scope(context: UserExecutionContext, *, outermost: bool = False) -> Iterator[None]:
    """Work in one transaction on what `context`'s user may see; an error rolls all of it back.

    Within a scope of the same user it joins that transaction, whose end decides; within another's it is a
    savepoint. `outermost` refuses both, for services that must be sure to have committed.

    Raises:
        ContextClosedError, QuarantinedError: when the context is not open any more.
        UnavailableError: when no connection is free in time, or the database does not answer.
        RuntimeError: when `outermost` is asked for within a transaction.
    """
    context.state.check_open()
    claims = Claims("user", str(context.tenant_id), str(context.user_id), context.role)
    with _open(claims, outermost=outermost):
        yield


@contextmanager
def owner_scope(*, user_id: UUID, tenant_id: UUID | None = None) -> Iterator[None]:
    """Work on what one user owns, where there is no context: before it is made or after it was closed.

    Without `tenant_id` only the user's memberships, tickets and tokens are seen.

    Raises:
        UnavailableError: as `scope` does.
    """
    with _open(Claims("user", str(tenant_id) if tenant_id else "", str(user_id))):
        yield


@contextmanager
def ticket_scope(*digests: bytes) -> Iterator[None]:
    """Work on the socket tickets with these digests alone.

    Raises:
        UnavailableError: as `scope` does.
    """
    with _open(Claims("ticket", ticket=",".join(digest.hex() for digest in digests))):
        yield


@contextmanager
def system_scope(reason: str, *, actor: User | None = None, always_audited: bool = True) -> Iterator[None]:
    """Work on every tenant's rows, for operators and maintenance; the audit says why.

    The entry is committed before anything is seen, whatever becomes of the work. Housekeeping that
    mostly finds nothing to do sets `always_audited` to false: only a transaction that wrote is audited.

    Raises:
        UnavailableError: as `scope` does.
    """
    entry = AuditEntry(action="system_scope_opened", user=actor, details=audit_details({"reason": reason}))
    claims = Claims("system")
    if always_audited:
        with _open(claims):
            entry.save(force_insert=True)
    with _open(claims):
        yield
        if not always_audited and _has_written():
            entry.save(force_insert=True)


@asynccontextmanager
async def async_scope(kind: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Yield a pooled connection in a transaction of the kind `event_log` or `system`.

    Raises:
        UnavailableError: when no connection is free in time.
    """
    pool = await async_pool()
    try:
        connection = await pool.getconn()
    except PoolTimeout as error:
        raise _unavailable() from error
    try:
        async with connection.pipeline(), connection.transaction():
            await connection.execute(_SET, Claims(kind).values)
            yield connection
    finally:
        await pool.putconn(connection)


def claims_of(connection: BaseDatabaseWrapper) -> Claims | None:
    """Return the claims of the scope that is open on a Django connection, if any."""
    claims: Claims | None = getattr(connection, _CLAIMS, None)
    return claims


@contextmanager
def _open(claims: Claims, *, outermost: bool = False) -> Iterator[None]:
    connection = connections[DEFAULT_DB_ALIAS]
    # Outside of a transaction nothing said before holds any more.
    outer = claims_of(connection) if connection.in_atomic_block else None
    if claims == outer and not outermost:
        yield
        return
    with ExitStack() as stack:
        try:
            is_nested = connection.in_atomic_block
            stack.enter_context(transaction.atomic(durable=outermost))
            before = _current(connection, outer) if is_nested else None
            _say(connection, claims)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise _unavailable() from error
        setattr(connection, _CLAIMS, claims)
        try:
            yield
        finally:
            setattr(connection, _CLAIMS, outer)
        # After an error the savepoint's rollback restores what was said before.
        if before is not None and not connection.needs_rollback:
            _say(connection, before)


def _current(connection: BaseDatabaseWrapper, outer: Claims | None) -> Claims:
    if outer is not None:
        return outer
    with connection.cursor() as cursor:
        cursor.execute(_GET)
        return Claims(*cursor.fetchone())


def _say(connection: BaseDatabaseWrapper, claims: Claims) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SET, claims.values)


def _has_written() -> bool:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(cursor.fetchone()[0])


def _unavailable() -> UnavailableError:
    return UnavailableError("The database does not answer now; try again in a moment.")
