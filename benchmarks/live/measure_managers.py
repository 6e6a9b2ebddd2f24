"""Showing that Netra keeps one manager for each user with a socket, and none for anyone else."""

from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Variant, stage

USERS = 100


def show_managers(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Open a socket for each of 100 users, and close them again."""
    variant = Variant(application="netra", server=server)
    with stage(variant, behind) as each:
        # what the process keeps from its first sockets on is not the managers'
        each.connect_idle(0, 1)
        each.client.ask("disconnect", group="idle")
        rows = [("before", each.managers(expected=0), 0)]
        before = each.server_bytes()
        each.connect_idle(0, USERS)
        rows.append(
            (f"with a socket for each of {USERS} users", each.managers(), each.server_bytes() - before)
        )
        each.client.ask("disconnect", group="idle")
        rows.append(("after they have left", each.managers(expected=0), each.server_bytes() - before))
    print(f"\n### Managers on {server} (targets: exactly {USERS}, under 50 MB, then none)\n")
    print("| | managers | sockets | the server's memory |")
    print("|---|---:|---:|---:|")
    for name, status, size in rows:
        print(
            f"| {name} | {status['managers']} | {status['connections']} | {size / 1e6:+,.1f} MB |", flush=True
        )
