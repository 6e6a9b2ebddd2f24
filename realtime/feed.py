"""Which of a user's run events one socket gets: each once, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from uuid import UUID

from realtime.envelopes import Envelope


class Verdict(Enum):
    """What to do with an envelope."""

    SEND = auto()
    SKIP = auto()
    GAP = auto()
    """Events before it are missing: they must be read from the log first."""


@dataclass(slots=True)
class _Progress:
    thread_id: UUID
    first: int
    """Number of the first event sent; everything from it to `last` was."""
    last: int
    heard_at: float
    ended: bool = False
    attempt: int = 0
    """The highest attempt at the run that was heard of; 0 when none was."""


class RunFeed:
    """The threads that a socket watches and how far it is in each of their runs.

    Moments are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        """Watch nothing."""
        self._watched: dict[UUID, datetime] = {}
        self._progress: dict[UUID, _Progress] = {}

    def watches(self, thread_id: UUID | None) -> bool:
        """Tell whether the thread is watched."""
        return thread_id in self._watched

    @property
    def watched(self) -> Mapping[UUID, datetime]:
        """Return the threads that are watched, and since when (UTC)."""
        return self._watched

    def watch(self, thread_id: UUID) -> None:
        """Watch a thread; of runs not begun by `begin` all events are expected."""
        self._watched.setdefault(thread_id, datetime.now(UTC))

    @property
    def is_following(self) -> bool:
        """Tell whether there is any run whose events are being counted."""
        return bool(self._progress)

    def knows(self, run_id: UUID) -> bool:
        """Tell whether a run's events are being counted."""
        return run_id in self._progress

    def unwatch(self, thread_id: UUID) -> None:
        """Watch a thread no longer, and forget how far its runs were."""
        self._watched.pop(thread_id, None)
        for run_id in [key for key, progress in self._progress.items() if progress.thread_id == thread_id]:
            del self._progress[run_id]

    def begin(
        self, run_id: UUID, *, thread_id: UUID, after: int, now: float, attempt: int = 0, ended: bool = False
    ) -> None:
        """Watch a run's thread and expect its event `after + 1` next, unless it is further already.

        `attempt` is the one that is known to be under way, 0 when none is; `ended` says that `after` is the
        run's last event.
        """
        self.watch(thread_id)
        progress = self._progress.setdefault(run_id, _Progress(thread_id, after + 1, after, now))
        progress.last = max(progress.last, after)
        progress.attempt = max(progress.attempt, attempt)
        progress.ended = progress.ended or ended

    def missing(self, run_id: UUID, *, after: int) -> tuple[int, int | None]:
        """Return from which number on, and up to which, a client that has `after` lacks events.

        The second is none when everything from the first on is lacking.
        """
        progress = self._progress.get(run_id)
        if progress is None:
            return after + 1, None
        if after + 1 < progress.first:
            return after + 1, progress.first - 1
        return max(after, progress.last) + 1, None

    def fill(self, run_id: UUID, *, first: int) -> None:
        """Note that the events from `first` up to those sent before were sent late."""
        self._progress[run_id].first = first

    def last_sent(self, run_id: UUID) -> int:
        """Return the number of the last event sent of a run, 0 when none was."""
        progress = self._progress.get(run_id)
        return progress.last if progress else 0

    def silent_runs(self, *, since: float) -> list[UUID]:
        """Return the runs under way of which nothing was heard after `since`."""
        return [
            run_id
            for run_id, progress in self._progress.items()
            if not progress.ended and progress.heard_at <= since
        ]

    def note_heard(self, run_id: UUID, *, now: float) -> None:
        """Note that the log was read for a run."""
        if run_id in self._progress:
            self._progress[run_id].heard_at = now

    def forget(self, run_id: UUID) -> None:
        """Expect nothing more of a run, for it is gone."""
        self._progress.pop(run_id, None)

    def take(self, envelope: Envelope, *, now: float) -> Verdict:
        """Decide on an envelope; what is to be sent counts as sent."""
        run_id, thread_id, seq = envelope.run_id, envelope.thread_id, envelope.seq
        if run_id is None or thread_id is None:
            return Verdict.SEND
        if thread_id not in self._watched:
            return Verdict.SKIP
        progress = self._progress.get(run_id)
        if seq is None:
            return self._take_piece(progress, envelope.attempt)
        if progress is None:
            progress = self._progress[run_id] = _Progress(thread_id, 1, 0, now)
        progress.heard_at = now
        if seq <= progress.last:
            return Verdict.SKIP
        if seq > progress.last + 1:
            return Verdict.GAP
        progress.last = seq
        progress.attempt = max(progress.attempt, envelope.attempt or 0)
        progress.ended = envelope.is_terminal
        return Verdict.SEND

    @staticmethod
    def _take_piece(progress: _Progress | None, attempt: int | None) -> Verdict:
        """Decide on a piece of an answer; without an attempt, as an earlier version sends it, any will do.

        A worker that was stopped may still send some when the run is another's by then, or has ended. Of a
        run that nothing else was heard of, nobody could tell.
        """
        if progress is None or progress.ended:
            return Verdict.SKIP
        if attempt is not None:
            if attempt < progress.attempt:
                return Verdict.SKIP
            progress.attempt = attempt
        return Verdict.SEND
