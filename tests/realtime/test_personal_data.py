"""An erasure looks for a person in Redis, too, and says what it found."""

import pytest
from django.test import override_settings
from redis import Redis

from contexts.models import AuditEntry
from contexts.personal_data.holders import ErasureOptions, Subject
from realtime.personal_data import RedisHolder
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


def layer(*hosts: str) -> override_settings:
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": {"hosts": [*hosts]}}})


def test_keys_that_name_them_are_deleted_and_others_stay(redis_url: str):
    cast = make_cast()
    alice = Subject(user_id=cast.alice.id, names=("alice",))
    holder = RedisHolder()
    with layer(redis_url), Redis.from_url(redis_url) as redis:
        redis.mset({f"place:{cast.alice.id}:1": "x", f"place:{cast.bob.id}:1": "x"})
        with redis.pubsub() as listener:
            listener.subscribe(f"user.{cast.alice.id}")
            assert listener.get_message(timeout=10)
            assert holder.look_over(alice) == {
                "servers": 1,
                "unreachable": 0,
                "keys": 2,
                "keys_that_name_them": 1,
                "channels_that_name_them": 1,
            }
        holder.erase(alice, ErasureOptions())
        assert redis.keys("place:*") == [f"place:{cast.bob.id}:1".encode()]
        assert holder.look_over(alice)["keys_that_name_them"] == 0
        redis.flushall()
    told = AuditEntry.objects.get(action="personal_data_erased")
    assert told.details["rows"] == [["redis keys", 1]]


def test_without_redis_or_with_one_that_is_away_the_receipt_says_so():
    alice = Subject(user_id=make_cast().alice.id, names=("alice",))
    assert RedisHolder().look_over(alice)["servers"] == 0
    with layer("redis://127.0.0.1:1"):
        RedisHolder().erase(alice, ErasureOptions())
        found = RedisHolder().look_over(alice)
    assert (found["servers"], found["unreachable"]) == (1, 1)
