"""Which context variables the job has set that this worker runs.

A worker runs its jobs in one context, as a thread of a `ThreadPoolExecutor` does. What was set before the job began, by
an earlier one say, isn't the job's. Each thread has a context of its own: what a job's thread has set is the job's.
"""

from __future__ import annotations

from contextvars import Context, copy_context

from logpool._process.hints import Any
from logpool._record.label import Values

_before = Context()
"""The context in which the job began, or the worker."""

_UNSET: Any = object()


def begin() -> None:
    """Note the context in which a job begins, or the worker."""
    global _before
    _before = copy_context()


def own_values() -> Values:
    """Return the variables that the job has set, with their values. As a rule, none."""
    return values_since(_before)


def values_since(before: Context) -> Values:
    """Return the variables that have been set since a copy of the context was made, with their values.

    One that was set to the very object that was there before isn't known to be set.
    """
    context = copy_context()
    if not context:
        return []
    # By identity, which costs no call of the values' methods, and tells a value from another that is equal to it.
    return [item for item in context.items() if before.get(item[0], _UNSET) is not item[1]]
