"""The processes of a PostgreSQL cluster, recognised by where they work and not by a number in a file."""

import os
from pathlib import Path

import psutil


def find_server_processes(data: Path) -> list[int]:
    """Return the ids of the PostgreSQL processes, postmaster or its children, that work on `data`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.name() == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and (place := _place(process))
                and os.path.samefile(place, data)
            ):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue  # it has ended, or is another account's and thus not of our data
    return found


def _place(process: psutil.Process) -> str | None:
    try:
        # PostgreSQL enters its data folder first of all and never leaves it
        return str(process.cwd())
    except psutil.AccessDenied:
        # root without CAP_SYS_PTRACE, as in most containers; the postmaster's arguments everyone may read
        arguments = process.cmdline()
        return arguments[arguments.index("-D") + 1] if "-D" in arguments[:-1] else None
