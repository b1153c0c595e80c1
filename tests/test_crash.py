"""Why a worker died: what the parent's log says of it."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import process
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import jobs
from conftest import Records
from logpool import LoggingProcessPoolExecutor
from logpool.crash import DeathWatch
from logpool.pool import PoolThread


def reports(records: Records) -> list[logging.LogRecord]:
    return [record for record in records.records if record.name == "logpool"]


def test_a_segmentation_fault_is_told_with_the_job_and_the_python_stack(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        executor.submit(jobs.square, 2).result()
        future = executor.submit(jobs.crash, 100)
        with pytest.raises(BrokenProcessPool):
            future.result()
        # It is told before the future fails.
        assert reports(records)
    (report,) = reports(records)
    message = report.getMessage()
    first, *stack = message.splitlines()
    assert report.levelno == logging.CRITICAL
    assert (
        first
        == f"Worker {report.workerName} (pid {report.workerPid}) was killed by SIGSEGV, running job 2 (jobs.crash)."
    )
    assert stack[0] == "Fatal Python error: Segmentation fault"
    assert any("in crash" in line for line in stack)
    # Behind all that it had logged.
    assert records.messages == [*map(str, range(100)), message]
    fields: dict[str, Any] = report.__dict__
    assert (fields["exitCode"], fields["signalName"]) == (-signal.SIGSEGV, "SIGSEGV")
    assert (fields["jobId"], fields["jobName"]) == (2, "jobs.crash")
    assert fields["stack"].splitlines() == stack


def test_an_exit_is_told_with_its_code(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.log_then_exit, 5, 3).result()
    (report,) = reports(records)
    assert report.getMessage().endswith("exited with code 3, running job 1 (jobs.log_then_exit).")
    assert report.__dict__["exitCode"] == 3
    assert report.__dict__["signalName"] is None
    assert report.__dict__["stack"] is None


def test_a_kill_is_told_by_its_signal(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.die, signal.SIGKILL, 5).result()
    (report,) = reports(records)
    assert "was killed by SIGKILL, running job 1 (jobs.die)." in report.getMessage()


def test_only_the_worker_that_died_by_itself_is_reported(
    context: BaseContext, records: Records, tmp_path: Path
) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    with LoggingProcessPoolExecutor(3, context) as executor:
        futures = [executor.submit(jobs.log_and_wait_for, str(gate)) for _ in range(3)]
        with records.arrival:
            assert records.arrival.wait_for(lambda: records.messages.count("waiting") == 3, timeout=30)
        victim = records.records[1].process
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        for future in futures:
            with pytest.raises(BrokenProcessPool):
                future.result()
    (report,) = reports(records)
    assert report.__dict__["workerPid"] == victim
    assert report.__dict__["jobName"] == "jobs.log_and_wait_for"


def test_an_idle_worker_that_died_ran_no_job(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        pid = executor.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        records_of_death(records)
    (report,) = reports(records)
    assert f"(pid {pid}) was killed by SIGKILL, running no job." in report.getMessage()
    assert report.__dict__["jobId"] is None


def records_of_death(records: Records) -> None:
    with records.arrival:
        assert records.arrival.wait_for(lambda: bool(reports(records)), timeout=30)


def test_workers_that_end_in_good_order_are_not_reported(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(2, context) as executor:
        list(executor.map(jobs.square, range(10)))
    assert reports(records) == []


def test_a_failing_initializer_is_reported_as_an_exit_with_code_0(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.fail_to_initialize) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.square, 2).result()
    (report,) = reports(records)
    assert report.getMessage().endswith("exited with code 0, running no job.")


def test_a_handler_that_blocks_does_not_keep_the_futures_from_failing(context: BaseContext, records: Records) -> None:
    release = threading.Event()
    records.addFilter(lambda record: record.name != "app" or release.wait())
    with LoggingProcessPoolExecutor(1, context) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(jobs.die, signal.SIGKILL, 5).result()
        release.set()
    assert len(reports(records)) == 1


def test_each_worker_has_a_file_and_none_is_left(context: BaseContext) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor:
        pid = executor.submit(os.getpid).result()
        address = executor.log_queue.address
        assert isinstance(address, str)
        directory = Path(address).parent
        assert {path.name for path in directory.iterdir()} == {"key", "queue", str(pid)}
    assert not directory.exists()


def test_workers_that_are_replaced_take_their_files_with_them() -> None:
    with LoggingProcessPoolExecutor(1, max_tasks_per_child=1) as executor:
        pids = [executor.submit(os.getpid).result() for _ in range(4)]
        address = executor.log_queue.address
        assert isinstance(address, str)
        assert not {path.name for path in Path(address).parent.iterdir()} & set(map(str, pids[:-1]))


def test_a_child_of_a_worker_does_not_write_into_its_file(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(fork_a_child_that_crashes_then_die).result()
    (report,) = reports(records)
    assert report.__dict__["stack"] is None


def fork_a_child_that_crashes_then_die() -> None:
    pid = os.fork()
    if pid == 0:
        os.close(2)
        jobs.crash(0)
    os.waitpid(pid, 0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_death_while_others_submit_is_reported(records: Records) -> None:
    with LoggingProcessPoolExecutor(1) as executor:
        going_on = True

        def submit() -> None:
            while going_on:
                try:
                    executor.submit(jobs.square, 2)
                except BrokenProcessPool:
                    return

        threads = [threading.Thread(target=submit) for _ in range(2)]
        future = executor.submit(jobs.die, signal.SIGKILL, 5)
        for thread in threads:
            thread.start()
        assert future.exception() is not None
        going_on = False
        for thread in threads:
            thread.join()
    assert len(reports(records)) == 1


@pytest.mark.skipif(
    "with self.shutdown_lock" in inspect.getsource(process._ExecutorManagerThread.wait_result_broken_or_wakeup),
    reason="the thread of this Python (3.11.2, say) waits for the submit that goes on: it can't break before",
)
def test_a_death_before_the_first_submit_goes_on_is_reported(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = threading.Event()
    terminate_broken = process._ExecutorManagerThread.terminate_broken
    report = DeathWatch.report

    def terminate_broken_and_tell(thread: Any, cause: object) -> None:
        if not isinstance(thread, PoolThread):
            is_broken.set()  # It goes on as the standard library's, so there will be no report.
        terminate_broken(thread, cause)

    def report_and_tell(*arguments: Any) -> None:
        report(*arguments)
        is_broken.set()

    def start_and_sleep(thread: process._ExecutorManagerThread) -> None:
        threading.Thread.start(thread)
        assert is_broken.wait(30)

    # As a busy machine may do it: the thread that submits isn't on a CPU before the pool breaks.
    monkeypatch.setattr(process._ExecutorManagerThread, "start", start_and_sleep, raising=False)
    monkeypatch.setattr(process._ExecutorManagerThread, "terminate_broken", terminate_broken_and_tell)
    monkeypatch.setattr(DeathWatch, "report", report_and_tell)
    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.die, signal.SIGKILL, 5).result()
    assert len(reports(records)) == 1
    assert records.messages[:5] == [str(number) for number in range(5)]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])  # With forkserver the stock class doesn't notice.
def test_a_worker_that_closes_its_descriptors_holds_up_nobody(records: Records, start_method: str) -> None:
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(close_all_and_stay).result()
        (report,) = reports(records)
    assert "has closed its connection to the pool, and still runs" in report.getMessage()


def close_all_and_stay() -> None:
    os.closerange(3, 200)
    signal.pause()
