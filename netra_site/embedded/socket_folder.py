"""Short names for folders whose own path a Unix socket, libpq or PostgreSQL's tools cannot take."""

import hashlib
import os
import re
from pathlib import Path

from netra_site.embedded.errors import EmbeddedServiceError

SOCKET_PATH_BYTES = 103
"""Longest path of a Unix socket that every system takes (`sun_path`: 104 bytes on macOS, 108 on Linux)."""
SHELL_SIGNS = re.compile(r'["$`\\\x00-\x1f\x7f]')
"""What does not survive PostgreSQL's `initdb` and `pg_ctl`, which quote paths for a shell with `"…"`."""

# the same for every process, whatever its TMPDIR, and open to every account
_LINKS = Path("/tmp")  # noqa: S108


def socket_folder(folder: Path, name: str) -> Path:
    """Return a path of `folder` by which all programs reach the socket `name` below it: itself, or a link.

    The rights of `folder` stay the access control. Call inside `hold`; the watcher removes the link.

    Raises:
        EmbeddedServiceError: someone else's file has the link's name.
    """
    # a comma separates hosts for libpq
    if (
        len(os.fsencode(folder / name)) <= SOCKET_PATH_BYTES
        and "," not in str(folder)
        and not SHELL_SIGNS.search(str(folder))
    ):
        return folder
    # one for each account: Linux lets an account follow, in /tmp, its own links only
    link = Path(link_pattern(folder).replace("*", str(os.geteuid())))
    if not os.path.lexists(link):
        link.symlink_to(folder)
    if link.lstat().st_uid != os.geteuid() or not link.is_symlink() or link.readlink() != folder:
        raise EmbeddedServiceError(
            f"The path {folder} is too long for a Unix socket, or has signs that PostgreSQL cannot take, and "
            f'its short name {link} is taken. Set NETRA_DATA_DIR to a shorter path without , " $ ` and \\.'
        )
    return link


def link_pattern(folder: Path) -> str:
    """Return the pattern of all accounts' links to `folder`, with one `*`."""
    return str(_LINKS / f"netra-*-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}")
