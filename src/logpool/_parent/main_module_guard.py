"""`main_module_guarded`: has logging switched off in a worker while it imports the main module again.

How that comes into the worker is in `_worker/inheritance.py`.
"""

from __future__ import annotations

import contextlib

from logpool._worker import inheritance


def main_module_guarded(start_method: str) -> contextlib.AbstractContextManager[None]:
    """Return what a thread enters while it starts processes of ours: they install nothing that they inherit.

    Args:
        start_method: By which they are started. Forked children don't import the main module.
    """
    if start_method == "forkserver":
        from multiprocessing import forkserver  # noqa: F401  # Which is to preload something else.
    return inheritance.starting_our_own(guarded=start_method != "fork")
