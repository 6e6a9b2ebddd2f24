"""Netra's own settings for the benchmark's servers; plain Channels gets the layer as everyone has it."""

import os
from datetime import timedelta
from typing import Any

from netra_site.settings import *  # noqa: F403
from netra_site.settings import CHANNEL_LAYERS, SIMPLE_JWT

# Some sockets are measured beside 10,000 idle ones, each with a context of its own.
MAX_CONTEXTS = 100_000
# Tokens that outlast the benchmark.
SIMPLE_JWT = {**SIMPLE_JWT, "ACCESS_TOKEN_LIFETIME": timedelta(hours=3)}

if os.environ.get("BENCHMARK_APPLICATION") == "plain" and not os.environ.get("REDIS_URL"):
    # The layer's own default is a capacity of 100 messages.
    capacity = os.environ.get("BENCHMARK_CAPACITY")
    config: dict[str, Any] = {"capacity": int(capacity)} if capacity else {}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": config}}
