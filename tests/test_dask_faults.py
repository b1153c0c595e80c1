"""What becomes of a Dask cluster's records when a worker, the client, the scheduler or a connection is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client, Event, LocalCluster
from distributed.security import Security

import dask_tasks as tasks
from conftest import Records
from dask_cluster import SCHEDULER_WITHOUT_LOGPOOL, WORKER_WITHOUT_LOGPOOL, Cluster, cluster
from logpool._dask import client as client_module
from logpool._dask import worker as worker_module
from logpool.dask import LoggingDaskExecutor, relay_logs


@pytest.fixture(scope="module", autouse=True)
def _threads_that_all_clients_share() -> None:
    """Starts them, so that no test seems to leave them behind."""
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as made, Client(made) as client:
        called = threading.Event()
        client.submit(os.getpid).add_done_callback(lambda future: called.set())
        called.wait()


@pytest.fixture(autouse=True)
def _tasks_records_alone(records: Records) -> None:
    records.addFilter(lambda record: record.name.startswith(("app", "logpool", "py")))


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """For tests after which scheduler and worker are as before."""
    with cluster("a") as made:
        yield made


@contextlib.contextmanager
def connected(made: Cluster, workers: int = 1, **options: Any) -> Iterator[Client]:
    with Client(made.address, **options) as client:
        client.wait_for_workers(workers)
        yield client


@pytest.mark.parametrize("how", ["restarted by its nanny", "another worker is there", "the last one"])
def test_a_worker_killed_right_after_logging(how: str, records: Records, tmp_path: Path) -> None:
    with cluster("a", nanny=how.startswith("restarted")) as made:
        if how.startswith("another"):
            made.add_worker("b")
        count = 1000
        with connected(made) as client, relay_logs(client):
            future = client.submit(tasks.log_and_die, count, str(tmp_path / "flag"))
            if how == "the last one":
                made.processes[-1].popen.wait()
            else:
                assert future.result() == count
    expected = [str(number) for number in range(count)]
    runs: dict[object, list[str]] = {}
    for record in records.records:
        if record.name == "app":
            runs.setdefault(record.process, []).append(record.getMessage())
    assert list(runs.values()) == [expected] * (1 if how == "the last one" else 2)
    assert not os.path.exists(worker_module.directory())


def test_late_workers_and_those_that_leave(records: Records) -> None:
    with cluster("a") as made, connected(made) as client, relay_logs(client):
        logging.getLogger("app.late").setLevel(logging.ERROR)
        try:
            client.submit(tasks.log, "early").result()
            made.add_worker("b")
            client.submit(tasks.log_each_level, "app.late", "app", workers=["b"]).result()
            assert records.messages == ["early", "app.late at 40", *(f"app at {level}" for level in (10, 20, 30, 40))]
            records.records.clear()
            [address] = [key for key, info in client.scheduler_info()["workers"].items() if info["name"] == "b"]
            futures = client.map(tasks.log_numbers, [200] * 4, workers=["b"], pure=False)
            for future in futures:
                future.result()
            client.retire_workers([address])
            client.submit(tasks.log, "the other one goes on").result()
        finally:
            logging.getLogger("app.late").setLevel(logging.NOTSET)
    assert len(records.messages) == 801


def test_a_thread_that_logs_while_its_worker_leaves(records: Records) -> None:
    with cluster("a") as made, connected(made) as client:
        with relay_logs(client):
            client.submit(tasks.log_in_background, 2000, workers=["a"]).result()
            made.processes[-1].popen.send_signal(signal.SIGTERM)
            made.processes[-1].popen.wait()
        assert [record.getMessage() for record in records.records] == [str(n) for n in range(len(records.records))]


def test_a_cancelled_task_goes_on_logging(shared: Cluster, records: Records) -> None:
    with connected(shared) as client, relay_logs(client):
        future = client.submit(tasks.log_around_event, "cancelled")
        records.wait_for("before")
        future.cancel()
        Event("cancelled").set()
        records.wait_for("after")


CLIENT = """
import logging, os, signal, sys
sys.path[:0] = {paths}
from distributed import Client
import dask_tasks as tasks
from logpool._dask import scheduler
from logpool.dask import relay_logs
scheduler.GRACE = 0.1
logging.basicConfig(level="DEBUG", filename=os.devnull)
with Client(sys.argv[1]) as client, relay_logs(client):
    client.submit(tasks.log, "from the client").result()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_clean_up_after_a_client_that_was_killed(records: Records) -> None:
    with cluster("a") as made, connected(made) as client:
        before = client.run(tasks.logging_state)
        program = CLIENT.format(paths=[*sys.path, str(Path(tasks.__file__).parent)])
        done = subprocess.run([sys.executable, "-c", program, made.address], check=False, timeout=50)
        assert done.returncode == -signal.SIGKILL
        made.processes[-1].wait_for("Removing Worker plugin logpool")
        # By a task, which runs behind what the worker does to remove the plugin.
        with relay_logs(client):
            assert client.submit(tasks.log, "of another client").result()
        assert client.run(tasks.logging_state) == before
        assert records.messages == ["of another client"]
        assert not os.path.exists(worker_module.directory())


