"""Records of a Dask cluster's tasks are handled by the client. All tests share one cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client

import dask_tasks as tasks
from conftest import Records
from dask_cluster import Cluster, cluster
from logpool.dask import LoggingDaskExecutor, relay_logs


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with cluster("a") as made:
        made.add_worker("b", nanny=True)
        yield made


@pytest.fixture(scope="module")
def client(shared: Cluster) -> Iterator[Client]:
    with Client(shared.address) as made:
        made.wait_for_workers(2)
        called = threading.Event()
        made.submit(os.getpid).add_done_callback(lambda future: called.set())  # Starts a thread that all clients share.
        called.wait()
        made.sync(open_connections, made)
        yield made


async def open_connections(client: Client) -> None:
    """Opens as many as a client keeps that asks the scheduler for several things at a time."""
    await asyncio.gather(*(client.scheduler.identity() for _ in range(5)))


@pytest.fixture(autouse=True)
def _tasks_records_alone(records: Records) -> None:
    """Leaves out what clients log."""
    records.addFilter(lambda record: record.name.startswith(("app", "logpool", "py")))


def test_a_tasks_records_are_handled_before_its_future_is_done(client: Client, records: Records) -> None:
    with relay_logs(client):
        for number in range(50):
            client.submit(tasks.log, "number %d", number).result()
            assert records.messages[-1] == f"number {number}"
    assert len(records.messages) == 50


def test_a_record_tells_its_worker_and_task(client: Client, records: Records) -> None:
    with relay_logs(client):
        future = client.submit(tasks.log, "here", workers=["a"])
        pid = future.result()
    [record] = records.records
    [address] = [worker for worker, info in client.scheduler_info()["workers"].items() if info["name"] == "a"]
    assert (record.worker, record.taskKey, record.process) == (address, future.key, pid)  # type: ignore[attr-defined]


def test_records_arrive_whole(client: Client, records: Records) -> None:
    with relay_logs(client):
        client.submit(tasks.log, "%s and %r", tasks.Point(3), [1], point=tasks.Point(4)).result()
        client.submit(tasks.log, "%d %d", 1, pure=False).result()
        client.submit(tasks.log_exception).result()
    first, second, third = records.records
    assert first.getMessage() == "point 3 and [1]"
    assert first.args[0].x == 3  # type: ignore[union-attr, index]
    assert first.point.x == 4  # type: ignore[attr-defined]
    assert (second.msg, second.args) == (
        "%d %d",
        (1,),
    )  # Which the client's handler has reported, as it does for its own.
    assert third.exc_info is not None
    assert repr(third.exc_info[1]) == "ValueError('wrong')"
    assert repr(third.exc_info[1].__cause__) == "KeyError('cause')"  # type: ignore[union-attr]
    assert "log_exception" in logging.Formatter().format(third)


def test_levels_are_the_clients(client: Client, records: Records) -> None:
    names = ("app", "app.debug", "app.quiet", "app.quiet.child", "app.off")
    levels = dict(zip(names, (0, 10, 40, 0, 0)))
    before = {name: logging.getLogger(name).level for name in names}
    logging.root.setLevel(logging.INFO)
    logging.getLogger("app.off").disabled = True
    try:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        with relay_logs(client):
            client.submit(tasks.log_each_level, *names).result()
            there = records.messages[:]
            records.records.clear()
            tasks.log_each_level(*names)
            assert there == records.messages
            # And they are live.
            records.records.clear()
            logging.getLogger("app").setLevel(logging.ERROR)
            client.submit(tasks.log_each_level, "app", pure=False).result()
            assert records.messages == ["app at 40"]
            records.records.clear()
            logging.disable(logging.INFO)
            logging.getLogger("app").setLevel(logging.DEBUG)
            client.submit(tasks.log_each_level, "app", pure=False).result()
            assert records.messages == ["app at 30", "app at 40"]
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger("app.off").disabled = False
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def test_level_and_handlers_may_be_given(client: Client, records: Records) -> None:
    mine = Records()
    mine.setLevel(logging.WARNING)
    with relay_logs(client, handlers=[mine], level="DEBUG"):
        client.submit(tasks.log_each_level, "app").result()
    assert mine.messages == ["app at 30", "app at 40"]
    assert records.messages == []


def test_afterwards_the_workers_logging_is_as_it_was(client: Client, records: Records) -> None:
    before = client.run(tasks.logging_state)
    logging.captureWarnings(True)
    try:
        with relay_logs(client), relay_logs(client):
            client.submit(tasks.log, "something").result()
            assert client.run(tasks.logging_state) != before
    finally:
        logging.captureWarnings(False)
    assert client.run(tasks.logging_state) == before
    client.submit(tasks.log, "nothing", level=logging.ERROR).result()
    assert "nothing" not in records.messages


def test_warnings_are_captured_where_the_client_captures_them(client: Client, records: Records) -> None:
    logging.captureWarnings(True)
    try:
        with relay_logs(client):
            client.submit(tasks.warn, "old").result()
    finally:
        logging.captureWarnings(False)
    [record] = records.records
    assert record.name == "py.warnings"
    assert "FutureWarning: old" in record.getMessage()


def test_warnings_are_captured_no_longer_once_the_client_captures_none(client: Client, records: Records) -> None:
    logging.captureWarnings(True)
    try:
        with LoggingDaskExecutor(client, workers=["a"]) as executor:
            executor.submit(tasks.warn, "captured").result()
            logging.captureWarnings(False)
            executor.submit(tasks.warn, "captured no longer").result()
            executor.submit(tasks.log, "behind").result()
    finally:
        logging.captureWarnings(False)
    assert [record.name for record in records.records] == ["py.warnings", "app"]


def test_threads_and_coroutines_of_tasks(client: Client, records: Records) -> None:
    with relay_logs(client) as relay:
        client.submit(tasks.log_in_thread, "thread").result()
        future = client.submit(tasks.log_in_coroutine, "coroutine")
        future.result()
        assert sorted(records.messages) == ["coroutine one", "coroutine two", "thread"]
        assert [record.taskKey for record in records.records[1:]] == [future.key] * 2  # type: ignore[attr-defined]
        assert relay.flush()


def test_a_coroutine_that_logs_more_than_there_is_room_for(client: Client, records: Records) -> None:
    with relay_logs(client, backlog=4096):
        client.submit(tasks.log_many_in_coroutine, 300).result()
    assert records.messages == [str(number) for number in range(300)]


def test_nested_tasks_belong_to_the_client_of_the_outer(shared: Cluster, client: Client, records: Records) -> None:
    other = Records()
    with Client(shared.address, set_as_default=False) as second, relay_logs(second, handlers=[other]):
        with relay_logs(client):
            client.submit(tasks.log_nested, "task").result()
        second.submit(tasks.log, "mine", workers=["b"]).result()
    assert records.messages == ["task outer", "task inner", "task by get_client"]
    assert other.messages == ["mine"]


def test_two_clients_have_levels_and_records_of_their_own(shared: Cluster, client: Client, records: Records) -> None:
    other = Records()
    with (
        Client(shared.address, set_as_default=False) as second,
        relay_logs(second, handlers=[other], level="DEBUG"),
    ):
        with relay_logs(client, level="ERROR"):
            client.submit(tasks.log_each_level, "app", workers=["a"]).result()
            second.submit(tasks.log_each_level, "app", workers=["a"], pure=False).result()
        client.submit(tasks.log, "to nobody", workers=["a"]).result()
        second.submit(tasks.log, "one has left", workers=["a"], pure=False).result()
    assert records.messages == ["app at 40"]
    assert other.messages == [*(f"app at {level}" for level in (10, 20, 30, 40)), "one has left"]


def test_collections_and_other_ways_to_submit(shared: Cluster, records: Records) -> None:
    joblib = pytest.importorskip("joblib")
    with (
        Client(shared.address) as client,
        relay_logs(client) as relay,
    ):  # One of its own: joblib adds connections to it.
        assert dask.delayed(tasks.add_logging)(1).compute() == 2
        assert records.messages == ["adding to 1"]
        assert list(client.get_executor(pure=False).map(tasks.add_logging, range(2, 4))) == [3, 4]
        assert sorted(records.messages) == ["adding to 1", "adding to 2", "adding to 3"]
        with joblib.parallel_config(backend="dask"):
            joblib.Parallel()(joblib.delayed(tasks.add_logging)(number) for number in range(4, 8))
        assert len(records.messages) == 7
        client.run(tasks.log, "by run")
        assert relay.flush()
        assert records.messages.count("by run") == 2


def test_failed_tasks_and_retries(client: Client, records: Records) -> None:
    with relay_logs(client):
        future = client.submit(tasks.log_and_fail, "trying", retries=2)
        assert isinstance(future.exception(), ValueError)
        assert records.messages == ["trying"] * 3


def test_a_record_larger_than_the_ring(client: Client, records: Records) -> None:
    with relay_logs(client, backlog=100_000):
        client.submit(tasks.log_large, 3_000_000).result()
        assert [len(message) for message in records.messages] == [3_000_000]
        client.submit(tasks.log, "small").result()
        assert records.messages[-1] == "small"


def test_flush_in_a_handler_is_refused(client: Client, records: Records) -> None:
    errors = []

    def act() -> None:
        try:
            relay.flush()
        except RuntimeError as error:
            errors.append(str(error))

    records.on_message["now"] = act
    with relay_logs(client) as relay:
        client.submit(tasks.log, "now").result()
    assert errors == ["cannot wait for the log listener in its own thread"]


def test_the_clusters_own_loggers_are_not_relayed(client: Client, records: Records) -> None:
    with relay_logs(client) as relay:
        for name in ("distributed.worker", "tornado.access", "asyncio"):
            client.submit(tasks.log, "about %s", name, name=name, level=logging.WARNING).result()
        assert relay.flush()
    assert records.messages == []


# The executor.


def test_an_executors_records_tell_their_job(client: Client, records: Records) -> None:
    with LoggingDaskExecutor(client) as executor:
        futures = [executor.submit(tasks.log, "number %d", number) for number in range(3)]
        pids = [future.result() for future in futures]
        assert executor.flush_logs()
    assert {record.process for record in records.records} == set(pids)
    jobs = sorted((record.getMessage(), record.jobId, record.jobName) for record in records.records)  # type: ignore[attr-defined]
    assert jobs == [(f"number {job - 1}", job, "dask_tasks.log") for job in (1, 2, 3)]
    assert [future.job_id for future in futures] == [1, 2, 3]


def test_a_jobs_records_are_handled_in_its_context(client: Client, records: Records) -> None:
    seen = []
    records.on_message["look"] = lambda: seen.append(tasks.request.get())
    with LoggingDaskExecutor(client) as executor:
        token = tasks.request.set("mine")
        future = executor.submit(tasks.log, "look")
        tasks.request.reset(token)
        future.result()
    assert seen == ["mine"]


def test_context_variables_that_a_task_has_set_come_along(client: Client, records: Records) -> None:
    seen = []
    records.on_message["look"] = lambda: seen.append((tasks.request.get(), dask.get_annotations()))
    with relay_logs(client):
        client.submit(tasks.set_request_and_log, "the task's", "look").result()
        client.submit(tasks.log, "look").result()
    assert seen == [("the task's", {}), ("none", {})]


def test_map_and_arguments_by_name(client: Client, records: Records) -> None:
    with LoggingDaskExecutor(client, workers=["a"]) as executor:
        assert list(executor.map(tasks.add_logging, range(3), timeout=30)) == [1, 2, 3]
        executor.submit(tasks.log, "named", name="app.named", workers="mine", key="own").result()
    assert records.records[-1].workers == "mine"  # type: ignore[attr-defined]
    assert len({record.process for record in records.records}) == 1


def test_a_job_that_cannot_be_pickled_has_the_error(client: Client) -> None:
    with LoggingDaskExecutor(client) as executor:
        error = executor.submit(tasks.log, threading.Lock()).exception(30)
        assert isinstance(error, TypeError)
        assert "cannot pickle" in str(error)
        error = executor.submit(tasks.log, tasks.Unpicklable()).exception(30)
        assert isinstance(error, ValueError)
        assert str(error) == "not to be pickled"


def test_a_shutdown_that_waits_does_so_after_one_that_does_not(client: Client, records: Records) -> None:
    opened = threading.Event()
    records.on_message["gate"] = opened.wait
    executor = LoggingDaskExecutor(client)
    executor.submit(tasks.log, "gate")
    records.wait_for("gate")
    executor.shutdown(wait=False)
    waits = [threading.Thread(target=executor.shutdown) for _ in range(2)]
    for thread in waits:
        thread.start()
    opened.set()
    for thread in waits:
        thread.join(30)
        assert not thread.is_alive()
    assert not any(thread.name.startswith("logpool-dask-listener") for thread in threading.enumerate())


def test_submit_after_shutdown(client: Client) -> None:
    executor = LoggingDaskExecutor(client)
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(tasks.log, "too late")


def test_bad_arguments(client: Client) -> None:
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client"):
        relay_logs("tcp://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="handler"):
        relay_logs(client, handlers=[1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="unknown log level"):
        LoggingDaskExecutor(client, log_level="LOUD")
    with pytest.raises(ValueError, match="backlog"):
        relay_logs(client, backlog=0)
    with pytest.raises(RuntimeError, match="not started"):
        relay_logs(client).flush()
