"""What open sockets may still do when something is changed: looked up again within a moment.

Who lost their account, membership or tenant, or whose sign-in was ended, is told so and closed with 4401;
whose role or tier is another goes on in a new context; sockets beyond the limits of now are closed with
4429, the newest first; and the users concerned are told their quotas.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from uuid import UUID
from weakref import WeakKeyDictionary

from contexts.changes import ANYTHING, LISTENING, SIGN_IN, Change, Subscription, get_change_listener
from contexts.database import call_in_thread
from contexts.exceptions import NetraError
from contexts.factory import UserContextFactory
from contexts.manager import get_context_manager
from contexts.resources import RULES, Resource
from contexts.rights import Member, leases_over_limit, rights_of, tenants_on
from contexts.sign_ins import valid_sign_ins
from contexts.tasks import end_task
from realtime.connection import Connection
from realtime.envelopes import Envelope
from realtime.places import SocketPlace
from realtime.protocol import CloseCode
from realtime.quarantine import watch_for_quarantine
from realtime.quota_frames import quota_frames

logger = logging.getLogger(__name__)

REVIEW_SECONDS = 30.0
"""Limits also end by the clock, as overrides and grants do; so everything is looked at this often."""
OPENED = "opened"
"""Kind of a change that is told by nobody: a socket was opened while something was changed."""
NOT_OF_QUOTAS = frozenset((LISTENING.kind, OPENED, "membership", "user"))
AT_ONCE = 256
"""Sockets that are looked at by one statement each time."""
REVOKED = "Your account or its membership in this organisation was ended."
SIGNED_OUT = "Your sign-in was ended: by a log-out, or because the password was changed."
FEWER_ALLOWED = "Fewer connections are allowed at once now."


class SocketReview:
    """Looks after the sockets of one event loop; listens to changes while there are any."""

    def __init__(self) -> None:
        """Look after none yet."""
        self._expected = 0
        self._places: set[SocketPlace] = set()
        self._heard = 0
        self._subscriptions: list[Subscription] = []
        self._clock: asyncio.Task[None] | None = None

    def expect(self) -> int:
        """Begin to listen on behalf of a socket that is about to open; return what `add` asks for."""
        if not self._expected:
            listener = get_change_listener()
            self._subscriptions = [
                listener.subscribe(self._apply, sign_ins=True),
                listener.subscribe(self._follow_up),
            ]
            self._clock = asyncio.create_task(self._look_from_time_to_time(), name="sockets-review")
        self._expected += 1
        return self._heard

    def add(self, place: SocketPlace, *, since: int) -> None:
        """Look after an open socket, and soon at what changed since `expect` was called for it.

        Its sign-in is looked at again in any case: it may have been ended before `expect`.
        """
        self._places.add(place)
        member = _member(place)
        self.check_sign_ins(member.user_id)
        if self._heard != since:
            # Together with those of others, as if it had been told.
            for subscription in self._subscriptions:
                subscription.put(Change(kind=OPENED, tenant_id=member.tenant_id, user_id=member.user_id))

    def check_sign_ins(self, user_id: UUID) -> None:
        """Have a user's sign-ins looked at in a moment, as after one was exchanged for another."""
        # Together with those of others, and again when it fails: as if it had been told.
        self._subscriptions[0].put(Change(kind=SIGN_IN, user_id=user_id))

    def remove(self, place: SocketPlace) -> None:
        """Look after a socket no longer."""
        self._places.discard(place)

    async def dismiss(self) -> None:
        """Expect one socket less; with the last one the listening ends."""
        self._expected -= 1
        if self._expected:
            return
        subscriptions, self._subscriptions = self._subscriptions, []
        clock, self._clock = self._clock, None
        if clock is not None:
            await end_task(clock)
        await get_change_listener().unsubscribe(*subscriptions)

    async def _look_from_time_to_time(self) -> None:
        """Look at everything within `REVIEW_SECONDS`, at some after others, so that no moment is busier."""
        while True:
            places = list(self._places)
            parts = [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)] or [[]]
            for part in parts:
                await asyncio.sleep(REVIEW_SECONDS / len(parts))
                here = [place for place in part if place in self._places]
                try:
                    await self._enforce_sign_ins(here)
                    await self._enforce(here)
                except Exception:
                    logger.exception("The open sockets could not be looked at; it is tried again")

    async def _apply(self, changes: frozenset[Change]) -> None:
        of_rights = [change for change in changes if change.kind != SIGN_IN]
        if any(change.kind != OPENED for change in of_rights):
            self._heard += 1
        await self._enforce_sign_ins(self._signed_in_by(changes))
        if of_rights:
            await self._enforce(await self._concerned(of_rights))

    async def _follow_up(self, changes: frozenset[Change]) -> None:
        """Do what may take longer, and what `_apply` must not wait for when the next change comes."""
        await self._refresh(await self._concerned(changes))
        of_quotas = [change for change in changes if change.kind not in NOT_OF_QUOTAS]
        await self._tell_quotas(await self._concerned(of_quotas))

    async def _concerned(self, changes: Collection[Change]) -> list[SocketPlace]:
        """Return the places of the sockets that the changes are about."""
        tiers = {change.tier_id for change in changes if change.tier_id is not None}
        here = {place.connection.context.tenant_id for place in self._places}
        on_tiers = await call_in_thread(tenants_on, tiers, among=here) if tiers and here else set()
        of_user: dict[UUID | None, list[Change]] = {}
        for change in changes:
            if change.tier_id is None:
                of_user.setdefault(change.user_id, []).append(change)
        of_any = of_user.pop(None, [])
        return [
            place
            for place in self._places
            if place.connection.context.tenant_id in on_tiers
            or any(_is_about(change, place.connection) for change in of_any)
            or any(
                _is_about(change, place.connection) for change in of_user.get(place.connection.user_id, ())
            )
        ]

    def _signed_in_by(self, changes: frozenset[Change]) -> list[SocketPlace]:
        """Return the places of the sockets whose sign-ins the changes may have ended."""
        if not changes.isdisjoint((ANYTHING, LISTENING)):
            return list(self._places)
        ended = [change for change in changes if change.kind == SIGN_IN]
        users = {change.user_id for change in ended}
        references = {change.sign_in for change in ended}
        return [
            place
            for place in self._places
            if place.connection.user_id in users or place.connection.sign_in.proof.reference in references
        ]

    async def _enforce_sign_ins(self, places: Collection[SocketPlace]) -> None:
        """Close the sockets whose sign-in was ended."""
        # As it is now: meanwhile a socket may be given another.
        proofs = {place: place.connection.sign_in.proof for place in places}
        valid = await call_in_thread(valid_sign_ins, set(proofs.values())) if proofs else set()
        for place, proof in proofs.items():
            if proof not in valid and place.connection.sign_in.proof == proof:
                place.connection.revoke(SIGNED_OUT)

    async def _enforce(self, places: Iterable[SocketPlace]) -> None:
        """Close the sockets of whoever may have none any more, and those that are too many."""
        by_member = _by_member(places)
        if not by_member:
            return
        rights = await call_in_thread(rights_of, by_member)
        for member in by_member.keys() - rights.keys():
            for place in by_member[member]:
                place.connection.revoke(REVOKED)
        tenants = {member.tenant_id for member in rights}
        if not tenants:
            return
        over = await call_in_thread(leases_over_limit, tenants, Resource.WEBSOCKET_CONNECTIONS)
        for place in self._places:
            if place.lease_id in over:
                place.connection.end(CloseCode.TOO_MANY_CONNECTIONS, FEWER_ALLOWED)

    async def _refresh(self, places: Iterable[SocketPlace]) -> None:
        """Have sockets go on in contexts of their users' present role and tier, where they are others."""
        by_member = _by_member(places)
        rights = await call_in_thread(rights_of, by_member) if by_member else {}
        for member, now in rights.items():
            for place in by_member[member]:
                context = place.connection.context
                if (context.role, context.tier) != (now.role, now.tier) and self._is_open(place):
                    await self._renew_context(place)

    async def _renew_context(self, place: SocketPlace) -> None:
        connection, old = place.connection, place.connection.context
        assert old.connection_id is not None
        try:
            new = await call_in_thread(
                UserContextFactory().for_socket, old.user_id, connection_id=old.connection_id
            )
        except NetraError as error:
            connection.refuse(error)
            return
        if new.tenant_id != old.tenant_id:
            connection.end(CloseCode.SERVER_RESTART, "Your organisation is another one now; connect again.")
        # Otherwise it went meanwhile, or was renewed by someone else.
        if connection.context is old and self._is_open(place):
            connection.context = new
            watch_for_quarantine(connection)
        else:
            old = new
        await get_context_manager().cleanup_context(old.context_id)

    async def _tell_quotas(self, places: Iterable[SocketPlace]) -> None:
        for member in _by_member(places):
            frames = await call_in_thread(quota_frames, member, tuple(RULES))
            envelopes = [Envelope.of_account(frame) for frame in frames]
            for place in self._places:
                if _member(place) == member and self._is_open(place):
                    place.connection.deliver(envelopes)

    def _is_open(self, place: SocketPlace) -> bool:
        return place in self._places and not place.connection.ended.done()


def _by_member(places: Iterable[SocketPlace]) -> dict[Member, list[SocketPlace]]:
    found: dict[Member, list[SocketPlace]] = {}
    for place in places:
        found.setdefault(_member(place), []).append(place)
    return found


def _member(place: SocketPlace) -> Member:
    context = place.connection.context
    return Member(tenant_id=context.tenant_id, user_id=context.user_id)


def _is_about(change: Change, connection: Connection) -> bool:
    if change in (ANYTHING, LISTENING):
        return True
    context = connection.context
    return change.tenant_id in (None, context.tenant_id) and change.user_id in (None, context.user_id)


_reviews: WeakKeyDictionary[asyncio.AbstractEventLoop, SocketReview] = WeakKeyDictionary()


def get_socket_review() -> SocketReview:
    """Return the running event loop's review of its sockets."""
    return _reviews.setdefault(asyncio.get_running_loop(), SocketReview())
