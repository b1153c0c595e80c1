"""A relay whose records come from other interpreters of the same process.

In programs of their own: what the tests have changed in `sys.path` another interpreter doesn't know.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from conftest import Run
from logpool import LogRelay
from logpool._process import directory

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="there is no InterpreterPoolExecutor before 3.14")

PROGRAM = """
import gc, logging, os, sys
from concurrent.futures import InterpreterPoolExecutor
from logpool import LoggingProcessPoolExecutor, LogRelay

class OurError(Exception):
    pass

def count(numbers):
    for number in range(numbers):
        logging.getLogger("app").info("%d", number)

def fail():
    try:
        raise OurError("no good")
    except OurError as error:
        error.add_note("a note")
        logging.getLogger(__name__).exception("failed", extra={{"user": "somebody"}})

def is_enabled(level):
    return logging.getLogger("app.quiet").isEnabledFor(level)

class Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []
    def emit(self, record):
        self.records.append(record)

def pool(workers=1):
    return InterpreterPoolExecutor(workers, initializer=relay.install)

if __name__ == "__main__":
    own = Records()
    logging.basicConfig(level="INFO", handlers=[own])
    with LogRelay() as relay:
{body}
"""


def run(run_program: Run, body: str) -> None:
    program = PROGRAM.format(body="\n".join(" " * 8 + line for line in body.strip().splitlines()))
    ended = run_program(program)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_all_records_are_handled_by_the_parents_handlers(run_program: Run) -> None:
    run(
        run_program,
        """
with pool(2) as executor:
    list(executor.map(count, [25] * 4))
assert relay.flush()
assert sorted(int(record.getMessage()) for record in own.records) == sorted([*range(25)] * 4)
assert {record.process for record in own.records} == {os.getpid()}
""",
    )


def test_an_exception_arrives_whole_and_the_main_module_has_its_name(run_program: Run) -> None:
    run(
        run_program,
        """
with pool() as executor:
    executor.submit(fail).result()
assert relay.flush()
record, = own.records
value = record.exc_info[1]
assert (type(value), value.args, value.__notes__) == (OurError, ("no good",), ["a note"])
assert record.exc_info[2].tb_frame.f_code.co_name == "fail"
assert (record.name, record.user) == ("__main__", "somebody")
text = logging.Formatter().format(record)
assert text.endswith("OurError: no good\\na note"), text
assert "fake" not in text.rpartition("File")[2]
""",
    )


def test_the_parents_levels_hold(run_program: Run) -> None:
    run(
        run_program,
        """
logging.getLogger("app.quiet").setLevel("ERROR")
with pool() as executor:
    assert not executor.submit(is_enabled, logging.WARNING).result()
    assert executor.submit(is_enabled, logging.ERROR).result()
""",
    )


def test_no_descriptor_is_left(run_program: Run) -> None:
    run(
        run_program,
        """
found = []
for _ in range(11):
    with pool() as executor:
        executor.submit(count, 1).result()
    gc.collect()
    found.append(len(os.listdir("/proc/self/fd")))
assert found[-1] <= found[0], found
assert relay.flush()
assert len(own.records) == 11
""",
    )


def test_the_key_is_in_no_pickle() -> None:
    with LogRelay() as relay:
        assert relay._service is not None
        path = relay._service.manager.directory
        assert path is not None
        assert Path(path).stat().st_mode & 0o077 == 0
        assert directory.read_key(path) not in pickle.dumps(relay.install)
