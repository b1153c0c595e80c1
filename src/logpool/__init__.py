"""Log records of a process pool's workers, handled by the parent process as if it had logged them itself."""

from __future__ import annotations

from logpool._process.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpool.executor import LoggingProcessPoolExecutor
    from logpool.relay import LogRelay

_MODULES = {"LoggingProcessPoolExecutor": "logpool.executor", "LogRelay": "logpool.relay"}

__all__ = ["LogRelay", "LoggingProcessPoolExecutor"]


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
    return [*globals(), *__all__]
