"""A progress bar that stays whole while workers log: by tqdm, or by Rich with `--bar rich`.

Bar and handler are both in the parent, so tqdm's and Rich's own handlers write the workers' lines above the bar, as
they do the parent's. Nothing is set up in the workers. It needs `pip install tqdm rich`.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from concurrent.futures import as_completed
from math import isqrt

from logpool import LoggingProcessPoolExecutor

LIMITS = range(10_000, 130_000, 10_000)

log = logging.getLogger("primes")


def count_primes(limit: int) -> int:
    """Counts the primes below a limit: one job. Runs in a worker."""
    log.info("counting below %d", limit)
    count = sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in range(2, limit))
    if limit % 50_000 == 0:
        log.warning("%d was a large one", limit)
    return count


def with_tqdm() -> int:
    """Runs the jobs under a bar of tqdm's."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    logging.basicConfig(level="INFO", format="%(levelname)-8s %(processName)s %(message)s")
    with logging_redirect_tqdm(), LoggingProcessPoolExecutor(2) as executor:
        futures = [executor.submit(count_primes, limit) for limit in LIMITS]
        return sum(future.result() for future in tqdm(as_completed(futures), "primes", len(futures)))


def with_rich() -> int:
    """Runs the jobs under a bar of Rich's."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import Progress

    console = Console(stderr=True)
    logging.basicConfig(level="INFO", format="%(processName)s %(message)s", handlers=[RichHandler(console=console)])
    with Progress(console=console) as progress, LoggingProcessPoolExecutor(2) as executor:
        futures = [executor.submit(count_primes, limit) for limit in LIMITS]
        return sum(
            future.result() for future in progress.track(as_completed(futures), len(futures), description="primes")
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bar", choices=["tqdm", "rich"], default="tqdm", help="whose bar is shown")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    print(with_rich() if arguments.bar == "rich" else with_tqdm(), "primes were found")
