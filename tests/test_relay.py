"""LogRelay: for any pool or process."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import Records
from logpool import LogRelay


def work(relay: LogRelay, count: int) -> None:
    relay.install()
    jobs.log_numbers(count)


def ranked(rank: int, relay: LogRelay) -> None:
    relay.install()
    jobs.log("rank %d", rank)


def run(context: BaseContext, target: Any, *args: object) -> int | None:
    process = context.Process(target=target, args=args)
    process.start()
    process.join()
    return process.exitcode


def test_a_process_hands_its_records_to_the_parent(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        assert run(context, work, relay, 100) == 0
        assert relay.flush()
        assert len(records.records) == 100


def test_a_multiprocessing_pool_installs_by_its_initializer(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        with context.Pool(2, initializer=relay.install) as pool:
            pool.map(jobs.log, ["one", "two", "three"])
            pool.close()
            pool.join()
        relay.flush()
        assert sorted(records.messages) == ["one", "three", "two"]


def test_a_relay_can_be_handed_on_with_a_job(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay, context.Pool(1) as pool:
        pool.apply(ranked, (3, relay))
        pool.close()
        pool.join()
    assert records.messages == ["rank 3"]


def test_its_own_handlers_and_level_are_for_the_children_alone(context: BaseContext, records: Records) -> None:
    own = Records()
    records.setLevel(logging.NOTSET)
    with LogRelay(context, handlers=[own], level="DEBUG") as relay:
        logging.getLogger("app").info("parent")
        run(context, ranked, 0, relay)
    assert own.messages == ["rank 0"]
    assert records.messages == ["parent"]


def test_install_in_the_parent_changes_nothing_and_says_so(records: Records) -> None:
    root = logging.getLogger()
    with LogRelay() as relay:
        before = root.handlers[:], root.level
        relay.install()
        pickle.loads(pickle.dumps(relay)).install()
        assert (root.handlers, root.level) == before
    assert [(record.name, record.levelname) for record in records.records] == [("logpool", "WARNING")] * 2
    assert "process that handles the records" in records.messages[0]


def install_twice(relay: LogRelay) -> None:
    relay.install()
    handlers = logging.getLogger().handlers[:]
    logging.getLogger("app").setLevel(logging.ERROR)
    relay.install()
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("app").level == logging.ERROR
    jobs.log("once", level=logging.ERROR)


def test_install_called_twice_changes_nothing_the_second_time(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        assert run(context, install_twice, relay) == 0
    assert records.messages == ["once"]


def test_a_relay_that_is_not_started_says_so() -> None:
    relay = LogRelay()
    for name in ("queue", "listener", "install"):
        with pytest.raises(RuntimeError, match="use it as a context manager"):
            getattr(relay, name)
    with pytest.raises(RuntimeError, match="use it as a context manager"):
        relay.flush()


def test_a_relay_can_only_be_started_once() -> None:
    with LogRelay() as relay, pytest.raises(RuntimeError, match="only be started once"):
        relay.__enter__()


def test_a_relay_has_no_other_public_names_than_these() -> None:
    assert {name for name in vars(LogRelay) if not name.startswith("_")} == {"queue", "listener", "install", "flush"}


def flush_here(relay: LogRelay, results: Any) -> None:
    results.put(relay.flush(10))


def test_flush_is_false_where_no_records_are_handled(context: BaseContext, records: Records) -> None:
    results = context.SimpleQueue()
    with LogRelay(context) as relay:
        run(context, flush_here, relay, results)
        assert results.get() is False
        relay.listener.stop()
        run(context, work, relay, 1)
        assert relay.flush(10) is False
        relay.listener.start()
        assert relay.flush(10) is True
        assert records.messages
    assert relay.flush(10) is True
    results.close()


@pytest.mark.parametrize("stopped_by", ["the user", "a handler"])
def test_what_comes_after_the_listener_was_stopped_is_handled_when_the_relay_ends(
    context: BaseContext, records: Records, stopped_by: str
) -> None:
    with LogRelay(context) as relay:
        if stopped_by == "the user":
            relay.listener.stop()
        else:
            records.on_message["0"] = relay.listener.stop
        run(context, work, relay, 100)
    assert records.messages == [str(number) for number in range(100)]


def describe(relay: LogRelay, results: Any) -> None:
    results.put([type(relay).__name__, isinstance(relay, LogRelay), relay.queue.address, relay.flush(1)])
    for use in (lambda: relay.listener, relay.__enter__):
        try:
            use()
        except RuntimeError as error:
            results.put(str(error))


def test_every_child_has_a_relay_of_the_same_type(context: BaseContext) -> None:
    results = context.SimpleQueue()
    with LogRelay(context) as relay:
        run(context, describe, relay, results)
        assert results.get() == ["LogRelay", True, relay.queue.address, False]
    assert results.get() == "the listener is in the process that made the relay: a child calls install() alone"
    assert results.get().startswith("a relay can only be started in the process that made it")
    results.close()


def use_stdlib_handler(queue: Any, count: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [logging.handlers.QueueHandler(queue)]
    root.setLevel(logging.INFO)
    jobs.log_numbers(count)


def test_the_stdlibs_handler_in_a_child_works_with_the_relays_listener(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        assert run(context, use_stdlib_handler, relay.queue, 100) == 0
    assert records.messages == [str(number) for number in range(100)]


def test_the_stdlibs_handler_and_listener_work_on_the_relays_queue(context: BaseContext, records: Records) -> None:
    own = Records()
    with LogRelay(context) as relay:
        relay.listener.stop()
        listener = logging.handlers.QueueListener(relay.queue, own)
        listener.start()
        own_thread = listener._thread
        run(context, use_stdlib_handler, relay.queue, 100)
        run(context, use_stdlib_handler, relay.queue, 100)
        listener.stop()
        assert not own_thread.is_alive()
    assert own.messages == [str(number) for number in range(100)] * 2
    assert records.messages == []


def test_a_stdlib_listener_that_is_never_stopped_ends_with_the_relay(context: BaseContext, records: Records) -> None:
    own = Records()
    with LogRelay(context) as relay:
        relay.listener.stop()
        listener = logging.handlers.QueueListener(relay.queue, own)
        listener.start()
        run(context, use_stdlib_handler, relay.queue, 100)
    listener._thread.join(20)
    assert not listener._thread.is_alive()
    assert sorted(own.messages + records.messages, key=int) == [str(number) for number in range(100)]


def test_a_stdlib_listener_that_comes_back_after_the_relay_has_ended_ends_too(records: Records) -> None:
    own = Records()
    go_on = threading.Event()
    own.on_message["slow"] = go_on.wait
    with LogRelay() as relay:
        relay.listener.stop()
        listener = logging.handlers.QueueListener(relay.queue, own)
        listener.start()
        relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": "slow"}))
        own.wait_for("slow")
    go_on.set()
    listener._thread.join(20)
    assert not listener._thread.is_alive()
    assert records.messages == []


def test_getting_while_the_relays_listener_runs_says_what_to_do() -> None:
    with LogRelay() as relay:
        for get in (relay.queue.get, relay.queue.get_nowait, relay.queue.empty):
            with pytest.raises(RuntimeError, match=r"call stop\(\) of log_listener"):
                get()
        relay.listener.stop()
        assert relay.queue.empty()


def test_the_stdlibs_listener_is_given_what_installed_children_log(context: BaseContext, records: Records) -> None:
    own = Records()
    with LogRelay(context) as relay:
        listener = logging.handlers.QueueListener(relay.queue, own)
        relay.listener.stop()
        listener.start()
        run(context, fail_and_log, relay)
        listener.stop()
    (record,) = own.records
    assert record.getMessage() == "failed on 1"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert records.records == []


def fail_and_log(relay: LogRelay) -> None:
    relay.install()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("app").exception("failed on %d", 1)


def fork_a_child_that_logs(relay: LogRelay) -> None:
    relay.install()
    jobs.log("before")
    pid = os.fork()
    if pid == 0:
        jobs.log("child")
        os._exit(0)
    os.waitpid(pid, 0)
    jobs.log("after")


def test_a_child_that_forks_gives_its_own_child_a_connection(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        assert run(context, fork_a_child_that_logs, relay) == 0
    assert sorted(records.messages) == ["after", "before", "child"]
    assert len({record.process for record in records.records}) == 2


def test_what_is_logged_after_the_relay_closed_goes_to_stderr(context: BaseContext, tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    with LogRelay(context, handlers=[own := Records()], level="INFO") as relay:
        late = context.Process(target=log_before_and_after, args=(relay, str(gate)))
        late.start()
        own.wait_for("waiting")
    gate.write_text("")
    late.join()
    assert late.exitcode == 0
    assert own.messages == ["waiting"]
    assert "waited" in gate.with_suffix(".stderr").read_text()


def log_before_and_after(relay: LogRelay, gate: str) -> None:
    relay.install()
    with open(gate + ".stderr", "w") as sys.stderr:
        jobs.log_and_wait_for(gate)


def test_a_relay_made_by_a_child_process_works_too(context: BaseContext, records: Records) -> None:
    with LogRelay(context) as relay:
        assert run(context, relay_in_a_child, relay) == 0
    assert records.messages == ["innermost"]


def relay_in_a_child(outer: LogRelay) -> None:
    outer.install()
    with LogRelay() as inner:
        process = multiprocessing.Process(target=log_innermost, args=(inner,))
        process.start()
        process.join()


@pytest.mark.parametrize("kept", ["pickled before", "pickled after"])
def test_another_authkey_in_the_parent_or_the_child_is_no_obstacle(
    context: BaseContext, records: Records, kept: str
) -> None:
    this_process = multiprocessing.current_process()
    key = this_process.authkey
    with LogRelay(context) as relay:
        pickled = pickle.dumps(relay) if kept == "pickled before" else None
        this_process.authkey = b"another"
        try:
            assert run(context, install_with_a_key_of_its_own, pickled or pickle.dumps(relay)) == 0
        finally:
            this_process.authkey = key
    assert records.messages == ["heard"]


def install_with_a_key_of_its_own(pickled: bytes) -> None:
    multiprocessing.current_process().authkey = b"a third"
    pickle.loads(pickled).install()
    jobs.log("heard")


def test_a_close_that_was_interrupted_can_be_repeated_until_it_is_done(records: Records) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    go_on = threading.Event()
    records.on_message["one"] = go_on.wait
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        relay = LogRelay().__enter__()
        for message in ("one", "two"):
            relay.queue.put(logging.makeLogRecord({"name": "app", "levelno": 20, "msg": message}))
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.1)  # It waits for the handler, which waits for what follows.
            with pytest.raises(KeyboardInterrupt):
                relay.__exit__(None, None, None)
        go_on.set()
        relay.__exit__(None, None, None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert records.messages == ["one", "two"]
    assert multiprocessing.active_children() == []


def log_innermost(relay: LogRelay) -> None:
    relay.install()
    jobs.log("innermost")
