"""Carrying out client frames: one service call each, one answer each."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotAuthenticatedError, QuarantinedError
from contexts.identifiers import new_id
from realtime.auth import sign_in_by_token
from realtime.connection import Connection
from realtime.frame_services import check_thread, open_runs, read_events, resume_runs, send_message, stop_run
from realtime.protocol import (
    Ack,
    AnyClientFrame,
    CancelRun,
    CloseCode,
    ErrorFrame,
    FrameId,
    Ping,
    Pong,
    RefreshToken,
    Resume,
    SendMessage,
    Subscribe,
    Unsubscribe,
)
from realtime.review import get_socket_review
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

logger = logging.getLogger(__name__)


class FrameHandler:
    """Carries out the frames of one socket and answers each with `ack`, `pong` or `error`.

    What a frame sets going is sent after its answer.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        """Work for `connection`'s user."""
        self._connection = connection

    async def handle(self, frame: AnyClientFrame) -> None:
        """Carry out `frame`; a refusal is answered, and ends the socket when the user may not stay."""
        try:
            async with self._connection.hold():
                await _HANDLERS[type(frame)](self, frame)
        except (NotAuthenticatedError, QuarantinedError) as error:
            await self.refuse(frame.id, error)
            if not isinstance(frame, RefreshToken):
                self._connection.refuse(error)
        except NetraError as error:
            await self.refuse(frame.id, error)
        except DATABASE_ERRORS as error:
            await self.refuse(frame.id, report_unavailable(error))
        except Exception:
            incident_id = new_id()
            logger.exception(
                "Incident %s: the frame %s failed, user %s", incident_id, frame.type, self._connection.user_id
            )
            message = f"Something went wrong on the server; it was recorded as incident {incident_id}."
            await self._connection.answer(ErrorFrame(id=frame.id, code="internal", message=message))

    async def refuse(self, frame_id: FrameId | None, error: NetraError) -> None:
        """Answer a frame with `error`."""
        await self._connection.answer(ErrorFrame.of(error, frame_id=frame_id))

    async def _send_message(self, frame: SendMessage) -> None:
        started = await call_in_thread(send_message, self._connection.user_id, frame)
        self._connection.feed.begin(
            started.run_id, thread_id=started.thread_id, after=0, now=time.monotonic()
        )
        await self._connection.answer(Ack(id=frame.id, run_id=started.run_id, thread_id=started.thread_id))
        if not started.is_new:
            await self._connection.replay(
                await call_in_thread(read_events, self._connection.user_id, started.run_id, after=0)
            )

    async def _cancel_run(self, frame: CancelRun) -> None:
        await call_in_thread(stop_run, self._connection.user_id, frame)
        await self._connection.answer(Ack(id=frame.id))

    async def _subscribe(self, frame: Subscribe) -> None:
        runs = await call_in_thread(open_runs, self._connection.user_id, frame.thread_id)
        self._connection.feed.watch(frame.thread_id)
        for run in runs:
            # What is watched already goes on where it is: its last events may be on their way here.
            if not self._connection.feed.knows(run.run_id):
                self._connection.feed.begin(
                    run.run_id,
                    thread_id=frame.thread_id,
                    after=run.last_seq,
                    attempt=run.attempt,
                    now=time.monotonic(),
                )
        await self._connection.answer(Ack(id=frame.id))

    async def _unsubscribe(self, frame: Unsubscribe) -> None:
        await call_in_thread(check_thread, self._connection.user_id, frame.thread_id)
        self._connection.feed.unwatch(frame.thread_id)
        await self._connection.answer(Ack(id=frame.id))

    async def _resume(self, frame: Resume) -> None:
        resumed = await call_in_thread(resume_runs, self._connection.user_id, frame)
        await self._connection.answer(Ack(id=frame.id))
        feed = self._connection.feed
        for run in resumed:
            first, last = feed.missing(run.run_id, after=run.cursor)
            feed.begin(
                run.run_id,
                thread_id=run.thread_id,
                after=run.cursor,
                attempt=run.attempt,
                now=time.monotonic(),
                ended=run.has_ended_at_cursor,
            )
            if last is not None:
                await self._connection.backfill([event for event in run.events if first <= event.seq <= last])
                feed.fill(run.run_id, first=first)
            await self._connection.replay(run.events)

    async def _refresh_token(self, frame: RefreshToken) -> None:
        signed_in = await call_in_thread(sign_in_by_token, frame.access)
        if signed_in.user_id != self._connection.user_id:
            await self.refuse(frame.id, NotAuthenticatedError("The token is another user's."))
            self._connection.end(CloseCode.NOT_ALLOWED, "The token is another user's.")
            return
        self._connection.extend(signed_in)
        # It may have been ended between the look and now.
        get_socket_review().check_sign_ins(signed_in.user_id)
        await self._connection.answer(Ack(id=frame.id, expires_at=signed_in.expires_at))

    async def _ping(self, frame: Ping) -> None:
        await self._connection.answer(Pong(id=frame.id))


_HANDLERS: dict[type, Callable[[FrameHandler, Any], Awaitable[None]]] = {
    SendMessage: FrameHandler._send_message,
    CancelRun: FrameHandler._cancel_run,
    Subscribe: FrameHandler._subscribe,
    Unsubscribe: FrameHandler._unsubscribe,
    Resume: FrameHandler._resume,
    RefreshToken: FrameHandler._refresh_token,
    Ping: FrameHandler._ping,
}
