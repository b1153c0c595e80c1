"""The example that runs the same jobs by a process pool and by a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from dask_cluster import cluster

CHECKOUT = Path(__file__).parent.parent
EXAMPLE = CHECKOUT / "examples" / "scale_out.py"


def run(cwd: Path, program: Path, *arguments: str) -> tuple[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_pool_and_a_cluster_give_the_same_output(tmp_path: Path) -> None:
    by_pool, pool_stderr = run(tmp_path, EXAMPLE)
    with cluster("a", "b") as made:
        by_cluster, cluster_stderr = run(tmp_path, EXAMPLE, "--scheduler", made.address)
    assert by_pool == by_cluster
    assert pool_stderr == cluster_stderr == ""
    assert by_pool.splitlines()[1] == "INFO    primes, job 1: 4 primes below 10, 1.33 of the root"
    assert "WARNING primes, job 4: no result for -1: isqrt() argument must be nonnegative" in by_pool
    assert by_pool.endswith("counts: [4, 168, 669, None, 2262]\n")
