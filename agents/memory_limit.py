"""A limit of the memory of a process that works on runs: whoever takes too much fails alone.

Without one the system kills the whole process, or another one, when the machine's memory is used up.
"""

import logging
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

SHARE_OF_MACHINE = 0.75
LEAST_BYTES = 512 * 10**6
"""With less a worker does not even start."""
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def limit_memory(megabytes: int | None = None) -> int | None:
    """Limit the memory of this process to `megabytes` (10**6 bytes; default: `NETRA_WORKER_MEMORY_MB`).

    0 means three quarters of what the machine or container has. Returns the limit in bytes, none where the
    system knows no such limit. Past it an allocation raises `MemoryError`. Processes that this one starts
    begin with the same limit, which they may raise: those that answer queries set their own.
    """
    wanted = settings.WORKER_MEMORY_MB if megabytes is None else megabytes
    limit = max(LEAST_BYTES, wanted * 10**6 if wanted else int(SHARE_OF_MACHINE * available_bytes()))
    if not sys.platform.startswith("linux"):
        return None  # elsewhere the limit does not count what is mapped, which is most
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    logger.info("This process may take %d MB of memory", limit // 10**6)
    return limit


def available_bytes() -> int:
    """Return the memory of the machine, or of the container if that has less, in bytes."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):
            available = min(available, int(Path(name).read_text()))
    return available
