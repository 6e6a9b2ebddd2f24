"""Importing a user's file within what they may use: in a process of its own, that can hold up nobody."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from agents.datasets.importer import ImportedDataset
from agents.datasets.query_process import QueryProcess
from contexts.context import UserExecutionContext
from contexts.exceptions import QuotaExceededError, ToolError
from contexts.leases import get_lease_keeper
from contexts.quota_statements import Reservation
from contexts.quotas import limit_of, reserve_quota, settle_quota
from contexts.resources import RULES, Resource
from contexts.scope import scope

MEMORY_BYTES = 512 << 20
"""What an import may use at most, even if its user may use more."""
CPU_SECONDS = Decimal(120)


def import_for(
    context: UserExecutionContext, file: Path, destination: Path, *, filename: str
) -> ImportedDataset:
    """Import a file as `agents.datasets.importer.import_file` does; its CPU time counts as the user's.

    Raises:
        QuotaExceededError: when the user's CPU seconds are used up, or it needs more memory than they may
            use.
        InvalidDatasetError, UnavailableError: as `import_file` does.
    """
    with scope(context):
        memory_bytes = limit_of(context, Resource.MEMORY_BYTES)
    with _cpu_seconds(context) as cpu:
        process = QueryProcess()
        try:
            imported: ImportedDataset = process.call(
                "import_file",
                source=file,
                destination=destination,
                filename=filename,
                memory_limit_bytes=min(MEMORY_BYTES, int(memory_bytes)),
                cpu_seconds=float(cpu.reserved),
            )
        except ToolError as error:
            # Killed by the system, or out of memory: what it used cannot be read any more.
            cpu.used = cpu.reserved if process.has_ended else Decimal(str(process.cpu_seconds))
            raise QuotaExceededError(
                f"The file takes more than {RULES['memory_bytes'].describe(memory_bytes)} or "
                f"{RULES['cpu_seconds'].describe(cpu.reserved)} to be read.",
                resource=Resource.MEMORY_BYTES,
                limit=memory_bytes,
                resets_at=None,
            ) from error
        finally:
            if not process.has_ended:
                cpu.used = Decimal(str(process.cpu_seconds))
            process.close()
            for part in destination.parent.glob(f".{destination.name}.*.part"):
                part.unlink(missing_ok=True)
    return imported


class _Cpu:
    def __init__(self, reserved: Decimal) -> None:
        self.reserved = reserved
        self.used = Decimal(0)


@contextmanager
def _cpu_seconds(context: UserExecutionContext) -> Iterator[_Cpu]:
    """Set aside what an import may take, or what is left; what it took counts, also of one that failed."""
    seconds = CPU_SECONDS
    try:
        reservation = _reserve(context, seconds)
    except QuotaExceededError as refusal:
        seconds = refusal.remaining
        if seconds < 1:
            raise
        reservation = _reserve(context, seconds)
    cpu = _Cpu(seconds)
    get_lease_keeper().hold(reservation.id)
    try:
        yield cpu
    finally:
        get_lease_keeper().drop(reservation.id)
        settle_quota(reservation, {Resource.CPU_SECONDS: min(cpu.used, seconds)})


def _reserve(context: UserExecutionContext, seconds: Decimal) -> Reservation:
    return reserve_quota(context, {Resource.CPU_SECONDS: seconds}, purpose="import")
