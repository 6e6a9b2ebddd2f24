"""What one socket gets of its user's runs: each event once and in order, whatever arrives."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.envelopes import Envelope
from realtime.feed import RunFeed, Verdict

USER, THREAD, RUN = uuid4(), uuid4(), uuid4()


def event(seq: int | None, *, thread_id: UUID = THREAD, kind: str = "agent_thinking") -> Envelope:
    return Envelope(user_id=USER, type=kind, text="{}", run_id=RUN, thread_id=thread_id, seq=seq)


def piece(attempt: int | None) -> Envelope:
    return event(None, kind="message_delta")._replace(attempt=attempt)


def watching() -> RunFeed:
    feed = RunFeed()
    feed.watch(THREAD)
    return feed


def test_a_thread_that_is_not_watched_is_passed_over() -> None:
    assert watching().take(event(1, thread_id=uuid4()), now=0) is Verdict.SKIP
    assert watching().take(event(None, thread_id=uuid4(), kind="message_delta"), now=0) is Verdict.SKIP


def test_account_frames_are_always_sent() -> None:
    assert RunFeed().take(Envelope(user_id=USER, type="quota_updated", text="{}"), now=0) is Verdict.SEND


@pytest.mark.mission_critical("P2")
@given(st.lists(st.integers(1, 12), max_size=60))
def test_what_is_sent_is_numbered_without_gap_or_repeat(arrivals: list[int]) -> None:
    """Whatever arrives, filling each gap from the log as sockets do gives 1, 2, 3 … and nothing twice."""
    feed, sent = watching(), []
    for seq in arrivals:
        verdict = feed.take(event(seq), now=0)
        if verdict is Verdict.GAP:
            for missing in range(feed.last_sent(RUN) + 1, seq + 1):
                assert feed.take(event(missing), now=0) is Verdict.SEND
                sent.append(missing)
        elif verdict is Verdict.SEND:
            sent.append(seq)
    assert sent == list(range(1, max(arrivals, default=0) + 1))


def test_a_silent_run_is_one_under_way_of_which_nothing_was_heard() -> None:
    feed = watching()
    feed.take(event(1), now=10)
    assert feed.silent_runs(since=9) == []
    assert feed.silent_runs(since=10) == [RUN]
    feed.note_heard(RUN, now=11)
    assert feed.silent_runs(since=10) == []
    feed.take(event(2, kind="run_failed"), now=12)
    assert feed.silent_runs(since=20) == []


def test_a_run_resumed_at_its_end_is_not_waited_for() -> None:
    feed = RunFeed()
    feed.begin(RUN, thread_id=THREAD, after=7, now=0, ended=True)
    assert feed.silent_runs(since=100) == []
    assert feed.take(event(7), now=1) is Verdict.SKIP


def test_an_unwatched_threads_progress_is_forgotten() -> None:
    feed = watching()
    feed.take(event(1), now=0)
    feed.unwatch(THREAD)
    assert feed.last_sent(RUN) == 0
    assert not feed.watches(THREAD)
    assert feed.take(event(2), now=0) is Verdict.SKIP


def test_no_piece_of_an_answer_follows_the_end_of_its_run() -> None:
    feed = RunFeed()
    feed.watch(THREAD)
    assert feed.take(event(1), now=0) is Verdict.SEND
    assert feed.take(event(None, kind="message_delta"), now=0) is Verdict.SEND
    assert feed.take(event(2, kind="agent_completed"), now=0) is Verdict.SEND
    assert feed.take(event(None, kind="message_delta"), now=0) is Verdict.SKIP


@pytest.mark.mission_critical("P3")
def test_a_piece_of_an_earlier_attempt_is_not_sent() -> None:
    feed = watching()
    assert feed.take(piece(1), now=0) is Verdict.SKIP, "nothing is known of the run"
    feed.take(event(1), now=0)
    assert feed.take(piece(1), now=0) is Verdict.SEND
    feed.take(event(2, kind="run_resumed")._replace(attempt=2), now=0)
    assert feed.take(piece(1), now=0) is Verdict.SKIP
    assert feed.take(piece(2), now=0) is Verdict.SEND
    assert feed.take(piece(3), now=0) is Verdict.SEND, "the event is late"
    assert feed.take(piece(2), now=0) is Verdict.SKIP
    assert feed.take(piece(None), now=0) is Verdict.SEND, "an earlier version does not say"
    assert feed.take(event(3, kind="run_resumed")._replace(attempt=3), now=0) is Verdict.SEND
    assert feed.take(piece(2), now=0) is Verdict.SKIP


@pytest.mark.mission_critical("P3")
def test_a_socket_that_came_after_a_take_over_is_sent_no_piece_of_an_earlier_attempt() -> None:
    feed = RunFeed()
    feed.begin(RUN, thread_id=THREAD, after=5, attempt=2, now=0)
    feed.begin(RUN, thread_id=THREAD, after=5, now=0)
    assert feed.take(piece(1), now=0) is Verdict.SKIP
    assert feed.take(piece(2), now=0) is Verdict.SEND
