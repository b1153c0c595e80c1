"""The same jobs by this machine's process pool or, with `--scheduler`, by a Dask cluster. The output is the same.

    python examples/scale_out.py
    python examples/scale_out.py --scheduler tcp://127.0.0.1:8786

The second wants the extra `dask`, here and where the cluster's workers run.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from math import isqrt

from logpool import LoggingProcessPoolExecutor

LIMITS = [10, 1000, 5000, -1, 20000]

log = logging.getLogger("primes")


def count_primes(limit: int) -> int | None:
    """Counts the primes below a limit: one job. Runs in a worker."""
    log.debug("counting below %d", limit)
    try:
        count = sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in range(2, limit))
        share = count / isqrt(limit)
    except ValueError as error:
        log.warning("no result for %d: %s", limit, error)
        return None
    log.info("%d primes below %d, %.2f of the root", count, limit, share)
    return count


@contextlib.contextmanager
def make_executor(scheduler: str | None) -> Iterator[Executor]:
    """Makes what runs the jobs: all that differs."""
    if scheduler is None:
        with LoggingProcessPoolExecutor(2) as executor:
            yield executor
    else:
        from distributed import Client

        from logpool.dask import LoggingDaskExecutor

        with Client(scheduler) as client, LoggingDaskExecutor(client) as executor:
            yield executor


def main(scheduler: str | None) -> None:
    """Runs the jobs. Runs in the parent, or the client."""
    logging.basicConfig(stream=sys.stdout, format="%(levelname)-7s %(name)s, job %(jobId)s: %(message)s")
    log.setLevel(logging.DEBUG)
    with make_executor(scheduler) as executor:
        # One after the other, so that the lines have the same order each time.
        counts = [executor.submit(count_primes, limit).result() for limit in LIMITS]
    print("counts:", counts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--scheduler", help="a Dask scheduler's address; without it, this machine's process pool is used"
    )
    main(parser.parse_args().scheduler)
