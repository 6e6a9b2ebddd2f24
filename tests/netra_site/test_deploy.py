"""What `deploy/` names exists: commands and their options, variables, files; and systemd takes the units."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from netra_site.env import BASE_DIR, Environment
from tests.servers import ServerProcess

DEPLOY = BASE_DIR / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in {".service", ".target"})
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KNOWN = set(Environment.model_fields)
OF_COMPOSE = {"DATABASE_PASSWORD", "POSTGRES_PASSWORD"}
OF_PROVIDERS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
ENTRY_POINT = DEPLOY / "container" / "entrypoint.sh"
CHECK_HEALTH = DEPLOY / "container" / "check_health.py"


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def manage_commands() -> Iterator[list[str]]:
    """Yield the arguments of manage.py wherever one is run."""
    for path in UNITS:
        if command := unit(path).get("Service", "ExecStart", fallback=""):
            yield command.split("manage.py ")[1].replace("%i", "8000").split()
    for line in re.findall(r"exec python manage\.py ([a-z].*?) ;;", ENTRY_POINT.read_text()):
        yield line.replace('"${PORT:-8000}"', "8000").split()


@pytest.mark.parametrize("arguments", list(manage_commands()), ids=" ".join)
def test_each_command_takes_its_arguments(arguments: list[str]) -> None:
    name, *options = arguments
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(options)


def test_the_lists_of_variables_are_those_that_netra_reads() -> None:
    def assigned(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE))

    assert set(assigned(BASE_DIR / ".env.example")) == KNOWN
    values = assigned(DEPLOY / "systemd" / "netra.env.example")
    assert set(values) <= KNOWN | OF_PROVIDERS
    Environment(_env_file=None, **values)  # type: ignore[arg-type]

    set_by_image = set(re.findall(r"([A-Z_]+)=", (DEPLOY / "Containerfile").read_text()))
    assert set_by_image - {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PORT"} <= KNOWN
    asked_for = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked_for <= KNOWN | OF_COMPOSE | OF_PROVIDERS
    for service in netra_services().values():
        assert set(service["environment"]) <= KNOWN | OF_PROVIDERS
        for name, value in service["environment"].items():
            if default := re.fullmatch(r"\$\{[A-Z_]+:-(\d+)\}", str(value)):
                assert int(default[1]) == Environment.model_fields[name].default
    scripts = (DEPLOY / "container" / "create_role.sh").read_text()
    given = set(COMPOSE["services"]["postgres"]["environment"]) | {"POSTGRES_USER"}
    assert set(re.findall(r"\$\{?([A-Z_]+)", scripts)) <= given


def netra_services() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in COMPOSE["services"].items() if service["image"] == "netra"}


def test_the_compose_file_runs_what_it_says_in_order() -> None:
    services = netra_services()
    roles = {name: service["command"] for name, service in services.items()}
    assert roles == {
        "migrate": ["migrate"],
        "web-1": ["web"],
        "web-2": ["web"],
        "worker-1": ["worker"],
        "worker-2": ["worker"],
    }
    for name, service in services.items():
        assert (BASE_DIR / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
        waits = service["depends_on"]
        assert set(waits) <= set(COMPOSE["services"])
        assert name == "migrate" or waits["migrate"] == {"condition": "service_completed_successfully"}
    for volume in COMPOSE["services"]["postgres"]["volumes"]:
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file()


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_a_worker_is_given_the_time_that_its_graceful_stop_takes() -> None:
    grace = Environment.model_fields["NETRA_STOP_GRACE_S"].default
    worker = unit(DEPLOY / "systemd" / "netra-worker@.service")["Service"]
    assert worker["KillSignal"] == "SIGTERM"
    assert worker["Restart"] == "always"
    given = [seconds(worker["TimeoutStopSec"])]
    for name, service in netra_services().items():
        if name.startswith("worker"):
            assert service["environment"]["NETRA_STOP_GRACE_S"] == f"${{NETRA_STOP_GRACE_S:-{grace}}}"
            given.append(seconds(service["stop_grace_period"]))
    assert min(given) >= grace + 15


def test_the_image_is_made_of_what_is_there_and_runs_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    wanted = [line.split()[1] for line in lines if line.startswith("COPY")]
    kept = {line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()}
    for name in wanted:
        assert (BASE_DIR / name).exists()
        assert name in kept
    assert [line for line in lines if line.startswith("FROM")] == ["FROM python:3.11-slim"]
    assert "USER netra" in lines
    for path in re.findall(r"deploy/[\w/.]+", "\n".join(line for line in lines if not line.startswith("#"))):
        assert (BASE_DIR / path).exists()
    for script in (ENTRY_POINT, DEPLOY / "container" / "create_role.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = "/opt/netra/.venv/bin/python"
    for path in UNITS:
        text = path.read_text()
        if path.suffix == ".service":
            assert program in text
        text = text.replace(program, sys.executable).replace("/opt/netra", str(BASE_DIR))
        (tmp_path / path.name.replace("@.", "@8000.")).write_text(text)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        check=False,
    )
    words = [line for line in result.stderr.splitlines() if str(tmp_path) in line or "netra" in line]
    assert (result.returncode, words) == (0, [])


def test_the_health_check_of_the_image_asks_the_web_process(server: ServerProcess) -> None:
    def check(port: str) -> int:
        environment = os.environ | {"PORT": port, "ALLOWED_HOSTS": "localhost,127.0.0.1"}
        command = [sys.executable, str(CHECK_HEALTH)]
        return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode

    assert check(server.url.rsplit(":", 1)[1]) == 0
    assert check("1") != 0
