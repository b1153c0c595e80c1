"""A relay that serves all children: whatever starts them, and their children; nothing is handed to them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, process, util
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import children
import jobs
from conftest import Records, Run, descriptors
from logpool import LoggingProcessPoolExecutor, LogRelay
from logpool._worker import inheritance


def method_of(context: BaseContext) -> str:
    method: str = context.get_start_method()
    return method


def test_children_of_any_kind_and_their_children_relay(context: BaseContext, records: Records) -> None:
    method = method_of(context)
    with LogRelay(all_children=True):
        assert children.run(method, children.log_and_run, method, 2) == 0
        with context.Pool(2) as pool:
            pool.map(jobs.log, ["pool 1", "pool 2"])
            pool.close()
            pool.join()
        children.stock_pool(method, 1)
    assert sorted(records.messages) == ["depth 0", "depth 1", "depth 2", "pool 1", "pool 2", "stock 0"]
    assert len({record.process for record in records.records} - {os.getpid()}) >= 5


def test_a_process_object_that_was_made_before_relays_when_it_is_started_inside(context: Any, records: Records) -> None:
    made = context.Process(target=jobs.log, args=("made before",))
    with LogRelay(all_children=True):
        made.start()
        made.join()
    assert records.messages == ["made before"]


def test_a_process_object_that_is_started_after_the_relay_is_as_without(context: Any, records: Records) -> None:
    with LogRelay(all_children=True):
        late = context.Process(target=say_what_call_handlers_is, args=(results := context.SimpleQueue(),))
    late.start()
    late.join()
    assert results.get() == "logging"
    results.close()


def say_what_call_handlers_is(results: Any) -> None:
    results.put(children.call_handlers_module())


def test_daemons_and_classes_with_a_run_of_their_own_relay(context: Any, records: Records) -> None:
    with LogRelay(all_children=True):
        for item in (context.Process(target=jobs.log, args=("daemon",), daemon=True), children.logs_itself(context)):
            item.start()
            item.join()
            assert item.exitcode == 0
    assert records.messages == ["daemon", "my own run"]


def test_workers_that_replace_others_relay(records: Records) -> None:
    with LogRelay(all_children=True):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as executor:
            assert len({executor.submit(jobs.log, "once").result() for _ in range(3)}) == 3
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            assert len({pool.apply(jobs.log, ("once",)) for _ in range(3)}) == 3
            pool.close()
            pool.join()
    assert records.messages == ["once"] * 6


def test_what_a_child_logged_just_before_it_was_killed_is_handled(context: BaseContext, records: Records) -> None:
    with LogRelay(all_children=True):
        assert children.run(method_of(context), children.log_and_be_killed, 1000) == -9
    assert records.messages == [str(number) for number in range(1000)]


def test_the_relays_own_handlers_and_level_hold_for_all_children(context: BaseContext, records: Records) -> None:
    own = Records()
    with LogRelay(all_children=True, handlers=[own], level="WARNING"):
        children.run(method_of(context), children.log_and_run, method_of(context), 1)
        children.run(method_of(context), jobs.log, "heard", level=logging.ERROR)
    assert own.messages == ["heard"]
    assert records.messages == []


# Several.


def test_the_innermost_relay_that_lives_counts(context: Any, records: Records) -> None:
    outer, inner = Records(), Records()
    method = method_of(context)
    with LogRelay(all_children=True, handlers=[outer]) as first:
        second = LogRelay(all_children=True, handlers=[inner]).__enter__()
        children.run(method, children.log_and_run, method, 1)
        late = context.Process(target=jobs.log, args=("made inside the inner one",))
        second.__exit__(None, None, None)
        late.start()
        late.join()
        assert first.flush()
    assert (inner.messages, outer.messages) == (["depth 1", "depth 0"], ["made inside the inner one"])


def test_relays_may_end_in_any_order(context: Any, records: Records) -> None:
    before = dict(process.current_process()._config)
    first, second = LogRelay(all_children=True, handlers=[]), LogRelay(all_children=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    children.run(method_of(context), jobs.log, "to the second")
    second.__exit__(None, None, None)
    assert records.messages == ["to the second"]
    assert process.current_process()._config == before


def test_a_child_may_have_a_relay_of_its_own(context: BaseContext, records: Records) -> None:
    method = method_of(context)
    with LogRelay(all_children=True):
        assert children.run(method, children.relay_here, method) == 0
    assert records.messages == ["before", "marked depth 1", "marked depth 0", "after"]


def install_another(relay: LogRelay, method: str) -> None:
    relay.install()
    jobs.log("child")
    assert children.run(method, jobs.log, "grandchild") == 0


def test_a_relay_that_a_child_installs_takes_precedence_there_and_below(context: BaseContext, records: Records) -> None:
    handed = Records()
    with LogRelay(all_children=True), LogRelay(handlers=[handed]) as relay:
        assert children.run(method_of(context), install_another, relay, method_of(context)) == 0
    assert (handed.messages, records.messages) == (["child", "grandchild"], [])


@pytest.mark.parametrize("order", ["inside", "around"])
def test_an_executor_has_its_own_workers_records_and_their_childrens(
    context: BaseContext, records: Records, order: str
) -> None:
    own, method = Records(), method_of(context)

    def executor() -> LoggingProcessPoolExecutor:
        return LoggingProcessPoolExecutor(1, context, log_handlers=[own], log_level="INFO")

    if order == "inside":
        with LogRelay(all_children=True, level="ERROR"), executor() as pool:
            pool.submit(children.log_and_run, method, 1).result()
            pool.flush_logs()
    else:
        with executor() as pool, LogRelay(all_children=True, level="ERROR"):
            pool.submit(children.log_and_run, method, 1).result()
            pool.flush_logs()
    assert own.messages == ["depth 1", "depth 0"]
    assert own.records[0].__dict__["jobId"] == 1
    assert records.messages == []


def test_an_executor_in_a_child_has_its_workers_records_handled_there_once(
    context: BaseContext, records: Records
) -> None:
    with LogRelay(all_children=True):
        assert children.run(method_of(context), children.our_pool, method_of(context)) == 0
    assert records.messages == ["ours"]


# What isn't reached, or only by a detour.


def test_children_of_a_process_that_was_forked_by_other_means_relay(context: BaseContext, records: Records) -> None:
    if method_of(context) == "forkserver":
        pytest.skip("a forkserver belongs to the process that has started it, whoever has a copy of that")
    with LogRelay(all_children=True):
        children.raw_fork_that_runs(method_of(context))
    assert records.messages == ["grandchild"]


def test_a_child_that_outlives_the_relay_logs_to_stderr(context: Any, tmp_path: Path) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    with LogRelay(all_children=True, handlers=[own := Records()], level="INFO"):
        late = context.Process(target=children.log_waiting, args=(str(gate),))
        late.start()
        own.wait_for("waiting")
    gate.write_text("")
    late.join()
    assert late.exitcode == 0
    assert own.messages == ["waiting"]
    said, *lines = gate.with_suffix(".stderr").read_text().splitlines()
    assert said.startswith("logpool: the relay has ended")
    assert lines == ["INFO:app:waited"]


def test_the_manager_process_is_none_of_the_children_that_a_program_waits_for(context: Any, records: Records) -> None:
    *_, number = context.Process().name.split("-")
    with LogRelay(all_children=True):
        item = context.Process(target=jobs.log, args=("child",))
        assert item.name.endswith(f"Process-{int(number) + 1}")
        item.start()
        for child in multiprocessing.active_children():
            child.join()
    assert records.messages == ["child"]


def test_nothing_is_left_in_the_process() -> None:
    def state() -> tuple[object, ...]:
        hooks = [function.__module__ for _, _, function in util._afterfork_registry]
        return (
            dict(process.current_process()._config),
            type(process.current_process().authkey),
            list(forkserver._forkserver._preload_modules),
            [name for name in hooks if name.startswith("logpool")],
            inheritance._testaments[:],
            inheritance._starters.copy(),
        )

    before = state()
    with LogRelay(all_children=True):
        assert state() != before
        children.run("fork", jobs.square, 2)
    assert state() == before


def test_a_relay_that_cannot_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    before = dict(process.current_process()._config)
    monkeypatch.setattr(util, "register_after_fork", fail)
    relay = LogRelay(all_children=True)
    with pytest.raises(RuntimeError, match="no"):
        relay.__enter__()
    assert process.current_process()._config == before


def test_an_authkey_that_is_set_meanwhile_stays_and_changes_nothing(context: BaseContext, records: Records) -> None:
    this = process.current_process()
    key = this.authkey
    try:
        with LogRelay(all_children=True):
            this.authkey = b"another"
            assert children.run(method_of(context), jobs.log, "heard") == 0
        assert this.authkey == b"another"
    finally:
        this.authkey = key
    assert records.messages == ["heard"]


def test_the_start_method_may_be_chosen_while_the_relay_lives(run_program: Run) -> None:
    ended = run_program(
        "import multiprocessing\nfrom logpool import LogRelay\n"
        "if __name__ == '__main__':\n"
        "    with LogRelay(all_children=True):\n"
        "        multiprocessing.set_start_method('spawn')\n"
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# Installations that fail.


FAILING = """
import logging, multiprocessing, sys, threading
from logpool import LogRelay
from logpool._worker.installation import Installation

