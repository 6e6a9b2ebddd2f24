"""Whether the process lives, and whether it can do its work: for load balancers and operators."""

import asyncio
import logging
from collections.abc import Awaitable
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents.workers import live_workers
from contexts.database import call_in_thread

logger = logging.getLogger(__name__)

CHECK_SECONDS = 3.0
"""A part that does not answer within this time counts as missing."""
_channels: WeakKeyDictionary[asyncio.AbstractEventLoop, str] = WeakKeyDictionary()


@never_cache
@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """Tell that the process serves requests; nothing else is looked at."""
    return JsonResponse({"service": "netra", "status": "ok"})


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """Tell part by part whether the database, the channel layer and a live worker are there; 503 if not."""
    names = ("database", "layer", "worker")
    outcomes = await asyncio.gather(
        _outcome("database", call_in_thread(check_database)),
        _outcome("layer", check_layer()),
        _outcome("worker", call_in_thread(check_worker)),
    )
    is_ready = all(outcome == "ok" for outcome in outcomes)
    return JsonResponse(
        {
            "service": "netra",
            "status": "ok" if is_ready else "unavailable",
            "parts": dict(zip(names, outcomes, strict=True)),
        },
        status=200 if is_ready else 503,
    )


class PartMissingError(Exception):
    """A part is reachable, but not as it must be; the message may be shown to anyone."""


def check_database() -> None:
    """Ask the database for anything at all; raises what the driver raises."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def check_layer() -> None:
    """Send a message through the channel layer and receive it.

    Raises:
        PartMissingError: when there is no layer, or another message comes out.
    """
    layer = get_channel_layer()
    if layer is None:
        raise PartMissingError("no channel layer is configured")
    loop = asyncio.get_running_loop()
    # Kept from probe to probe, for the Redis layer forgets a channel only when a wait for it is cancelled.
    channel = _channels.pop(loop, None) or await layer.new_channel()
    await layer.send(channel, {"type": "readyz"})
    if (await layer.receive(channel)).get("type") != "readyz":
        raise PartMissingError("the channel layer delivers something else")
    _channels[loop] = channel


def check_worker() -> None:
    """Look for a worker with a recent heartbeat.

    Raises:
        PartMissingError: when no worker has shown itself for `NETRA_STALLED_AFTER_S`.
    """
    if not live_workers():
        raise PartMissingError("no live worker")


async def _outcome(name: str, check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, CHECK_SECONDS)
    except PartMissingError as error:
        logger.warning("Not ready: %s", error)
        return str(error)
    except TimeoutError:
        logger.error("Not ready: %s did not answer within %s s", name, CHECK_SECONDS)
        return "does not answer"
    except Exception:
        logger.exception("Not ready: %s failed", name)
        return "does not answer"
    return "ok"