def test_the_scheduler_is_killed(records: Records) -> None:
    with cluster("a") as made:
        worker = made.processes[-1]
        with connected(made, timeout=20) as client, relay_logs(client) as relay:
            future = client.submit(tasks.log_when_disconnected, "left behind")
            records.wait_for("before")
            made.scheduler.kill()
            with pytest.raises((asyncio.CancelledError, CancelledError)):
                future.result()
            records.wait_for(
                "The connection to the Dask scheduler is lost. Records that are on their way wait in the workers."
            )
            assert not relay.flush()
        worker.popen.wait()
        worker.wait_for(r"INFO:app:left behind")
        assert records.messages.count("left behind") <= 1
    assert not os.path.exists(worker_module.directory())


def test_an_executors_job_when_the_scheduler_is_killed(records: Records) -> None:
    with cluster("a") as made:
        with connected(made, timeout=20) as client:
            executor = LoggingDaskExecutor(client)
            future = executor.submit(tasks.log_when_disconnected, "left behind")
            records.wait_for("before")
            made.scheduler.kill()
            with pytest.raises(BrokenExecutor, match="The connection to the Dask scheduler was lost"):
                future.result(30)
            executor.shutdown()
            assert not executor.flush_logs()
        made.processes[-1].popen.wait()


def test_a_connection_is_cut_and_restored(shared: Cluster, records: Records) -> None:
    with connected(shared) as client, relay_logs(client) as relay:
        client.submit(tasks.log_around_event, "cut")
        records.wait_for("before")
        client.loop.add_callback(client.scheduler_comm.comm.abort)
        records.wait_for(
            "The connection to the Dask scheduler is lost. Records that are on their way wait in the workers."
        )
        with connected(shared, set_as_default=False) as other:
            Event("cut", client=other).set()
        records.wait_for("after")
        client.submit(tasks.log, "again").result()
        assert records.messages[-1] == "again"
        assert relay.flush()


def test_workers_in_the_clients_process(records: Records) -> None:
    mine = Records()
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=":0") as made,
        Client(made) as client,
    ):
        with relay_logs(client):
            client.submit(tasks.log, "once").result()
        with LoggingDaskExecutor(client) as executor:
            executor.submit(tasks.log, "by a job").result()
        with relay_logs(client, handlers=[mine]):
            client.submit(tasks.log, "to mine").result()
            tasks.log("the client's own")
    assert records.messages == ["once", "by a job", "the client's own"]
    assert not hasattr(records.records[2], "worker")
    assert mine.messages == ["to mine"]
    assert records.records[0].taskKey.startswith("log-")  # type: ignore[attr-defined]
    assert records.records[1].jobName == "dask_tasks.log"  # type: ignore[attr-defined]


