"""Keeping the bundled services up: looked at all the time, started again when one has died."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from psycopg import pq

from netra_site.embedded.errors import EmbeddedServiceError
from netra_site.embedded.postgres import start_postgres
from netra_site.embedded.redis import is_listening, start_redis

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptService:
    """A service that this process keeps up."""

    name: str
    is_up: Callable[[], bool]
    """Whether anyone would be answered; may take some seconds."""
    start: Callable[[], object]
    """Starts it, or sees to it that the one that runs is watched over."""


def keep_redis(folder: Path) -> tuple[KeptService, str]:
    """Start the bundled Redis on `folder`; return it as a service to keep, and its URL.

    Raises:
        EmbeddedRedisError: as `start_redis` does.
    """
    url = start_redis(folder)
    address = Path(unquote(urlsplit(url).path))
    service = KeptService(
        name="redis", is_up=lambda: is_listening(address), start=lambda: start_redis(folder)
    )
    return service, url


def keep_postgres(folder: Path, url: str) -> KeptService:
    """Return the bundled PostgreSQL, started on `folder` and answering at `url`, as a service to keep."""
    ping_url = f"{url}&connect_timeout=5".encode()
    return KeptService(
        name="postgres",
        is_up=lambda: pq.PGconn.ping(ping_url) != pq.Ping.NO_RESPONSE,
        start=lambda: start_postgres(folder),
    )


async def keep_up(
    service: KeptService, *, report: Callable[[str], None], every_seconds: float = LOOK_EVERY_SECONDS
) -> None:
    """Start the service again whenever it is not up, until cancelled; `report` says so."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            if not await asyncio.to_thread(service.is_up):
                report(f"{service.name} ended; starting it again")
            await asyncio.to_thread(service.start)
        except EmbeddedServiceError as error:
            report(f"{service.name} | {error.message}")
        except Exception:
            logger.exception("Looking after %s failed; it is tried again", service.name)
