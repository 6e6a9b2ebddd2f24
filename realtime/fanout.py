"""Carrying envelopes to the sockets of this process, and through the channel layer to those of others.

The layer is crossed by one message for all that waits, whoever's it is, and each process receives all of
them once: a process skips what is for users without a socket here, unopened. What the layer cannot take is
left to the event log, which `realtime.catch_up` reads.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer, get_channel_layer

from contexts.exceptions import UnavailableError
from contexts.identifiers import new_id
from contexts.tasks import end_task
from realtime.connection import AT_ONCE
from realtime.envelopes import (
    MESSAGE_TYPE,
    Envelope,
    check_owner,
    pack_envelopes,
    sealed_envelopes,
    unpack_envelopes,
)
from realtime.managers import deliver_here, has_sockets

logger = logging.getLogger(__name__)

GROUP = "netra.sockets"
"""Every process with sockets is in this group of the channel layer."""
BEAT_TYPE = "sockets.beat"
BEAT_S = 1.0
"""Seconds between messages that a process sends to itself, to know whether the layer carries."""
MAX_MESSAGE = 500
"""Envelopes in one message at most."""
RETRY_DELAYS_S = (0.05, 0.2, 0.8)
PATIENCE_S = 3.0
"""A layer that takes longer has failed."""
RECONNECT_S = 0.5

_TOKEN = str(new_id())


class Fanout:
    """One event loop's way to all sockets; listens to the layer for as long as there are sockets here."""

    def __init__(self) -> None:
        """Listen to nothing yet."""
        self._waiting: dict[UUID, list[Envelope]] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._sockets = 0
        self._beat_heard_at = float("-inf")
        self.losses = 0
        """Rises whenever the layer may have lost something for this process."""

    @property
    def is_shared(self) -> bool:
        """Tell whether other processes may send to the sockets here."""
        return _shared_layer() is not None

    @property
    def is_whole(self) -> bool:
        """Tell whether what other processes send arrives here now; alone in one process it always does."""
        if _shared_layer() is None:
            return True
        return asyncio.get_running_loop().time() - self._beat_heard_at < 3 * BEAT_S

    def send(self, user_id: UUID, envelopes: Sequence[Envelope]) -> None:
        """Have a user's envelopes reach their sockets, wherever they are; never waits.

        Raises:
            ContextIsolationError: when an envelope is another user's; nothing is sent.
        """
        check_owner(envelopes, user_id)
        deliver_here(user_id, envelopes)
        if _shared_layer() is None:
            return
        self._waiting.setdefault(user_id, []).extend(envelopes)
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().create_task(
                self._publish(), name="fanout-publisher", context=Context()
            )

    async def flush(self) -> None:
        """Return when all that was sent so far has left, or was left to replay."""
        if self._publishing is not None:
            await asyncio.wait([self._publishing])

    def add_socket(self) -> None:
        """Listen on behalf of one more socket."""
        self._sockets += 1
        if self._listening is None and _shared_layer() is not None:
            self._listening = asyncio.get_running_loop().create_task(
                self._listen(), name="fanout-listener", context=Context()
            )

    async def remove_socket(self) -> None:
        """Listen on behalf of one socket less; with the last one the listening ends."""
        self._sockets -= 1
        if self._sockets or self._listening is None:
            return
        listening, self._listening = self._listening, None
        await end_task(listening)

    async def _publish(self) -> None:
        try:
            while self._waiting:
                envelopes = self._take_waiting()
                if not await _publish_some(envelopes):
                    # What came meanwhile is in the log as well, and would only pile up.
                    lost = [*envelopes.values(), *self._waiting.values()]
                    self._waiting.clear()
                    logger.error("%d frames are left to replay", sum(map(len, lost)))
        finally:
            self._publishing = None

    def _take_waiting(self) -> dict[UUID, list[Envelope]]:
        taken, count = {}, 0
        for user_id in list(self._waiting):
            taken[user_id] = self._waiting.pop(user_id)
            count += len(taken[user_id])
            if count >= MAX_MESSAGE:
                break
        return taken

    async def _listen(self) -> None:
        while True:
            try:
                await self._receive(_require_layer())
            except Exception:
                # What is lost meanwhile is read from the event log.
                logger.exception("The channel layer cannot be listened to; trying again")
                await asyncio.sleep(RECONNECT_S)

    async def _receive(self, layer: Any) -> None:
        channel = await layer.new_channel()
        beating = asyncio.create_task(self._beat(layer, channel), name="fanout-beat")
        try:
            await layer.group_add(GROUP, channel)
            while True:
                await self._take(await layer.receive(channel))
        finally:
            await end_task(beating)
            # The layer may be gone; what it still knows of the channel ends with its connection.
            with suppress(Exception):
                await layer.group_discard(GROUP, channel)

    async def _beat(self, layer: Any, channel: str) -> None:
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await layer.send(channel, {"type": BEAT_TYPE})
            except Exception as error:  # noqa: BLE001 - each layer has errors of its own
                logger.warning("The channel layer does not take messages: %r", error)
            await asyncio.sleep(BEAT_S)

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == BEAT_TYPE:
            if not self.is_whole:
                self.losses += 1
            self._beat_heard_at = asyncio.get_running_loop().time()
        elif message["type"] == MESSAGE_TYPE and message["origin"] != _this_process():
            for user_id, sealed in sealed_envelopes(message):
                if has_sockets(user_id):
                    await _deliver_in_parts(user_id, unpack_envelopes(user_id, sealed))


async def _publish_some(envelopes: dict[UUID, list[Envelope]]) -> bool:
    """Send one message through the layer, and again when it fails for a moment; return whether it went."""
    message = pack_envelopes(envelopes, origin=_this_process())
    for delay in (*RETRY_DELAYS_S, None):
        try:
            async with asyncio.timeout(PATIENCE_S):
                await _require_layer().group_send(GROUP, message)
        except TimeoutError:
            logger.warning("The channel layer has not taken a message for %s s", PATIENCE_S)
            return False
        except Exception as error:  # noqa: BLE001 - each layer has errors of its own
            logger.warning("The channel layer failed (next try in %s s): %r", delay, error)
            if delay is not None:
                await asyncio.sleep(delay)
        else:
            return True
    return False


async def _deliver_in_parts(user_id: UUID, envelopes: Sequence[Envelope]) -> None:
    """Leave sockets time to send what they have, so that none is too slow only because much came at once."""
    deliver_here(user_id, envelopes[:AT_ONCE])
    for start in range(AT_ONCE, len(envelopes), AT_ONCE):
        await asyncio.sleep(0)
        deliver_here(user_id, envelopes[start : start + AT_ONCE])


def _this_process() -> str:
    # Processes that were forked share what was made before.
    return f"{_TOKEN}.{os.getpid()}"


def _shared_layer() -> Any:
    """Return the layer, or none where it does not lead out of this process."""
    layer = get_channel_layer()
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def _require_layer() -> Any:
    layer = _shared_layer()
    if layer is None:
        raise UnavailableError("No channel layer between processes is configured.")
    return layer


_fanouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Fanout] = WeakKeyDictionary()


def get_fanout() -> Fanout:
    """Return the running event loop's way to the sockets."""
    return _fanouts.setdefault(asyncio.get_running_loop(), Fanout())
