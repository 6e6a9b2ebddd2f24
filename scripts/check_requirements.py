"""Check, without a network, that the pinned requirements*.txt still fit what requirements*.in ask for."""

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;]+)")


def find_problems() -> list[str]:
    """Return a line for each requirement without a fitting pin, and for each pin the files differ in."""
    problems = []
    pins = {name: _read_pins(ROOT / f"{name}.txt") for name in ("requirements", "requirements-local")}
    for name, pinned in pins.items():
        for line in (ROOT / f"{name}.in").read_text().splitlines():
            text = line.split("#")[0].strip()
            if not text or text.startswith("-"):
                continue
            requirement = Requirement(text)
            versions = pinned.get(canonicalize_name(requirement.name), set())
            if not versions or not all(requirement.specifier.contains(version) for version in versions):
                problems.append(f"{name}.txt has no version of {requirement}")
    for package, versions in pins["requirements"].items():
        if pins["requirements-local"].get(package) != versions:
            problems.append(f"requirements-local.txt pins another {package} than requirements.txt")
    return problems


def _read_pins(path: Path) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if match := PIN.match(line):
            pins.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return pins


if __name__ == "__main__":
    if found := find_problems():
        sys.exit("\n".join([*found, "Run `make lock`."]))
