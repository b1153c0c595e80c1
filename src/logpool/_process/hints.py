"""What annotations are made of, without the import of `typing`.

A spawned worker and the manager process import what they need before the first job can run, and nothing else of theirs
needs that module: 4 ms of 60. Nothing here means anything when the program runs.
"""

TYPE_CHECKING = False
"""As in `typing`: type checkers take it as true."""

if TYPE_CHECKING:
    from typing import Any
else:
    Any = object

__all__ = ["TYPE_CHECKING", "Any"]
