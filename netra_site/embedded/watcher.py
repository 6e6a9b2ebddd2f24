"""Stop a shared service when its last holder has ended, however it ended.

Run as a program of its own (`python watcher.py JSON`), by path and with the standard library alone,
so that it starts in a moment and outlives whoever started it. A holder keeps a shared lock on a
file; the kernel drops that lock when the holder ends, even by `kill -9`, and only then is the
exclusive lock that the watcher waits for granted. No list of process ids can go stale.
"""

import fcntl
import glob
import json
import os
import shutil
import subprocess
import sys
from typing import Any


def watch(
    *,
    holders: str,
    lock: int,
    stop: list[list[str]],
    options: dict[str, Any],
    folder: str,
    links: str,
    delete: bool,
) -> None:
    """Wait for the last holder, then run the `stop` commands until one succeeds, and tidy up.

    `holders` is the path of the lock file, `lock` the descriptor that says a watcher is here,
    `options` are arguments of `subprocess.run`, `links` is the pattern of the short names of
    `folder`, which are removed; with `delete` the folder is removed too.
    """
    descriptor = os.open(holders, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for command in stop:
        if subprocess.run(command, stdin=subprocess.DEVNULL, cwd="/", check=False, **options).returncode == 0:
            break
    for link in glob.glob(links):
        _remove(link, folder)
    if delete:
        shutil.rmtree(folder)
    # in this order: who gets the holders' lock next must find that nobody watches
    os.close(lock)
    os.close(descriptor)


def _remove(link: str, folder: str) -> None:
    try:
        if os.readlink(link) == folder:
            os.unlink(link)
    except OSError as error:
        # another account's, who joined the service
        sys.stderr.write(f"The short name {link} stays: {error.strerror}\n")


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    # a session of its own: Ctrl-C in a terminal goes to the terminal's process group, not to this one
    os.setsid()
    watch(**json.loads(sys.argv[1]))
