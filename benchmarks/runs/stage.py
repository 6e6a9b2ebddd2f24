"""Where it takes place: the services, those who ask, and the workers."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe

from benchmarks.live.commands import Helper
from benchmarks.live.stage import Backstage, backstage
from benchmarks.runs.script import SECONDS_VARIABLE

RUNS_A_USER = 10
"""That many, a user of the largest tier may have at work at once."""


@dataclass(kw_only=True)
class RunStage:
    """Services with an empty database, and a process that asks on behalf of users."""

    behind: Backstage
    environment: dict[str, str]
    askers: Helper
    _asked: int = field(default=0)

    def ask(self, count: int) -> dict[str, float]:
        """Have so many runs admitted; return them, and the monotonic times at which that was committed."""
        users = [(self._asked + number) // RUNS_A_USER for number in range(count)]
        self._asked += count
        self.behind.add_users(users[-1] + 1)
        first = users[0]
        found = self.behind.people.ask("ids", first=first, count=users[-1] + 1 - first)
        user_ids = [found[user - first]["user_id"] for user in users]
        started: dict[str, float] = self.askers.ask("start", user_ids=user_ids)
        return started

    def process_environment(self, name: str) -> dict[str, str]:
        """Return the environment of a process that PostgreSQL shall know by `name`."""
        return os.environ | self.environment | {"PGAPPNAME": name}

    @contextmanager
    def worker(self, name: str, *, model_seconds: float = 0.0) -> Iterator[Helper]:
        """Yield a worker that takes no jobs yet, and ends with the block."""
        environment = self.environment | {SECONDS_VARIABLE: str(model_seconds), "PGAPPNAME": name}
        with Helper(
            "benchmarks.runs.worker", log=self.behind.folder / f"{name}.log", environment=environment
        ) as worker:
            yield worker


@contextmanager
def run_stage() -> Iterator[RunStage]:
    """Yield a stage whose processes end with the block."""
    with ExitStack() as stack:
        behind = stack.enter_context(backstage())
        environment = behind.environment | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.runs.settings",
            "REDIS_URL": behind.redis_url,
            # As in production: Django notes every statement where it is on.
            "DEBUG": "0",
            "SECRET_KEY": token_urlsafe(64),
        }
        askers = stack.enter_context(
            Helper(
                "benchmarks.runs.askers",
                log=behind.folder / "askers.log",
                environment=environment | {"PGAPPNAME": "askers"},
            )
        )
        yield RunStage(behind=behind, environment=environment, askers=askers)


def check_completed(ended: dict[str, str]) -> None:
    """Check that every run ended with an answer.

    Raises:
        RuntimeError: when one did not.
    """
    others = {run_id: kind for run_id, kind in ended.items() if kind != "agent_completed"}
    if others:
        raise RuntimeError(f"{len(others)} of {len(ended)} runs did not complete: {others}")
