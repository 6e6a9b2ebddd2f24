"""Netra's own settings, with the scripted model."""

from netra_site.settings import *  # noqa: F403
from netra_site.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.runs.apps.ScriptedConfig"]
NETRA_MODEL = "scripted"