def test_a_scheduler_without_logpool(records: Records) -> None:
    with cluster("a", source=SCHEDULER_WITHOUT_LOGPOOL) as made, connected(made) as client, relay_logs(client) as relay:
        client.submit(tasks.log, "all the same").result()
        assert records.messages == ["all the same"]
        assert relay.flush()


def test_a_worker_without_logpool() -> None:
    with cluster() as made:
        made.add_worker("a", source=WORKER_WITHOUT_LOGPOOL)
        with connected(made) as client:
            threads = threading.active_count()
            with pytest.raises(RuntimeError, match="install logpool-executor where workers run"), relay_logs(client):
                pass
            assert threading.active_count() == threads
            assert client.submit(len, ()).result() == 0


def test_relays_on_one_client_may_end_in_any_order(shared: Cluster, records: Records) -> None:
    mine = Records()
    with connected(shared) as client:
        first, second = relay_logs(client), relay_logs(client, handlers=[mine])
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        client.submit(tasks.log, "to the second").result()
        second.__exit__(None, None, None)
        client.submit(tasks.log, "to none").result()
        with relay_logs(client):
            client.submit(tasks.log, "to the third").result()
    assert mine.messages == ["to the second"]
    assert records.messages == ["to the third"]


def test_tls(records: Records, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    temporary = Security.temporary()
    (tmp_path / "cert.pem").write_text(temporary.tls_ca_file)
    (tmp_path / "key.pem").write_text(temporary.tls_client_key)
    arguments = ["--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
    paths = tuple(str(tmp_path / item) if item.endswith(".pem") else item for item in arguments)
    with (
        cluster("a", security=("--protocol", "tls", *paths)) as made,
        connected(made, security=temporary) as client,
        relay_logs(client),
    ):
        assert made.address.startswith("tls://")
        client.submit(tasks.log_numbers, 1000).result()
    assert len(records.messages) == 1000


def test_a_slow_handler_makes_tasks_wait(shared: Cluster, records: Records) -> None:
    go = threading.Event()
    records.on_message["0"] = go.wait
    with connected(shared) as client, relay_logs(client, backlog=10_000):
        client.run(tasks.watch_for_waits)
        future = client.submit(tasks.log_numbers, 2000)
        records.wait_for("0")
        client.run(tasks.wait_for_wait)
        assert not future.done()
        assert len(records.messages) == 1
        go.set()
        future.result()
    assert records.messages == [str(number) for number in range(2000)]


def test_a_handler_that_waits_for_a_result(shared: Cluster, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "STUCK", 0.1)
    results = []
    with connected(shared) as client, relay_logs(client):
        records.on_message["ask"] = lambda: results.append(client.submit(os.getpid).result())
        client.submit(tasks.log, "ask").result()
    assert len(results) == 1


def test_shutdown_without_waiting_and_with_cancelled_futures(shared: Cluster, records: Records) -> None:
    with connected(shared) as client:
        executor = LoggingDaskExecutor(client)
        running = [executor.submit(tasks.log_around_event, "shut down") for _ in range(2)]
        while records.messages.count("before") < 2:
            with records.arrival:
                records.arrival.wait()
        pending = [executor.submit(tasks.log, "never") for _ in range(20)]
        executor.shutdown(wait=False, cancel_futures=True)
        assert pending[-1].cancelled()
        Event("shut down").set()
        for future in running:
            future.result(30)
        assert records.messages.count("after") == 2
        for thread in threading.enumerate():
            if thread.name == "logpool-dask-shutdown":
                thread.join()


def test_an_asynchronous_client_is_refused(shared: Cluster) -> None:
    async def main(address: str) -> None:
        async with Client(address, asynchronous=True) as client:
            with pytest.raises(RuntimeError, match="the client is asynchronous"):
                LoggingDaskExecutor(client)

    asyncio.run(main(shared.address))


def test_a_child_that_a_task_forks_does_not_relay(shared: Cluster, records: Records) -> None:
    with connected(shared) as client, relay_logs(client):
        assert client.submit(tasks.fork_and_log).result() == 0
        client.submit(tasks.log, "from the worker").result()
    assert records.messages == ["from the worker"]
