from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import AsyncClient

from netra_site import health


def _beat(*, seconds_ago: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (%s)",
            [datetime.now(UTC) - timedelta(seconds=seconds_ago)],
        )


@pytest.fixture
def database(transactional_db: None) -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_workers")


async def _ask(address: str) -> Any:
    try:
        return await AsyncClient().get(address)
    finally:
        # The thread that served the request keeps its connection, which would outlive the database.
        await sync_to_async(connections.close_all)()


async def test_the_process_lives_without_a_database() -> None:
    response = await AsyncClient().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"service": "netra", "status": "ok"})
    assert "no-store" in response["Cache-Control"]


async def test_ready_with_database_layer_and_a_live_worker(database: None) -> None:
    await sync_to_async(_beat)(seconds_ago=1)
    response = await _ask("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "service": "netra",
        "status": "ok",
        "parts": {"database": "ok", "layer": "ok", "worker": "ok"},
    }


@pytest.mark.parametrize("seconds_ago", [None, 3_600])
async def test_not_ready_without_a_live_worker(database: None, seconds_ago: float | None) -> None:
    if seconds_ago is not None:
        await sync_to_async(_beat)(seconds_ago=seconds_ago)
    response = await _ask("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"] == {"database": "ok", "layer": "ok", "worker": "no live worker"}


async def test_not_ready_with_a_layer_that_is_gone(database: None, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        }
    }
    await sync_to_async(_beat)(seconds_ago=1)
    response = await _ask("/readyz")
    assert response.status_code == 503
    parts = response.json()["parts"]
    assert (parts["database"], parts["layer"], parts["worker"]) == ("ok", "does not answer", "ok")
    assert "127.0.0.1" not in response.content.decode()


async def test_ready_over_a_real_redis(database: None, settings: Any, redis_url: str) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_url]},
        }
    }
    await sync_to_async(_beat)(seconds_ago=1)
    response = await _ask("/readyz")
    assert response.json()["parts"]["layer"] == "ok"


async def test_a_part_that_hangs_counts_as_missing(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    response = await _ask("/readyz")
    assert response.status_code == 503
    assert set(response.json()["parts"].values()) == {"does not answer"}


async def test_only_reading_is_allowed() -> None:
    assert (await AsyncClient().post("/healthz")).status_code == 405
