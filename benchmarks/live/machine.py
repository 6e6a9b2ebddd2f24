"""What processes use, as Linux counts it: CPU time and memory."""

from collections.abc import Iterable
from pathlib import Path

import psutil


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes have used so far, in user mode and for them in the kernel."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, its children, and its children that have ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # counted by its parent once that has waited for it
        total += times.user + times.system + times.children_user + times.children_system
    return total


def own_bytes(pid: int) -> int:
    """Return a process's memory in bytes: what it shares with others counts by its share (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"The kernel does not tell the memory of process {pid}.")
