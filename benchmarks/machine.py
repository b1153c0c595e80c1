"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from benchmarks import ways


def describe() -> dict[str, str | dict[str, str]]:
    """Returns the machine, the system and the versions."""
    return {
        "processor": _processor(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": ways.versions(),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "date": time.strftime("%Y-%m-%d"),
    }


def caption(described: dict[str, str | dict[str, str]]) -> str:
    """Says the same in one line.

    Args:
        described: What `describe` returned.
    """
    packages = described["packages"]
    assert isinstance(packages, dict)
    return ", ".join(
        [
            f"{described['processor']}, {described['cpus']} CPUs",
            str(described["system"]),
            f"Python {described['python']}",
            *(f"{name} {version}" for name, version in packages.items()),
        ]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
