"""The names that distributed doesn't document, and that are used here: each with the reason, and a test of its own.

They are those of distributed from 2024.2 on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from distributed import Client


def set_graph_hook(owner: Any, around: Callable[[Callable[..., Any]], Any]) -> Callable[[], None]:
    """Have all graphs that a client sends pass through a function: `submit`, `map`, `compute`, `persist` and others.

    `Client._graph_to_futures` is the one place that all tasks pass on their way to the scheduler, in the thread that
    submits them. Nothing public is called there.

    Args:
        owner: A client; or the class, for all of them.
        around: Called with a function that sends a graph.

    Returns:
        What undoes it.
    """

    def make(send: Callable[..., Any]) -> Callable[..., Any]:
        def graph_to_futures(*args: Any, **kwargs: Any) -> Any:
            return around(functools.partial(send, *args, **kwargs))

        return graph_to_futures

    return _replace(owner, "_graph_to_futures", make)


def set_connection_hooks(
    client: Client,
    *,
    lost: Callable[[], object],
    restored: Callable[[], Awaitable[object]],
    closed: Callable[[], object],
) -> Callable[[], None]:
    """Have functions called when a client's connection to the scheduler is lost, is there again, or is closed.

    `Client._reconnect` runs where the connection is found lost, and `Client._close` at every end. A client's public
    `status` tells the same, but only if it is asked again and again.

    Args:
        client: The client.
        lost: Called in the client's loop, before it connects again.
        restored: Called in the client's loop in a task of its own, when it has connected again.
        closed: Called in the client's loop.

    Returns:
        What undoes it.
    """
    tasks = set()

    def around_reconnect(reconnect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            lost()
            result = await reconnect(*args, **kwargs)
            if client.status == "running":
                # Not awaited: the caller reads the stream, and with it the answers.
                task = asyncio.ensure_future(restored())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            return result

        return call

    def around_close(close: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            closed()
            return await close(*args, **kwargs)

        return call

    undo = contextlib.ExitStack()
    undo.callback(_replace(client, "_reconnect", around_reconnect))
    undo.callback(_replace(client, "_close", around_close))
    return undo.close


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Replace a method by what is made of it. What undoes that leaves alone what others have put there since."""
    was_there = name in vars(owner)
    before = getattr(owner, name)
    new = functools.wraps(before)(make(before))
    setattr(owner, name, new)

    def undo() -> None:
        if vars(owner).get(name) is new:
            if was_there:
                setattr(owner, name, before)
            else:
                delattr(owner, name)

    return undo


def set_execute_hook(worker: Any, around: Callable[..., Awaitable[Any]]) -> Callable[[], None]:
    """Have a worker run each task by a function, in whose context the task runs.

    `Worker.execute` is documented as what runs a task, but not as something to be replaced. A plugin's `transition`
    can't set context variables for the task, and can't let the message that it is done wait.

    Args:
        worker: The worker.
        around: Called with `execute`, the task's key, and what else that takes.

    Returns:
        What undoes it.
    """
    return _replace(worker, "execute", lambda execute: functools.partial(around, execute))


def annotations_of(worker: Any, key: Any) -> dict[str, Any]:
    """Return a task's annotations, in its worker."""
    state = worker.state.tasks.get(key)
    return (state.annotations if state is not None else None) or {}


def send_to_scheduler(client: Client, message: dict[str, Any]) -> None:
    """Put a message into a client's stream, from any thread. If the connection is lost, it is dropped.

    There is no public way to use the stream, which has its place behind all that the client has sent before.

    Raises:
        Exception: The client is closed.
    """
    client._send_to_scheduler(message)
