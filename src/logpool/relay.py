"""`LogRelay`: hands the records of any pool's or process's workers to this process's logging.

Used in the parent, and by each child that is handed one. A child needs none of the parent's modules, so they are
imported when they are used.
"""

from __future__ import annotations

from logpool._process.hints import TYPE_CHECKING
from logpool._transport.wire import DEFAULT_BACKLOG

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext
    from types import TracebackType
    from typing import Self

    from logpool._parent.listener import RelayListener
    from logpool._parent.service import RelayService
    from logpool._transport.queue import LogQueue
    from logpool._worker.inheritance import Testament
    from logpool._worker.installation import Installation

NOT_STARTED = "the relay is not started: use it as a context manager, and start the children inside `with relay:`"

ENDED = "the relay has ended: start the children inside its `with` block, or make another LogRelay"


class LogRelay:
    """Has the records of child processes handled by this process, as if they had been logged here.

    For whatever starts processes by `multiprocessing`, in this module or in a library:

        import logging
        import multiprocessing
        from logpool import LogRelay

        def double(number):
            logging.getLogger("shop").info("doubling %d", number)
            return 2 * number

        if __name__ == "__main__":
            logging.basicConfig(filename="shop.log", level="INFO")
            with LogRelay(all_children=True), multiprocessing.Pool(4) as pool:
                print(pool.map(double, range(5)))

    Without `all_children`, only those children relay that are handed the relay and call `relay.install()`, as with
    `multiprocessing.Pool(4, initializer=relay.install)`.
    """

    def __init__(
        self,
        mp_context: BaseContext | None = None,
        *,
        handlers: Iterable[logging.Handler] | None = None,
        level: int | str | None = None,
        backlog: int = DEFAULT_BACKLOG,
        log_handlers: Iterable[logging.Handler] | None = None,
        log_level: int | str | None = None,
        log_backlog: int | None = None,
        all_children: bool = False,
    ) -> None:
        """Check the arguments. Nothing is started.

        Args:
            mp_context: The multiprocessing context to start the manager process with; None: the default one.
            handlers: Get every record that their level lets through; None: this process's loggers handle the records.
            level: The children's root level, a number or a name; None: this process's.
            backlog: Bytes that are held for a slow handler before processes that log wait.
            log_handlers: The executor's name of `handlers`. None: not given.
            log_level: The executor's name of `level`. None: not given.
            log_backlog: The executor's name of `backlog`. None: not given.
            all_children: Whether each child process that `multiprocessing` starts while the relay lives, for whatever
                pool or library, installs the relay before it does anything else, and its own children, too. Of several
                such relays it installs the innermost.

        Raises:
            TypeError: The context isn't one, a handler is no `logging.Handler`, the level is neither int nor str, the
                backlog no int, or one of them is given under both names.
            ValueError: The level is unknown, or the backlog not greater than 0.
        """
        from logpool._parent.arguments import only_one
        from logpool._parent.service import RelayService

        handlers = only_one("handlers", handlers, log_handlers, default=None)
        level = only_one("level", level, log_level, default=None)
        backlog = only_one("backlog", backlog, log_backlog, default=DEFAULT_BACKLOG)
        self._service: RelayService | None = RelayService(mp_context, handlers, level, backlog, is_hidden=all_children)
        self._installation: Installation | None = None
        self._all_children = all_children
        self._testament: Testament | None = None

    @property
    def queue(self) -> LogQueue:
        """The log queue, for `logging.handlers.QueueHandler` in a child, say.

        Raises:
            RuntimeError: The relay is not started.
        """
        return self._started().queue

    @property
    def listener(self) -> RelayListener:
        """The `logging.handlers.QueueListener` that hands the records to this process's logging.

        Raises:
            RuntimeError: The relay is not started; or this is a child, which has none.
        """
        self._started()
        if self._service is None or self._service.is_inherited:
            raise RuntimeError("the listener is in the process that made the relay: a child calls install() alone")
        return self._service.listener

    @property
    def install(self) -> Callable[[], None]:
        """The function that each child calls before it logs. It installs this process's levels and relays records.

        Called again in a child it changes nothing. Called in this process it changes nothing and logs a warning.

        Raises:
            RuntimeError: The relay is not started, or has ended in this process, which made it.
        """
        return self._for_children().install

    def _started(self) -> Installation:
        if self._installation is None:
            raise RuntimeError(NOT_STARTED)
        return self._installation

    def _for_children(self) -> Installation:
        installation = self._started()
        # In a child that was forked it is nothing that could break a job: the records go to stderr.
        if self._service is not None and self._service.has_ended and not self._service.is_inherited:
            raise RuntimeError(ENDED)
        return installation

    def __reduce__(self) -> tuple[Callable[[Installation], LogRelay], tuple[Installation]]:
        return _in_child, (self._for_children(),)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that children logged before the call has been handled.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            True if every record was handled; False if the timeout expired, the manager process is gone, the listener
            was stopped, or this is a child.

        Raises:
            RuntimeError: Called by a handler that handles a child's record, which can't wait for itself; or the relay
                is not started.
        """
        self._started()
        return self._service is not None and self._service.flush(timeout)

    def __enter__(self) -> Self:
        """Start the manager process and the listener.

        Raises:
            OSError: The system has no process, descriptor or port left. Nothing is left behind.
            RuntimeError: It was started before; or no thread can be started, and nothing is left behind.
        """
        service = self._service
        if service is None or service.is_inherited:
            raise RuntimeError("a relay can only be started in the process that made it: a child calls install() alone")
        service.prepare()
        try:
            service.launch()
            service.listen()
            self._installation = service.installation
            if self._all_children:
                from logpool._worker import inheritance

                self._testament = inheritance.bequeath(self, service.installation)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Handle every record that children have logged, then end the listener and the manager process.

        What a child logs later goes to its stderr.
        """
        testament, self._testament = self._testament, None
        if testament is not None:
            from logpool._worker import inheritance

            inheritance.revoke(testament)
        if self._service is not None:
            self._service.close()


def _in_child(installation: Installation) -> LogRelay:
    """Return what a child gets of a relay: the means to install it."""
    relay = LogRelay.__new__(LogRelay)
    relay._service = None
    relay._installation = installation
    relay._testament = None
    return relay
