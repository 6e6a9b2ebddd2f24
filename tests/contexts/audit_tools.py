"""What tests of the audit need: tampering with it as only the tables' owner can, and checking its chains."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from contexts.audit_chain import BrokenLink, ChainPlace, ChainReport, chain_ids, verify_chain
from contexts.models import AuditEntry, AuditLink
from contexts.scope import system_scope

TABLES = ("contexts_auditentry", "contexts_auditlink", "contexts_auditchain")


def execute(statement: str, *parameters: Any) -> int:
    """Execute a statement; return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


@contextmanager
def triggers_off() -> Iterator[None]:
    """Let the audit be changed and added to without its guards and seals, as its owner may arrange."""
    for table in TABLES:
        execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        yield
    finally:
        for table in TABLES:
            execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def seal_what_is_there() -> None:
    """Seal entries without a link, as the migration does."""
    with triggers_off():
        execute(import_module("contexts.migrations.0005_audit_is_append_only").SEAL_WHAT_IS_THERE)


def fill(tenant_id: UUID | None, count: int, action: str = "done", **fields: Any) -> list[int]:
    """Write entries, each in a transaction of its own; return their ids."""
    ids = []
    for number in range(count):
        with transaction.atomic():
            entry = AuditEntry.objects.create(
                tenant_id=tenant_id, action=action, details={"number": number}, **fields
            )
        ids.append(entry.id)
    return ids


def verified(chain_id: UUID, *, noted: ChainPlace | None = None) -> ChainReport:
    """Verify a chain in a system scope."""
    with system_scope("verify the audit", always_audited=False):
        return verify_chain(chain_id, noted=noted)


def broken(chain_id: UUID) -> BrokenLink | None:
    """Return the chain's first broken link."""
    return verified(chain_id).broken


def chains() -> set[UUID]:
    """Return the chains that there are."""
    with system_scope("verify the audit", always_audited=False):
        return set(chain_ids())


def numbers(chain_id: UUID) -> list[int]:
    """Return the numbers of a chain's links in order."""
    links = AuditLink.objects.filter(chain_id=chain_id).order_by("number")
    return list(links.values_list("number", flat=True))
