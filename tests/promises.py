"""A pytest plugin that tells after a run which promises of docs/architecture.md hold and what guards them."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
ROW = re.compile(r"^\|\s*(P\d+)\s*\|\s*(.+?)\s*\|\s*$", re.MULTILINE)


def read_promises() -> dict[str, str]:
    """Return the promises by name (`P1`), from the table of docs/architecture.md.

    Raises:
        pytest.UsageError: the document has no such table.
    """
    promises = dict(ROW.findall(DOCUMENT.read_text())) if DOCUMENT.exists() else {}
    if not promises:
        raise pytest.UsageError(f"{DOCUMENT} has no table of promises (| P1 | … |)")
    return promises


class PromiseReport:
    """Collects what became of the tests that guard each promise."""

    def __init__(self, promises: dict[str, str]) -> None:
        """Report on these promises, texts by name."""
        self._promises = promises
        self._guarded_by: dict[str, list[str]] = {}
        self._outcomes: dict[str, set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which promises each test guards; a test may guard several."""
        for item in items:
            names = [name for mark in item.iter_markers("mission_critical") for name in mark.args]
            if unknown := set(names) - set(self._promises):
                raise pytest.UsageError(
                    f"{item.nodeid} guards {', '.join(sorted(unknown))}, which nobody promised"
                )
            if names:
                self._guarded_by[item.nodeid] = names

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test's set-up, call and tear-down went; only the call can pass."""
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[report.nodeid].add(report.outcome)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run when a promise is broken, even if every test passed."""
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and self._broken():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        broken = self._broken()
        terminalreporter.section("promises")
        for name, text in self._promises.items():
            state = "BROKEN" if name in broken else "held"
            terminalreporter.write_line(
                f"{name}  {state:6}  {text}", red=name in broken, green=name not in broken
            )
            for test in self._tests_of(name):
                outcome = " and ".join(sorted(self._outcomes[test])) or "not run"
                terminalreporter.write_line(f"            {outcome:7} {test}")
            if not self._tests_of(name):
                terminalreporter.write_line("            no test guards it")
        terminalreporter.write_line(
            f"{len(self._promises) - len(broken)} of {len(self._promises)} promises held"
        )

    def _tests_of(self, name: str) -> list[str]:
        return sorted(test for test, names in self._guarded_by.items() if name in names)

    def _broken(self) -> set[str]:
        return {
            name
            for name in self._promises
            if not (tests := self._tests_of(name))
            or any(self._outcomes[test] != {"passed"} for test in tests)
        }


def pytest_configure(config: pytest.Config) -> None:
    """Join the run."""
    config.pluginmanager.register(PromiseReport(read_promises()), "promises")
