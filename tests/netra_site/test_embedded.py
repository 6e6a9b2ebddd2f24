"""The bundled PostgreSQL and Redis: started by the first process, shared by all, stopped with the last."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from netra_site.embedded import start_postgres
from netra_site.embedded.lifetime import let_go
from tests.netra_site.services import Holder, answers, eventually, in_use, postmaster

pytestmark = pytest.mark.integration


def test_the_application_role_is_bound_by_row_level_security_and_owns_its_database(running: Path) -> None:
    with psycopg.connect(start_postgres(running)) as connection:
        row = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolreplication, rolcreatedb, rolcanlogin"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        database = connection.execute(
            "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding)"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        safe = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
    assert row == ("netra", False, False, False, False, True, True)
    assert database == ("netra", "netra", "UTF8")
    assert safe == [("on",), ("on",)]


def test_no_other_account_of_the_machine_can_reach_the_socket(running: Path) -> None:
    assert (running / "data").stat().st_mode & 0o077 == 0
    assert (running / "data" / ".s.PGSQL.5432").is_socket()
    assert not (running / ".s.PGSQL.5432").exists()


def test_the_server_and_its_tools_speak_no_language_of_the_user(running: Path) -> None:
    environment = psutil.Process(postmaster(running)).environ()
    assert environment["LC_ALL"] == "C"


def test_processes_that_race_at_the_first_start_share_one_server(
    empty: Path, hold: Callable[..., Holder]
) -> None:
    racing = [hold(empty) for _ in range(3)]
    urls = {holder.url() for holder in racing}
    assert len(urls) == 1
    assert answers(urls.pop())
    assert (empty / "data" / "server.log").read_text().count("starting PostgreSQL") == 1


def test_the_server_stops_with_its_last_holder_even_after_others_were_killed(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    first, second, third = hold(folder), hold(folder), hold(folder)
    url = first.url()
    assert second.url() == third.url() == url
    pid = postmaster(folder)
    first.kill()
    second.finish()
    assert answers(url)
    assert postmaster(folder) == pid
    third.finish()
    eventually(lambda: not in_use(folder))
    assert not answers(url)
    assert "database system is shut down" in (folder / "data" / "server.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_stops_however_its_only_holder_ends(
    folder: Path, hold: Callable[..., Holder], number: signal.Signals
) -> None:
    holder = hold(folder)
    url = holder.url()
    holder.kill(number)
    eventually(lambda: not in_use(folder))
    assert not answers(url)


def test_an_interrupt_of_the_whole_terminal_lets_the_holder_finish_its_work(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    holder = hold(folder)
    url = holder.url()
    session = os.getsid(holder.process.pid)
    assert session == holder.process.pid
    assert os.getsid(postmaster(folder)) != session
    start_postgres(folder)
    try:
        os.killpg(session, signal.SIGINT)
        holder.process.communicate()
        assert answers(url)
    finally:
        let_go(folder)


def test_a_holder_that_comes_back_finds_its_data(folder: Path, hold: Callable[..., Holder]) -> None:
    first = hold(folder)
    with psycopg.connect(first.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    first.finish()
    with psycopg.connect(hold(folder).url()) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("still here",)


def test_a_second_start_in_the_same_process_is_quick(running: Path) -> None:
    began = time.perf_counter()
    start_postgres(running)
    assert time.perf_counter() - began < 0.3


def test_a_temporary_server_takes_its_folder_with_it(empty: Path) -> None:
    url = start_postgres(empty, temporary=True)
    assert answers(url)
    let_go(empty)
    eventually(lambda: not empty.exists())


def test_processes_share_one_redis_that_stops_with_the_last(empty: Path, hold: Callable[..., Holder]) -> None:
    first, second = hold(empty, "start_redis"), hold(empty, "start_redis")
    url = first.url()
    assert second.url() == url
    with redis.from_url(url, decode_responses=True) as client:
        client.set("word", "shared")
    first.kill()
    with redis.from_url(url, decode_responses=True) as client:
        assert client.get("word") == "shared"
    second.finish()
    eventually(lambda: not (empty / "redis.sock").exists())
