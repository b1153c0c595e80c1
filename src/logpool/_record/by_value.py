"""`separate` and `restore`: how paths, dates and the like cross, among the arguments or in containers.

They are objects that pickle and print by nothing but plain values. So they cross as a text or a pickle in their place
among the plain ones, with the place noted beside.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterable

from logpool._process.hints import Any
from logpool._record.fields import PATH, PLAIN, is_by_value, is_path, is_plain

Place = tuple[Any, ...]
"""Where a value is: its key in a container, or its index; before it those of the containers that it is in."""


DEEPEST = 32
"""How deeply containers are nested at most. A container may be in itself."""


class OtherValueError(Exception):
    """There is a value that is neither plain nor by value, or is in a tuple or set that would have to be changed."""


def separate(container: Any, places: list[Place], place: Place = ()) -> Any:
    """Put plain values in the place of others. Runs in the worker.

    Args:
        container: A tuple, list or dict. It isn't changed.
        places: Gets the places.
        place: The container's own.

    Returns:
        A list or dict of nothing but plain values and such lists and dicts.

    Raises:
        OtherValueError: There are others than those that can be replaced, or it is nested too deeply.
    """
    made: Any
    pairs: Iterable[tuple[Any, Any]]
    if len(place) > DEEPEST:
        raise OtherValueError
    if type(container) is dict:
        made = container.copy()
        pairs = made.items()
    else:
        made = list(container)
        pairs = enumerate(made)
    for key, value in pairs:
        kind: Any = type(value)
        if type(key) not in PLAIN:
            raise OtherValueError
        if kind in PLAIN:
            continue
        if kind is dict or kind is list:
            made[key] = separate(value, places, (*place, key))
        elif is_path(kind):
            made[key] = str(value)
            places.append((*place, key))
        elif is_by_value(kind):
            made[key] = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            places.append((*place, key))
        elif not is_plain(value):
            raise OtherValueError
    return made


def restore(container: Any, places: list[Place]) -> None:
    """Put back what `separate` has replaced, into what it has returned. Runs in the parent."""
    for *way, last in places:
        inner = container
        for key in way:
            inner = inner[key]
        value = inner[last]
        inner[last] = make_path(value) if type(value) is str else pickle.loads(value)


LONGEST_KEPT = 512
"""Characters of a path that is kept for the next record that has it."""


def make_path(text: str) -> Any:
    """Return a path of this system: for equal texts, as they are logged again and again, the same one as a rule."""
    return _known_path(text) if len(text) <= LONGEST_KEPT else _path_class()(text)


@functools.lru_cache(maxsize=1024)
def _known_path(text: str) -> Any:
    return _path_class()(text)


@functools.cache
def _path_class() -> Any:
    import pathlib  # Here, as a program may have no paths.

    return getattr(pathlib, PATH)