def refuse(*_):
    raise ValueError("refused")

class Refused:
    def __reduce__(self):
        return refuse, ()

def work():
    logging.error("as without")

if __name__ == "__main__":
    _, method, what = sys.argv
    if what == "installed":
        Installation.install = refuse
    else:
        refused = Refused() if what == "unpickled" else threading.Lock()
        Installation.__reduce__ = lambda self: (print, (refused,))
    with LogRelay(all_children=True):
        child = multiprocessing.get_context(method).Process(target=work)
        child.start()
        child.join()
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("fork", "installed"),
        *((method, what) for method in ("forkserver", "spawn") for what in ("pickled", "unpickled")),
    ],
)
def test_a_child_that_cannot_install_runs_and_it_is_said_once(run_program: Run, method: str, what: str) -> None:
    ended = run_program(FAILING, method, what)
    assert ended.returncode == 0, ended.stderr
    # Python's own warnings, in development mode: of a fork, and (3.15) of a main module that is in a traceback.
    lines = [line for line in ended.stderr.splitlines() if "DeprecationWarning" not in line]
    said = "A child process can't be told to relay its records." if what == "pickled" else NOT_RELAYED
    assert [line for line in lines if not line.startswith(("  ", "when"))] == [
        said,
        "Traceback (most recent call last):",
        "TypeError: cannot pickle '_thread.lock' object" if what == "pickled" else "ValueError: refused",
        "ERROR:root:as without",
    ]


