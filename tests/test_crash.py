"""Why a worker died: what the parent's log says of it."""

from __future__ import annotations

import asyncio
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
from logpool._parent.crash_reporter import CrashReporter
from logpool._parent.pool_thread import PoolThread


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


def test_an_initializer_that_raised_is_named(context: BaseContext, records: Records) -> None:
    with LoggingProcessPoolExecutor(1, context, jobs.fail_to_initialize) as executor:
        error = executor.submit(jobs.square, 2).exception()
    (report,) = reports(records)
    assert report.getMessage().endswith(
        "ended because its initializer (jobs.fail_to_initialize) raised ValueError: no good."
    )
    assert (report.__dict__["exitCode"], report.__dict__["jobId"], report.__dict__["jobName"]) == (0, None, None)
    assert notes_of(error) == [report.getMessage()]


def test_a_death_in_the_initializer_is_told(context: BaseContext, records: Records) -> None:
    initargs = (signal.SIGKILL, 3)
    with LoggingProcessPoolExecutor(1, context, jobs.die, initargs) as executor, pytest.raises(BrokenProcessPool):
        executor.submit(jobs.square, 2).result()
    (report,) = reports(records)
    assert report.getMessage().endswith("was killed by SIGKILL, running its initializer (jobs.die).")


def notes_of(error: BaseException | None) -> list[str]:
    assert isinstance(error, BrokenProcessPool)
    return error.__notes__


def test_each_future_tells_why_a_worker_died_and_so_does_what_is_submitted_later(
    context: BaseContext, records: Records
) -> None:
    async def run_in_executor() -> None:
        await asyncio.get_running_loop().run_in_executor(executor, jobs.square, 3)

    with LoggingProcessPoolExecutor(1, context) as executor:
        first = executor.submit(jobs.log_then_exit, 5, 3)
        others = [executor.submit(jobs.square, number) for number in range(5)]
        errors = [future.exception() for future in (first, *others)]
        with pytest.raises(BrokenProcessPool) as refused:
            executor.submit(jobs.square, 2)
        with pytest.raises(BrokenProcessPool) as refused_by_asyncio:
            asyncio.run(run_in_executor())
    (report,) = reports(records)
    for error in (*errors, refused.value, refused_by_asyncio.value):
        assert notes_of(error) == [report.getMessage()]


def test_a_future_of_asyncio_tells_why_a_worker_died(context: BaseContext, records: Records) -> None:
    async def run_in_executor() -> None:
        await asyncio.get_running_loop().run_in_executor(executor, jobs.crash, 3)

    with LoggingProcessPoolExecutor(1, context) as executor, pytest.raises(BrokenProcessPool) as broken:
        asyncio.run(run_in_executor())
    (report,) = reports(records)
    assert notes_of(broken.value) == [report.getMessage()]
    assert "was killed by SIGSEGV, running job 1 (jobs.crash)." in str(broken.value.__notes__)


def test_the_report_goes_where_the_pools_records_go(context: BaseContext, records: Records) -> None:
    own = Records()
    with LoggingProcessPoolExecutor(1, context, log_handlers=[own], log_level="INFO") as executor:
        error = executor.submit(jobs.die, signal.SIGKILL, 5).exception()
        assert reports(own)
    (report,) = reports(own)
    assert own.messages == [*map(str, range(5)), report.getMessage()]
    assert notes_of(error) == [report.getMessage()]
    assert records.records == []


def test_a_report_that_the_logger_would_not_log_is_not_handled(context: BaseContext, records: Records) -> None:
    own = Records()
    logging.getLogger("logpool").disabled = True
    try:
        with LoggingProcessPoolExecutor(1, context, log_handlers=[own]) as executor:
            error = executor.submit(jobs.die, signal.SIGKILL, 0).exception()
    finally:
        logging.getLogger("logpool").disabled = False
    assert "was killed by SIGKILL" in notes_of(error)[0]
    assert own.records == records.records == []


@pytest.mark.parametrize("with_handlers", [True, False])
def test_a_handler_that_waits_for_a_future_of_the_pool_that_breaks_waits_for_the_report_alone(
    context: BaseContext, records: Records, with_handlers: bool
) -> None:
    waited: list[BaseException | None] = []

    class Wait(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "logpool":
                waited.append(future.exception(30))
                executor.shutdown()

    own = Wait()
    logging.getLogger().addHandler(own)
    handlers = [own] if with_handlers else None
    executor = LoggingProcessPoolExecutor(1, context, log_handlers=handlers)
    future = executor.submit(jobs.die, signal.SIGKILL, 5)
    assert isinstance(future.exception(30), BrokenProcessPool)
    executor.shutdown()
    assert waited == [future.exception()]


def test_without_a_descriptor_of_a_process_its_end_is_waited_for(
    context: BaseContext, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    ended = 0
    for _ in range(15):
        with LoggingProcessPoolExecutor(1, context) as executor:
            executor.submit(jobs.die, signal.SIGKILL, 0).exception()
        ended += "was killed by SIGKILL" in reports(records)[-1].getMessage()
    assert ended == 15


def test_without_a_descriptor_of_a_process_one_that_runs_on_holds_up_nobody(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(close_all_and_stay).result()
        (report,) = reports(records)
    assert "has closed its connection to the pool, and still runs" in report.getMessage()


opened: list[tuple[str, int]] = []


def what_was_opened() -> list[tuple[str, int]]:
    return opened


def test_the_file_is_binary_and_written_where_there_is_no_positioned_write(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Windows, where a file is text that isn't opened so. Linux has another flag of this value, which it ignores.
    open_descriptor = os.open

    def spy(path: str, flags: int, *arguments: Any) -> int:
        opened.append((os.path.basename(path), flags))
        return open_descriptor(path, flags, *arguments)

    monkeypatch.setattr(os, "O_BINARY", 0x8000, raising=False)
    monkeypatch.setattr(os, "open", spy)
    monkeypatch.delattr(os, "pwrite")
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        flags = dict(executor.submit(what_was_opened).result())
        executor.submit(jobs.crash, 3).exception()
    (report,) = reports(records)
    assert flags[str(report.__dict__["workerPid"])] & 0x8000
    assert ", running job 2 (jobs.crash).\nFatal Python error: Segmentation fault" in report.getMessage()


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
    report = CrashReporter.report

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
    monkeypatch.setattr(CrashReporter, "report", report_and_tell)
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
