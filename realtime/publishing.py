"""Handing encoded frames to the channel layer."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from channels.layers import get_channel_layer

from contexts.exceptions import UnavailableError
from realtime.envelopes import Envelope, pack_envelopes
from realtime.groups import user_group

logger = logging.getLogger(__name__)

RETRY_DELAYS_S = (0.05, 0.2, 0.8)


async def publish_envelopes(
    user_id: UUID, envelopes: Sequence[Envelope], *, delays_s: Sequence[float] = RETRY_DELAYS_S
) -> None:
    """Send all of one user's envelopes in one message to the user's group.

    A layer that fails is tried again after each of `delays_s` (seconds).

    Raises:
        ContextIsolationError: when an envelope is another user's.
        UnavailableError: when the layer still fails.
    """
    layer = get_channel_layer()
    if layer is None:
        raise UnavailableError("No channel layer is configured.")
    message = pack_envelopes(user_id, envelopes)
    for delay in (*delays_s, None):
        try:
            # each layer has errors of its own
            await layer.group_send(user_group(user_id), message)
        except Exception as error:
            if delay is None:
                raise UnavailableError("The channel layer does not answer.") from error
            logger.warning("The channel layer failed, trying again in %s s: %r", delay, error)
            await asyncio.sleep(delay)
        else:
            return