NOT_RELAYED = "The records of this process aren't relayed."


def test_what_a_child_that_lacks_the_package_unpickles_is_nothing() -> None:
    function, arguments = inheritance._call_if_found("receive", b"", "None")
    pickled = pickle.dumps(inheritance._Call(function, *arguments))
    command = [sys.executable, "-I", "-S", "-c", "import pickle, sys; print(pickle.load(sys.stdin.buffer))"]
    assert subprocess.run(command, input=pickled, capture_output=True, check=True).stdout == b"None\n"


# The main module.

MAIN = """
import logging, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from logpool import LogRelay

logging.basicConfig(filename="app.log", filemode="w", level="INFO", format="%(message)s")
logging.info("imported")

def work(depth):
    logging.info("depth %d", depth)
    if depth:
        child = context().Process(target=work, args=(depth - 1,))
        child.start()
        child.join()

def context():
    return multiprocessing.get_context(sys.argv[1])

if __name__ == "__main__":
    with LogRelay(all_children=True), ProcessPoolExecutor(1, context()) as executor:
        executor.submit(work, 2).result()
    logging.info("done")
"""


def test_the_main_module_that_a_child_imports_again_logs_nothing_and_opens_no_file(
    context: BaseContext, run_program: Run, tmp_path: Path
) -> None:
    ended = run_program(MAIN, method_of(context))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "app.log").read_text().splitlines() == ["imported", "depth 2", "depth 1", "depth 0", "done"]


def test_where_warnings_are_errors_children_relay(run_program: Run, tmp_path: Path) -> None:
    source = MAIN.replace(
        'if __name__ == "__main__":',
        'if __name__ == "__main__":\n    import warnings\n    warnings.simplefilter("error")',
    )
    ended = run_program(source.replace("work, 2", "work, 1"), "spawn")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "depth 0" in (tmp_path / "app.log").read_text()


# Many.


def leave_nothing(method: str, count: int) -> None:
    found = Records()
    with LogRelay(all_children=True, handlers=[found], level="INFO") as relay:
        children.run(method, jobs.log, "first")
        relay.flush()
        before = descriptors(), threading.active_count()
        for _ in range(count):
            assert children.run(method, jobs.log, "one of many") == 0
        relay.flush()
        assert (len(descriptors()), threading.active_count()) == (len(before[0]), before[1])
        assert len(os.listdir(relay._service.manager.directory)) == 2
    assert len(found.messages) == count + 1


def test_children_one_after_another_leave_nothing(context: BaseContext) -> None:
    leave_nothing(method_of(context), 20 if method_of(context) == "fork" else 3)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_children_one_after_another_leave_nothing(context: BaseContext) -> None:
    leave_nothing(method_of(context), 1000)
