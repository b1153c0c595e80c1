"""Log records of a process pool's workers, handled by the parent process as if it had logged them itself.

`LoggingProcessPoolExecutor` is a `concurrent.futures.ProcessPoolExecutor`. `LogRelay` serves any other pool or process
of `multiprocessing`. `JobFuture`, `LogQueue` and `RelayListener` are what these return: names for annotations.
"""

from __future__ import annotations

from logpool._process.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpool._parent.jobs import JobFuture
    from logpool._parent.listener import RelayListener
    from logpool._transport.queue import LogQueue
    from logpool.executor import LoggingProcessPoolExecutor
    from logpool.relay import LogRelay

__version__ = "0.1.0"

__all__ = ["JobFuture", "LogQueue", "LogRelay", "LoggingProcessPoolExecutor", "RelayListener"]

_MODULES = {
    "JobFuture": "logpool._parent.jobs",
    "LogQueue": "logpool._transport.queue",
    "LogRelay": "logpool.relay",
    "LoggingProcessPoolExecutor": "logpool.executor",
    "RelayListener": "logpool._parent.listener",
}


def __getattr__(name: str) -> Any:
    # As `concurrent.futures` does it: a worker imports this package for what it needs itself, and is started sooner
    # without what only a parent needs.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
