"""One line for every pool: other projects' pools, as they are, under a relay that serves all children."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

import pytest

import pool_jobs
from conftest import START_METHODS, Records
from logpool import LogRelay

JOBS = range(4)


@pytest.fixture(scope="module", autouse=True)
def _what_others_keep_until_the_end() -> None:
    """Starts what these projects have for as long as the interpreter runs, so that no test seems to leave it behind."""
    for name in ("loky", "joblib.externals.loky"):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{name}.backend.resource_tracker").ensure_running()
    with contextlib.suppress(ImportError):
        importlib.import_module("tqdm").tqdm.monitor_interval = 0  # Else it has a thread.
    with contextlib.suppress(ImportError):
        importlib.import_module("torch")  # It has a descriptor.


@contextlib.contextmanager
def relayed(records: Records) -> Iterator[None]:
    """Have a relay, whose records are, in the end, those of all jobs, once each, whole, and of other processes."""
    with LogRelay(all_children=True):
        yield
    found = [record for record in records.records if record.name == pool_jobs.logger.name]
    assert Counter(record.getMessage() for record in found) == Counter(
        f"job {number}, record {index}" for number in JOBS for index in range(pool_jobs.COUNT)
    )
    assert {record.process for record in found}.isdisjoint({os.getpid()})
    assert sorted(str(record.exc_info[1]) for record in found if record.exc_info) == [str(number) for number in JOBS]
    assert [record for record in records.records if record.name == "logpool"] == []


def test_process_pool_executor(context: BaseContext, records: Records) -> None:
    with relayed(records), ProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(pool_jobs.work, JOBS)) == [*JOBS]


def test_multiprocessing_pool(context: BaseContext, records: Records) -> None:
    with relayed(records), context.Pool(2) as pool:  # It is terminated in the end.
        assert pool.map(pool_jobs.work, JOBS) == [*JOBS]


def test_processes(context: Any, records: Records) -> None:
    with relayed(records):
        processes = [context.Process(target=pool_jobs.work, args=(number,)) for number in JOBS]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_joblib(backend: str, records: Records) -> None:
    joblib = pytest.importorskip("joblib")
    with relayed(records):
        parallel = joblib.Parallel(n_jobs=2, backend=backend)
        assert parallel(joblib.delayed(pool_jobs.work)(number) for number in JOBS) == [*JOBS]
        joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True)


@pytest.mark.parametrize("context_name", ["loky", "spawn"])
def test_loky(context_name: str, records: Records) -> None:
    loky = pytest.importorskip("loky")
    with relayed(records), loky.get_reusable_executor(2, context=context_name) as executor:
        assert list(executor.map(pool_jobs.work, JOBS)) == [*JOBS]


def test_pebble(context: BaseContext, records: Records) -> None:
    pebble = pytest.importorskip("pebble")
    with relayed(records), pebble.ProcessPool(2, context=context) as pool:
        assert list(pool.map(pool_jobs.work, JOBS).result()) == [*JOBS]


def test_pebbles_decorated_function(records: Records) -> None:
    concurrent = pytest.importorskip("pebble.concurrent")
    with relayed(records):
        work = concurrent.process(pool_jobs.work)
        assert [work(number).result() for number in JOBS] == [*JOBS]


def test_tqdm(records: Records) -> None:
    concurrent = pytest.importorskip("tqdm.contrib.concurrent")
    with relayed(records):
        assert concurrent.process_map(pool_jobs.work, JOBS, max_workers=2, chunksize=1, disable=True) == [*JOBS]


def test_scikit_learn(records: Records) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    joblib = pytest.importorskip("joblib")
    with relayed(records):
        search = selection.GridSearchCV(
            pool_jobs.estimator(), {"number": [*JOBS]}, n_jobs=2, cv=[([0, 1], [2, 3])], refit=False
        )
        search.fit([[0]] * 4, [0] * 4)
        assert search.best_params_ == {"number": JOBS[-1]}
        joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True)


def test_torchs_data_loader(context: BaseContext, records: Records) -> None:
    data = pytest.importorskip("torch.utils.data")
    with relayed(records):
        loader = data.DataLoader(pool_jobs.Dataset(), num_workers=2, multiprocessing_context=context)
        assert [int(item) for item in loader] == [*JOBS]


@pytest.mark.parametrize("method", START_METHODS)
def test_torchs_processes(method: str, records: Records) -> None:
    torch = pytest.importorskip("torch.multiprocessing")
    with relayed(records):
        torch.start_processes(pool_jobs.rank, args=(0,), nprocs=len(JOBS), start_method=method)
