"""What Redis may keep of a person: nothing, which an erasure makes sure of."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.conf import settings
from redis import Redis, RedisError

from contexts.personal_data.holders import ErasureOptions, Holder, Subject, erasing

TIMEOUT_S = 5.0


class RedisHolder(Holder):
    """Keys and channels of the channel layer's Redis that name the person; what it carries is not kept."""

    kind = "redis"

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete such keys; what a Redis that is away keeps is left to the next call."""
        with erasing(subject, self.kind) as erased, _clients() as clients:
            for client in clients:
                with suppress(RedisError):
                    if names := _keys_of(client, subject):
                        erased.rows["redis keys"] = erased.rows.get("redis keys", 0) + client.delete(*names)

    def look_over(self, subject: Subject) -> Mapping[str, Any]:
        """Return how many servers and keys there are, and what of them names the person."""
        found = {"servers": 0, "unreachable": 0, "keys": 0, "keys_that_name_them": 0}
        found["channels_that_name_them"] = 0
        with _clients() as clients:
            for client in clients:
                found["servers"] += 1
                try:
                    found["keys"] += client.dbsize()
                    found["keys_that_name_them"] += len(_keys_of(client, subject))
                    channels = client.pubsub_channels(f"*{subject.user_id}*")
                    found["channels_that_name_them"] += len(channels)
                except RedisError:
                    found["unreachable"] += 1
        return found


def _keys_of(client: Any, subject: Subject) -> list[bytes]:
    return list(client.scan_iter(match=f"*{subject.user_id}*", count=1_000))


@contextmanager
def _clients() -> Iterator[list[Any]]:
    """Yield a client of each Redis of the channel layer; none without one."""
    hosts = settings.CHANNEL_LAYERS["default"].get("CONFIG", {}).get("hosts", ())
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Redis.from_url(host, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
            )
            for host in hosts
        ]
