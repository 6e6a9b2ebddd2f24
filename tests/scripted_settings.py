"""Settings of servers and workers whose model and tools do what the question says, and count themselves."""

from tests.server_settings import *  # noqa: F403
from tests.server_settings import INSTALLED_APPS

INSTALLED_APPS += ["tests.scripted"]
NETRA_MODEL = "scripted"
