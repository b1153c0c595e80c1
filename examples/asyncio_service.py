"""An asyncio service that hands its work to a process pool: each line has the id of its request, also a worker's.

The id is in a context variable of the parent's. A filter of the parent's handler writes it into each record, and runs
in the context in which the job was submitted. The jobs know nothing of it.

The program starts the service on a free port, sends it five requests at once, prints the answers, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import multiprocessing
import sys
from contextvars import ContextVar
from math import isqrt

from logpool import LoggingProcessPoolExecutor

request_id: ContextVar[str] = ContextVar("request_id", default="-")
request_ids = (f"request-{number}" for number in itertools.count(1))

service_log = logging.getLogger("service")
job_log = logging.getLogger("service.primes")


class AddRequestId(logging.Filter):
    """Gives each record the id of the request that it belongs to. Runs in the parent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Sets the attribute, and lets the record pass."""
        record.request_id = request_id.get()
        return True


def count_primes(limit: int) -> int:
    """Counts the primes below a limit: one job. Runs in a worker."""
    job_log.info("counting below %d", limit)
    count = sum(all(number % divisor for divisor in range(2, isqrt(number) + 1)) for number in range(2, limit))
    job_log.info("%d primes below %d", count, limit)
    return count


class Service:
    """Answers each line that has a number with how many primes there are below it."""

    def __init__(self, executor: LoggingProcessPoolExecutor) -> None:
        self.executor = executor

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handles a connection, which asyncio does in a task of its own, and so in a context of its own."""
        request_id.set(next(request_ids))
        limit = int(await reader.readline())
        service_log.info("asked for %d", limit)
        count = await asyncio.get_running_loop().run_in_executor(self.executor, count_primes, limit)
        service_log.info("answering %d", count)
        writer.write(b"%d\n" % count)
        await writer.drain()
        writer.close()


async def ask(port: int, limit: int) -> int:
    """Sends a request, and returns the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"%d\n" % limit)
    answer = int(await reader.readline())
    writer.close()
    return answer


async def main() -> None:
    """Runs the service, and asks it. Runs in the parent."""
    with LoggingProcessPoolExecutor(2) as executor:
        async with await asyncio.start_server(Service(executor).handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            print(await asyncio.gather(*(ask(port, limit) for limit in (10, 100, 1000, 5000, 10_000))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(AddRequestId())
    handler.setFormatter(logging.Formatter("[%(request_id)s] %(processName)s %(name)s %(message)s"))
    logging.basicConfig(level="INFO", handlers=[handler])
    asyncio.run(main())
