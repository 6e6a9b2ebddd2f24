"""What the tests of sockets that are opened many at a time share."""

from contexts.exceptions import NetraError
from contexts.identifiers import new_id
from contexts.models import User
from contexts.sockets import OpenedSocket, WantedSocket


def wanted(*users: User) -> list[WantedSocket]:
    return [WantedSocket(user_id=user.id, connection_id=new_id()) for user in users]


def opened(outcomes: list[OpenedSocket | NetraError]) -> list[OpenedSocket]:
    return [outcome for outcome in outcomes if isinstance(outcome, OpenedSocket)]


def ids(sockets: list[OpenedSocket]) -> list[str]:
    return sorted(str(socket.context.context_id) for socket in sockets)
