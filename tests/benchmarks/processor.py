"""How long processes had a processor, from /proc: a fair measure on a machine that others use too."""

import os
from collections.abc import Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(pids: Sequence[int]) -> set[int]:
    """These processes and all that descend from them."""
    found: set[int] = set()
    open_pids = list(pids)
    while open_pids:
        pid = open_pids.pop()
        if pid in found:
            continue
        found.add(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                open_pids += [int(word) for word in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time of these processes and their descendants, those that ended included."""
    ticks = 0
    for pid in family(pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_S


def peak_memory_mb(pid: int) -> float:
    """The most memory a living process had so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
