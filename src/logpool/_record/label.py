"""Labels: what the parent is to know of a record besides the record: its job, and the job's context variables.

A plain record of a job needs none: its `jobId` is the job's number, and the job has set no context variable. A label
goes before a record that came from another pool, inside the job, and has that pool's `jobId`; and before each record
that is logged where the job has set context variables.

A context variable is known by its place, a module and a name in it, because it has no identity that another process
knows. One that is in no module stays in its process.
"""

from __future__ import annotations

import contextlib
import marshal
import pickle
import sys
from collections.abc import Iterable
from contextvars import ContextVar

from logpool._process.hints import Any
from logpool._record.fields import PLAIN, parents_module

Place = tuple[str, str]
"""Of a context variable: the module's name, and the variable's name in it."""

Values = list[tuple[ContextVar[Any], object]]
"""Context variables with their values."""

_places: dict[ContextVar[Any], Place | None] = {}
"""Of all variables that were looked for; None: it is in no module. They are few, and as a rule there for good."""


def place_of(variable: ContextVar[Any]) -> Place | None:
    """Return where a context variable is; None: in no module."""
    try:
        return _places[variable]
    except KeyError:
        place = _places[variable] = _find(variable)
        return place


def _find(variable: ContextVar[Any]) -> Place | None:
    # Copies, as another thread may import something.
    modules = [(name, vars(module)) for name, module in sys.modules.copy().items() if hasattr(module, "__dict__")]
    for name, names in modules:
        if names.get(variable.name) is variable:
            return parents_module(name), variable.name
    for name, names in modules:
        for key, value in names.copy().items():
            if value is variable:
                return parents_module(name), key
    return None


def make_label(job: int | None, values: Values) -> bytes:
    """Make a label. Runs in the worker.

    Args:
        job: The job's number; None: the record belongs to no job.
        values: What the job has set. What is in no module, or can't be pickled, is left out.
    """
    packed = []
    for variable, value in values:
        place = place_of(variable)
        if place is None:
            continue
        if type(value) in PLAIN:
            packed.append((*place, value, False))
        else:
            try:
                packed.append((*place, pickle.dumps(value, pickle.HIGHEST_PROTOCOL), True))
            except Exception:  # Then the parent has the value of the submit.
                continue
    return marshal.dumps((job, packed))


def read_label(label: bytes | memoryview) -> tuple[int | None, Values]:
    """Read a label. Runs in the parent.

    Returns:
        The job's number, and those of the variables that are in this process as well, with their values.
    """
    loaded: tuple[int | None, Iterable[tuple[str, str, Any, bool]]] = marshal.loads(label)
    job, packed = loaded
    values: Values = []
    for module, name, value, is_pickled in packed:
        variable = getattr(sys.modules.get(module), name, None)
        if isinstance(variable, ContextVar):
            # Not only Exception: a class's SystemExit would end the thread that handles all records.
            with contextlib.suppress(BaseException):
                values.append((variable, pickle.loads(value) if is_pickled else value))
    return job, values
