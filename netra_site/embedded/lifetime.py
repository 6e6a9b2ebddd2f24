"""The lifetime of a service that several processes share: it begins with the first and ends with the last."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netra_site.embedded.account import account_name
from netra_site.embedded.errors import EmbeddedServiceError
from netra_site.embedded.socket_folder import link_pattern

LOCK_SECONDS = 90.0
"""How long to wait for another process that is starting or stopping the service."""

_held: dict[Path, int] = {}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep the service of `folder` alive until this process ends; let one process at a time in here.

    When the body fails, this process is no holder.

    Raises:
        EmbeddedServiceError: another process has been starting or stopping the service for 90 s, or
            the folder is another account's.
        OSError: `folder` cannot be made or written.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    gate = _open_gate(folder)
    try:
        _lock(gate, fcntl.LOCK_EX, folder, deadline)
        if folder in _held:
            yield
            return
        holder = _open(folder / "holders.lock")
        try:
            _lock(holder, fcntl.LOCK_SH, folder, deadline)
            yield
        except BaseException:
            os.close(holder)
            raise
        # never closed: a child made with fork() holds on as well, and the kernel lets go at the end
        _held[folder] = holder
    finally:
        os.close(gate)


def ensure_watched(
    folder: Path,
    *,
    stop: Sequence[Sequence[str]],
    options: dict[str, Any] | None = None,
    delete: bool = False,
) -> None:
    """See to it that a watcher stops the service of `folder` after its last holder; call inside `hold`.

    `stop` are the commands that stop it, tried in order; `options` are further arguments of
    `subprocess.run` for them; with `delete` the folder is removed afterwards. Short names of the folder
    are removed in any case.
    """
    lock = _open(folder / "watcher.lock")
    try:
        if not _try_lock(lock, fcntl.LOCK_EX):
            return
        task = {
            "holders": str(folder / "holders.lock"),
            "lock": lock,
            "stop": [list(command) for command in stop],
            "options": options or {},
            "folder": str(folder),
            "links": link_pattern(folder),
            "delete": delete,
        }
        with (folder / "watcher.log").open("ab") as log:
            started = subprocess.run(
                [sys.executable, "-I", str(Path(__file__).with_name("watcher.py")), json.dumps(task)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | {"LC_ALL": "C"},
                pass_fds=[lock],
                check=False,
            )
        if started.returncode:
            raise EmbeddedServiceError(
                f"The service in {folder} cannot be watched over: see {folder / 'watcher.log'}."
            )
    finally:
        os.close(lock)


def let_go(folder: Path) -> None:
    """End this process's hold on the service of `folder` before the process ends."""
    os.close(_held.pop(folder.expanduser().resolve()))


def _open_gate(folder: Path) -> int:
    gate = folder / "gate.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _open(gate)
    except PermissionError:
        owner = next((path.stat().st_uid for path in (gate, folder) if _visible(path)), os.geteuid())
        if owner == os.geteuid():
            raise
        raise EmbeddedServiceError(
            f"{folder} belongs to the account {account_name(owner)}, so only that account can start or join "
            "the service in it. Start Netra as that user, or set NETRA_DATA_DIR to a folder of your own."
        ) from None


def _visible(path: Path) -> bool:
    return os.access(path, os.F_OK, effective_ids=os.access in os.supports_effective_ids)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(descriptor: int, kind: int, folder: Path, deadline: float) -> None:
    while not _try_lock(descriptor, kind):
        if time.monotonic() > deadline:
            raise EmbeddedServiceError(
                f"Another process has been starting or stopping the service in {folder} for "
                f"{LOCK_SECONDS:.0f} s. End that process, then try again."
            )
        time.sleep(0.02)
