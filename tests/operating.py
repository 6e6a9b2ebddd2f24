"""What an operator does to a real server's database while tests look on; undone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contexts.identifiers import new_id
from tests.servers import ServerProcess


def change(server: ServerProcess, sql: str, *values: Any) -> None:
    """Carry a statement out as an operator."""
    with server.database() as connection:
        connection.execute(sql, values)


@contextmanager
def override(server: ServerProcess, username: str, resource: str, limit: int) -> Iterator[None]:
    """Have another limit hold for a member of a demo tenant until the block ends."""
    row = new_id()
    change(
        server,
        'INSERT INTO contexts_quotaoverride (id, tenant_id, user_id, resource, applies_to, reason, "limit") '
        "SELECT %s, m.tenant_id, m.user_id, %s, 'member', 'A test.', %s "
        "FROM contexts_membership m JOIN contexts_user u ON u.id = m.user_id WHERE u.username = %s",
        row,
        resource,
        limit,
        username,
    )
    try:
        yield
    finally:
        change(server, "DELETE FROM contexts_quotaoverride WHERE id = %s", row)


@contextmanager
def tier(server: ServerProcess, tenant: str, slug: str) -> Iterator[None]:
    """Have a demo tenant on another tier until the block ends."""
    sql = (
        "UPDATE contexts_tenant SET tier_id = (SELECT id FROM contexts_tier WHERE slug = %s) WHERE slug = %s"
    )
    with server.database() as connection:
        row = connection.execute(
            "SELECT r.slug FROM contexts_tenant t JOIN contexts_tier r ON r.id = t.tier_id WHERE t.slug = %s",
            [tenant],
        ).fetchone()
    assert row is not None
    change(server, sql, slug, tenant)
    try:
        yield
    finally:
        change(server, sql, row[0], tenant)


@contextmanager
def deactivated(server: ServerProcess, username: str) -> Iterator[None]:
    """Have a demo account deactivated until the block ends."""
    sql = "UPDATE contexts_user SET is_active = %s WHERE username = %s"
    change(server, sql, False, username)
    try:
        yield
    finally:
        change(server, sql, True, username)
