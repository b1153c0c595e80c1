"""structlog in the parent and in the workers: one JSON object a line, with what the parent has bound for the job.

structlog is configured when the module is imported, and so in each process. The handler is set up in the parent alone.
What looks at context variables (`merge_contextvars`) belongs into the handler's formatter, which runs in the parent, in
the context in which the job was submitted. It needs `pip install structlog`.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars

from logpool import LoggingProcessPoolExecutor

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)

log = structlog.get_logger("shop")


def ship(order: int) -> None:
    """Ships an order: one job. Runs in a worker."""
    of_order = log.bind(order=order)
    of_order.info("shipping", parcels=[1, 2])
    try:
        1 // (order - 2)
    except ZeroDivisionError:
        of_order.exception("cannot be shipped")


def configure_logging() -> None:
    """Sets up the handler, in the parent alone."""
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(["jobId", "processName"]),
            structlog.processors.dict_tracebacks,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level="INFO", handlers=[handler])


def main() -> None:
    """Runs the jobs. Runs in the parent."""
    configure_logging()
    with LoggingProcessPoolExecutor(2) as executor:
        futures = []
        for order, customer in enumerate(["ada", "bob", "eve"], 1):
            with bound_contextvars(customer=customer):
                log.info("taken", order=order)
                futures.append(executor.submit(ship, order))
        for future in futures:
            future.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="how workers start")
    arguments = parser.parse_args()
    if arguments.start_method is not None:
        multiprocessing.set_start_method(arguments.start_method)
    main()
