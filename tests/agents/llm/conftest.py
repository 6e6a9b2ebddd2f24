"""Teams of offline agents on real logs where they are on the machine, and on small logs written here."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agents.datasets import DatasetSource, import_file
from tests.agents.llm.team import Team

CONV = "azure_llm_trace_2023_conv.csv"
MOONCAKE = "mooncake_conversation_trace.jsonl"

MakeTeam = Callable[..., Team]


def open_team(
    folder: Path, files: Sequence[tuple[str, Path | str, str | None]], *, failing: Sequence[str] = ()
) -> Team:
    """Import `files` (name, path or text, assumed model; newest first), and give the team that has them."""
    sources, imported = [], []
    for number, (name, content, assumed_model) in enumerate(files):
        path = content if isinstance(content, Path) else folder / name
        if isinstance(content, str):
            path.write_text(content)
        stored = folder / f"{number}.parquet"
        facts = import_file(path, stored, filename=name)
        imported.append(facts)
        sources.append(
            DatasetSource(
                id=f"{number:08d}-0000-7000-8000-000000000000",
                name=name,
                path=stored,
                assumed_model=assumed_model,
                time_is_relative=facts.time_is_relative,
                format=facts.format,
                notes=facts.notes,
            )
        )
    return Team(sources, imported, failing=failing)


@pytest.fixture
def make_team(tmp_path: Path) -> Iterator[MakeTeam]:
    """Make teams with datasets written by the test."""
    teams: list[Team] = []

    def run(*files: tuple[str, Path | str, str | None], failing: Sequence[str] = ()) -> Team:
        folder = tmp_path / str(len(teams))
        folder.mkdir()
        teams.append(open_team(folder, files, failing=failing))
        return teams[-1]

    yield run
    for team in teams:
        team.session.close()


@pytest.fixture(scope="session")
def conv(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Iterator[Team]:
    """The real conversation log, with gpt-4o assumed; asking changes nothing in it."""
    team = open_team(tmp_path_factory.mktemp("conv"), [(CONV, logs / CONV, "gpt-4o")])
    yield team
    team.session.close()


@pytest.fixture(scope="session")
def mooncake(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Iterator[Team]:
    """The real log with prefix hashes, with gpt-4o assumed."""
    team = open_team(tmp_path_factory.mktemp("mooncake"), [(MOONCAKE, logs / MOONCAKE, "gpt-4o")])
    yield team
    team.session.close()


@pytest.fixture
def mixed(make_team: MakeTeam) -> Team:
    """Twenty days of three models, one of them without a list price, and two projects."""
    return make_team(("mixed.csv", mixed_log(), None))


@pytest.fixture
def unnamed(make_team: MakeTeam) -> Team:
    """A small log that names no model, and none is assumed."""
    return make_team(("calls.csv", small_log(), None))


def mixed_log() -> str:
    """Write a log of 240 requests: one every two hours."""
    models = ("gpt-4o", "claude-sonnet-4-5", "house-model-7b")
    rows = [
        f"2026-03-{1 + number // 12:02d}T{2 * (number % 12):02d}:00:00Z,{models[number % 3]},"
        f"{1_000 + 7 * number},{100 + number},{('search', 'chat')[number % 2]}"
        for number in range(240)
    ]
    return "\n".join(["timestamp,model,input_tokens,output_tokens,project", *rows])


def small_log() -> str:
    """Write a log of 30 requests, one a minute."""
    rows = [
        f"2026-03-01T10:{number:02d}:00Z,{100 * (number + 1)},{10 * (number + 1)}" for number in range(30)
    ]
    return "\n".join(["timestamp,input_tokens,output_tokens", *rows])
