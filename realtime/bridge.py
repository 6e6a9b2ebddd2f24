"""From the event log to the sockets: the event sink that publishes to the owners' groups."""

import logging
from collections.abc import Sequence
from uuid import UUID

from agents.events import TERMINAL_TYPES, Delta, Event
from contexts.exceptions import UnavailableError
from contexts.rights import Member
from realtime.envelopes import Envelope
from realtime.publishing import publish_envelopes
from realtime.quota_reports import SETTLED_BY_RUNS, report_quotas

logger = logging.getLogger(__name__)


class AgentWebSocketBridge:
    """Publishes committed events and passing pieces of answers to their owner, and to nobody else.

    What the channel layer cannot take stays in the event log: sockets notice the gap and read it.
    """

    async def deliver_events(self, events: Sequence[Event]) -> None:
        """Publish `events` in order, in one message a user; after a run's end also its owner's quotas."""
        by_user: dict[UUID, list[Event]] = {}
        for event in events:
            by_user.setdefault(event.user_id, []).append(event)
        for user_id, own in by_user.items():
            try:
                await publish_envelopes(user_id, [Envelope.of_event(event) for event in own])
                for member in {_member(event) for event in own if event.type in TERMINAL_TYPES}:
                    await report_quotas(member, SETTLED_BY_RUNS)
            except UnavailableError:
                runs = sorted({str(event.run_id) for event in own})
                logger.exception("%d events are left to replay: runs %s", len(own), ", ".join(runs))

    async def deliver_delta(self, delta: Delta) -> None:
        """Publish a piece of an answer once; the whole answer comes with the last event."""
        try:
            await publish_envelopes(delta.user_id, [Envelope.of_delta(delta)], delays_s=())
        except UnavailableError as error:
            logger.warning("A piece of an answer was not sent: run %s: %s", delta.run_id, error)


def _member(event: Event) -> Member:
    return Member(tenant_id=event.tenant_id, user_id=event.user_id)
