"""Log records of a process pool's workers, handled by the parent process as if it had logged them itself."""

from __future__ import annotations

from logpool.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpool.executor import LoggingProcessPoolExecutor
    from logpool.relay import LogRelay

__all__ = ["LogRelay", "LoggingProcessPoolExecutor"]


def __getattr__(name: str) -> Any:
    # As `concurrent.futures` does it: a worker imports this package for what it needs itself, and is started sooner
    # without what only a parent needs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from multiprocessing import process

    from logpool import executor

    globals()["LoggingProcessPoolExecutor"] = executor.LoggingProcessPoolExecutor
    if name == "LogRelay" or process.parent_process() is None:
        from logpool import relay

        globals()["LogRelay"] = relay.LogRelay
    return globals()[name]


def __dir__() -> list[str]:
    return [*globals(), *__all__]
