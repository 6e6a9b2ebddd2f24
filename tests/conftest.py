"""What every test may ask for: Redis, Chromium, and the shared folder of real logs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.test.testcases import TransactionTestCase
from pytest_django.plugin import DjangoDbBlocker
from servestatic.middleware import ServeStaticMiddleware

from contexts.incidents import flush_incidents_sync
from netra_site.embedded import start_redis
from netra_site.embedded.lifetime import let_go
from tests import scoping
from tests.servers import ServerProcess, database_url, keep_as_template, serve, wait_until_unused
from tests.shortcuts import add_known_files, empty_tables

LAYERS = {"unit", "integration", "e2e", "browser", "real_llm"}
DATABASE_FIXTURES = {"server", "db", "transactional_db", "django_db_setup", "live_server"}
MODEL_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test a layer marker, by its fixtures if it has none; skip real models without a key."""
    for item in items:
        if not LAYERS & {mark.name for mark in item.iter_markers()}:
            uses_database = DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
            uses_database = uses_database or item.get_closest_marker("django_db")
            item.add_marker("integration" if uses_database else "unit")
        if item.get_closest_marker("real_llm") and not any(map(os.environ.get, MODEL_KEYS)):
            item.add_marker(pytest.mark.skip(reason=f"needs one of {', '.join(MODEL_KEYS)}"))


connection_created.connect(scoping.watch)
TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[method-assign]
ServeStaticMiddleware.add_files_from_finders = add_known_files

# No example fails for a busy machine, and every run tries the same ones.
hypothesis.settings.register_profile(
    "netra", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("netra")


@pytest.fixture(autouse=True)
def no_incident_is_left() -> Iterator[None]:
    """Wait for incidents that are still being recorded, so that none is written into the next test."""
    yield
    flush_incidents_sync()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Have the tests' database, and keep a copy of it as migrated for servers' own databases.

    In the end nobody may use it any more: what a killed process had open is given a moment to end.
    """
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        connection.close()
        connection.close_pool()
    if name.startswith("test_"):  # otherwise no test of this run asked for it, and it was not made
        keep_as_template(name)
    yield
    with django_db_blocker.unblock():
        connection.close()
        connection.close_pool()
    if name.startswith("test_"):
        wait_until_unused(name)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Yield the URL of a real Redis of this test session's own."""
    folder = Path(tempfile.mkdtemp(prefix="netra-test-redis-"))
    yield start_redis(folder, temporary=True)
    let_go(folder)


@pytest.fixture(scope="session")
def logs() -> Path:
    """Return the folder of real LLM logs next to the project; skip the test where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real logs in {folder}")
    return folder


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start the machine's own Chromium, else Playwright's; quiet, and without sandbox for root."""
    arguments = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-gpu",
        "--disable-quic",
        "--disable-sync",
        "--no-first-run",
    ]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    options = browser_type_launch_args | {"args": arguments}
    if program := next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None):
        options["executable_path"] = program
    return options


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[ServerProcess]:
    """Yield a real server process with a worker, on a database of its own with the demo accounts."""
    with serve(database_url("netra_server"), tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture(scope="session")
def live_server_process(server: ServerProcess) -> str:
    """Return the base URL of the real server process."""
    return server.url
