"""Comparing how fast sockets are opened: with and without finding out whose they are."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Stage, Variant, stage

AT_ONCE = 50


@dataclass(kw_only=True)
class Opening:
    """A manner of opening sockets, and how it went in each round."""

    name: str
    stage: Stage
    with_session: bool = False
    a_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """Python CPU of the server for each socket."""

    def measure(self, count: int, *, keep: bool) -> None:
        """Open and close `count` sockets, each of another user."""
        wanted = self.stage.wanted(0, count, with_session=self.with_session)
        before = self.stage.usage()
        opened = self.stage.connect(wanted, group="opening", at_once=AT_ONCE)
        usage = self.stage.usage().since(before)
        self.stage.client.ask("disconnect", group="opening")
        if keep:
            self.a_second.append(opened["opened"] / opened["seconds"])
            self.cpu_ms.append(usage.python * 1_000 / opened["opened"])


def compare_connects(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Open sockets, 50 at the same time."""
    behind.add_users(effort.connects)
    with ExitStack() as stack:

        def on_stage(application: str) -> Stage:
            return stack.enter_context(stage(Variant(application=application, server=server), behind))

        plain = on_stage("plain")
        openings = [
            Opening(name="bare ASGI, no sign-in", stage=on_stage("bare")),
            Opening(name="plain Channels, no sign-in", stage=plain),
            Opening(name="plain Channels, session cookie", stage=plain, with_session=True),
            Opening(name="Netra, bearer token", stage=on_stage("netra")),
        ]
        for number in range(1 + effort.rounds):
            for opening in openings:
                opening.measure(effort.connects, keep=number > 0)
    print(
        f"\n### Opening {effort.connects:,} sockets, {AT_ONCE} at once, on {server} (target: at least 0.70)\n"
    )
    print("| | sockets/s | to no sign-in | to session cookie | Python CPU a socket |")
    print("|---|---:|---:|---:|---:|")
    speeds = [median(opening.a_second) for opening in openings]
    for opening, speed in zip(openings, speeds, strict=True):
        print(
            f"| {opening.name} | {speed:,.0f} | {speed / speeds[1]:,.2f} | {speed / speeds[2]:,.2f} "
            f"| {median(opening.cpu_ms):,.2f} ms |",
            flush=True,
        )
