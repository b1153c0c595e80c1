"""What the Linux kernel knows of a process: CPU time, context switches, memory."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Usage:
    """What processes have used since their start."""

    cpu: float = 0.0
    """Seconds."""
    voluntary: int = 0
    """Context switches because there was nothing to do, or a lock or a full buffer to wait for."""
    involuntary: int = 0
    """Context switches because another process had its turn."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.voluntary + other.voluntary, self.involuntary + other.involuntary)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu - other.cpu, self.voluntary - other.voluntary, self.involuntary - other.involuntary)


def usage(processes: Iterable[int]) -> Usage:
    """Returns what processes have used, all their living threads together.

    Args:
        processes: Their ids.
    """
    total = Usage()
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            try:
                status = _status(thread)
                # Exact to the nanosecond, where /proc/*/stat counts ticks of 10 ms.
                run_time = int((thread / "schedstat").read_text().split()[0])
            except OSError:  # It has just ended.
                continue
            total += Usage(
                run_time / 1e9, int(status["voluntary_ctxt_switches"]), int(status["nonvoluntary_ctxt_switches"])
            )
    return total


def machine_busy() -> float:
    """Returns for how many seconds, of all CPUs together, the machine has been busy with whatever it runs."""
    user, nice, system, _idle, _wait, hard, soft, *_ = Path("/proc/stat").read_text().split()[1:]
    ticks = sum(int(field) for field in (user, nice, system, hard, soft))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_memory(process: int) -> int:
    """Returns the bytes of a process that are in memory now.

    Args:
        process: Its id.
    """
    return _kilobytes(process, "VmRSS")


def peak_memory(process: int) -> int:
    """Returns the most bytes of a process that ever were in memory.

    Args:
        process: Its id.
    """
    return _kilobytes(process, "VmHWM")


def proportional_memory(process: int) -> int:
    """Returns the bytes of a process that are in memory now, shared ones divided by those that share them (PSS).

    Args:
        process: Its id.
    """
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def roles(pool: Executor) -> dict[str, list[int]]:
    """Returns the ids of all processes that are at work for a pool, by what they do.

    Args:
        pool: An executor of this process.
    """
    # There is no public way to tell a pool's workers from other children.
    workers = list(getattr(pool, "_processes", None) or {})
    children = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    others = [child for child in children if child not in workers]
    return {"parent": [os.getpid()], "manager": others, "workers": workers}


def usage_by_role(pool: Executor) -> dict[str, Usage]:
    """Returns what the processes of each role have used.

    Args:
        pool: An executor of this process.
    """
    return {role: usage(processes) for role, processes in roles(pool).items()}


def _status(directory: Path) -> dict[str, str]:
    lines = (directory / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _kilobytes(process: int, field: str) -> int:
    return int(_status(Path(f"/proc/{process}"))[field].removesuffix(" kB")) * 1024
