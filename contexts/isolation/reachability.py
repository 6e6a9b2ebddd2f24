"""Objects that contexts of two users reach, found on demand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from contexts.context import UserExecutionContext
from contexts.isolation.breaches import is_same_user
from contexts.isolation.paths import path_to
from contexts.isolation.reach import held_by
from contexts.isolation.sharing import DATA, LOOK_THROUGH, VALUE, sharing_of
from contexts.labels import label
from contexts.models.incidents import BreachKind

LIMIT = 100_000
"""Objects walked of each value that a context keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedObject:
    """Something that contexts of two users reach."""

    kind: BreachKind
    """`SHARED_OBJECT`, or `FOREIGN_OBJECT` for a context that another user's reaches."""
    type_name: str
    """The object's type; never its content."""
    holders: tuple[tuple[UserExecutionContext, str], ...]
    """The contexts that reach it, in the order given, each with the path."""


class SharedObjects(list[SharedObject]):
    """What was found, and which contexts lead to too much to be looked through."""

    def __init__(
        self, found: Iterable[SharedObject] = (), *, truncated: Iterable[UserExecutionContext] = ()
    ) -> None:
        """Start with what was `found`; of `truncated` contexts only a part was looked at."""
        super().__init__(found)
        self.truncated = tuple(truncated)


@dataclass(slots=True)
class _Reached:
    thing: Any
    holders: list["_Holder"] = field(default_factory=list)


@dataclass(slots=True)
class _Holder:
    context: UserExecutionContext
    start: str
    root: Any
    through: int | None
    """Id of the nearest object that can change on the way to it."""


def find_shared(contexts: Iterable[UserExecutionContext], *, limit: int = LIMIT) -> SharedObjects:
    """Return the mutable objects that contexts of two users reach from their states and agent contexts.

    Of an object and what it holds only the object is reported. Up to `limit` objects are walked of
    each value; the result names the contexts that lead to more.
    """
    # Keeps alive what was walked, so that an id stands for one object only.
    reached: dict[int, _Reached] = {}
    truncated: dict[UserExecutionContext, None] = {}
    for context in contexts:
        seen: dict[int, Any] = {}
        for start, root in _roots(context):
            if not _walk(context, start, root, reached, seen, limit=limit):
                truncated[context] = None
    shared = {key: one for key, one in reached.items() if _is_shared(one)}
    found = [
        _describe(one, limit=limit)
        for one in shared.values()
        if any(holder.through not in shared for holder in one.holders)
    ]
    return SharedObjects(found, truncated=truncated)


def _roots(context: UserExecutionContext) -> Iterator[tuple[str, Any]]:
    for name in context.state:
        yield f"state[{label(name)}]", context.state.get(name)
    if context.agent_context:
        yield "agent_context", context.agent_context


def _walk(
    context: UserExecutionContext,
    start: str,
    root: Any,
    reached: dict[int, _Reached],
    seen: dict[int, Any],
    *,
    limit: int,
) -> bool:
    queue: list[tuple[Any, int | None]] = [(root, None)]
    is_complete = True
    for thing, through in queue:
        sharing = sharing_of(thing)
        if sharing is VALUE or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        inner = through
        if sharing is not LOOK_THROUGH:
            one = reached.get(id(thing)) or reached.setdefault(id(thing), _Reached(thing))
            one.holders.append(_Holder(context, start, root, through))
            inner = id(thing)
        held = [(other, inner) for other in held_by(thing) if type(other) not in DATA]
        if len(held) > limit - len(queue):
            is_complete = False
            held = held[: limit - len(queue)]
        queue += held
    return is_complete


def _is_shared(one: _Reached) -> bool:
    if isinstance(one.thing, UserExecutionContext):
        return any(not is_same_user(one.thing, holder.context) for holder in one.holders)
    first = one.holders[0].context
    return any(not is_same_user(first, holder.context) for holder in one.holders[1:])


def _describe(one: _Reached, *, limit: int) -> SharedObject:
    holders = [
        (holder.context, path_to(one.thing, holder.root, holder.start, limit=limit)) for holder in one.holders
    ]
    is_context = isinstance(one.thing, UserExecutionContext)
    if is_context:
        holders.append((one.thing, "itself"))
    return SharedObject(
        kind=BreachKind.FOREIGN_OBJECT if is_context else BreachKind.SHARED_OBJECT,
        type_name=type(one.thing).__name__,
        holders=tuple(holders),
    )
