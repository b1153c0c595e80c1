"""Log records of a process pool's workers, handled by the parent process as if it had logged them itself."""

from logpool.executor import LoggingProcessPoolExecutor
from logpool.relay import LogRelay

__all__ = ["LogRelay", "LoggingProcessPoolExecutor"]
