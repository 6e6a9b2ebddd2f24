"""The system account a bundled service runs as when root starts it; PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netra_site.embedded.errors import EmbeddedPostgresError

ACCOUNT_NAME = "netra-postgres"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A system account; both ids are None for "whoever runs this process"."""

    user_id: int | None = None
    group_id: int | None = None

    def subprocess_options(self) -> dict[str, Any]:
        """Return the arguments with which `subprocess` runs a program as this account."""
        if self.user_id is None:
            return {}
        return {"user": self.user_id, "group": self.group_id, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make `path` this account's."""
        if self.user_id is not None and self.group_id is not None:
            os.chown(path, self.user_id, self.group_id)

    def let_reach(self, path: Path) -> None:
        """Let this account pass through the folders above `path` (pass, not list)."""
        if self.user_id is None:
            return
        for folder in path.resolve().parents:
            status = folder.stat()
            if status.st_uid != self.user_id and not status.st_mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)

    def let_run(self, programs: Path) -> None:
        """Let this account read and run the installation whose `bin` folder is `programs`."""
        if self.user_id is None:
            return
        self.let_reach(programs)
        readable = stat.S_IROTH | stat.S_IXOTH
        if (programs / "postgres").stat().st_mode & readable == readable:
            return
        for path in [programs.parent, *programs.parent.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def choose_account(data: Path) -> Account:
    """Return the account that shall own the cluster in `data`: its present owner, else our own.

    Raises:
        EmbeddedPostgresError: `data` is someone else's, or root can make no account for it.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise EmbeddedPostgresError(
                f"The database in {data} belongs to the account {account_name(owner)}. Start Netra as the "
                "user who started it first, or set NETRA_DATA_DIR to a folder of your own."
            )
        return Account()
    if owner == 0:
        raise EmbeddedPostgresError(
            f"The database in {data} belongs to root, as whom PostgreSQL does not run. Give the folder to "
            "another account (chown -R), or set DATABASE_URL."
        )
    entry = pwd.getpwuid(owner) if owner is not None and _known(owner) else _service_account()
    return Account(user_id=owner if owner is not None else entry.pw_uid, group_id=entry.pw_gid)


def account_name(user_id: int | None) -> str:
    """Return the name of the account, or its number when the system knows no name."""
    return pwd.getpwuid(user_id).pw_name if user_id is not None and _known(user_id) else str(user_id)


def _known(user_id: int) -> bool:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _service_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        pass
    # the two spellings of the world: shadow-utils, and BusyBox
    for command in (
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", ACCOUNT_NAME],
        ["adduser", "-S", "-D", "-H", "-s", "/bin/false", ACCOUNT_NAME],
    ):
        if program := shutil.which(command[0], path=os.defpath + ":/usr/sbin:/sbin"):
            result = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
            if result.returncode == 0 or _named(ACCOUNT_NAME):
                return pwd.getpwnam(ACCOUNT_NAME)
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            break
    else:
        reason = "there is neither useradd nor adduser"
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the account {ACCOUNT_NAME} cannot be made: {reason}. "
        "Start Netra as an ordinary user, or set DATABASE_URL."
    )


def _named(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())
