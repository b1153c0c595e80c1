"""Each example, as a program, under each start method: its console and its files. And the programs in README.md.

Those that want other packages are in test_third_party.py.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks import readme

from documents import README, README_BLOCKS, comparable, program_of_readme
from run_examples import CHECKOUT, EXAMPLES, WORKER_NAMES, run, run_python

each_start_method = pytest.mark.parametrize("start_method", multiprocessing.get_all_start_methods())


class Line(NamedTuple):
    """A record as a log file has it, but for its time."""

    level: str
    process: str
    logger: str
    message: str


def run_in(directory: Path, example: str, start_method: str) -> str:
    """Runs an example that writes its files into a directory."""
    return run(example, directory.parent, str(directory), "--start-method", start_method)


def parse(text: str, pattern: str) -> list[Line]:
    """Makes records of lines, each of which must match the pattern."""
    lines = []
    for line in text.splitlines():
        match = re.fullmatch(pattern, line)
        assert match, line
        lines.append(Line(**match.groupdict()))
    return lines


def file_names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# quickstart.py

QUICKSTART_LINE = (
    r"\d\d:\d\d:\d\d (?P<level>[A-Z]+) +(?P<process>\S+) +(?P<logger>primes|primes\.parse|primes\.count|py\.warnings) +"
    r"(?P<message>.*)"
)
QUICKSTART_BY_PARENT = [
    ("INFO", "primes", "7 jobs for 2 workers"),
    ("INFO", "primes", "6 of 7 jobs have a result"),
]
QUICKSTART_BY_WORKERS = [
    ("WARNING", "primes.count", "there are no primes below 1"),
    ("INFO", "primes.count", "0 primes below 1"),
    ("INFO", "primes.count", "168 primes below 1000"),
    ("INFO", "primes.count", "669 primes below 5000"),
    ("INFO", "primes.count", "1229 primes below 10000"),
    ("INFO", "primes.count", "2262 primes below 20000"),
    ("INFO", "primes.count", "5133 primes below 50000"),
    ("ERROR", "primes.parse", "'many' is not a number"),
]
QUICKSTART_DEBUG = [
    ("DEBUG", "primes.parse", f"parsing {text!r}") for text in ("1", "1000", "5000", "10,000", "20000", "many", "50000")
]


def parse_quickstart(text: str) -> tuple[list[Line], list[str]]:
    """Tells lines that begin a record from those that go on with one."""
    begin, go_on = [], []
    for line in text.splitlines():
        match = re.fullmatch(QUICKSTART_LINE, line)
        if match:
            begin.append(Line(**match.groupdict()))
        else:
            go_on.append(line)
    return begin, go_on


def check_warning_and_traceback(go_on: list[str]) -> None:
    """Checks the lines that go on with a record: those of one warning and one traceback."""
    path = EXAMPLES / "quickstart.py"
    # Behind four spaces: source lines of the traceback, which each version of Python marks in its own way.
    assert Counter(line for line in go_on if not line.startswith("    ")) == Counter(
        [
            "  limit = parse(text)",
            "",
            "Traceback (most recent call last):",
            f'  File "{path}", line {line_number("limit = parse(text)")}, in count_primes',
            f'  File "{path}", line {line_number("return int(")}, in parse',
            "ValueError: invalid literal for int() with base 10: 'many'",
        ]
    )


def line_number(text: str, example: str = "quickstart.py") -> int:
    lines = (EXAMPLES / example).read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if text in line)
    return number


@each_start_method
def test_quickstart_routes_what_workers_log_to_console_and_files(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "quickstart.py", start_method)
    warning = (
        "WARNING",
        "py.warnings",
        f"{EXAMPLES / 'quickstart.py'}:{line_number('limit = parse(text)')}: "
        "FutureWarning: the comma in '10,000' will be an error",
    )
    by_parent = [*QUICKSTART_BY_PARENT, ("INFO", "primes", f"log files are in {logs}")]
    for text, by_workers in (
        (console, [*QUICKSTART_BY_WORKERS, warning]),
        ((logs / "quickstart.log").read_text(), [*QUICKSTART_BY_WORKERS, warning, *QUICKSTART_DEBUG]),
    ):
        lines, go_on = parse_quickstart(text)
        from_parent = [line for line in lines if line.process == "MainProcess"]
        from_workers = [line for line in lines if line.process != "MainProcess"]
        assert [(line.level, line.logger, line.message) for line in from_parent] == by_parent
        assert [lines[0], *lines[-2:]] == from_parent
        assert Counter((line.level, line.logger, line.message) for line in from_workers) == Counter(by_workers)
        names = {line.process for line in from_workers}
        assert 1 <= len(names) <= 2
        assert all(re.fullmatch(WORKER_NAMES[start_method], name) for name in names)
        check_warning_and_traceback(go_on)

    errors, go_on = parse_quickstart((logs / "quickstart-errors.log").read_text())
    assert [(line.level, line.logger, line.message) for line in errors] == [QUICKSTART_BY_WORKERS[-1]]
    assert go_on[0] == "Traceback (most recent call last):"
    assert go_on[-1] == "ValueError: invalid literal for int() with base 10: 'many'"
    assert file_names(logs) == {"quickstart.log", "quickstart-errors.log"}


# The cookbook's program: per_logger_files.py and processes.py

COOKBOOK_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
COOKBOOK_LOGGERS = ["foo", "foo.bar", "foo.bar.baz", "spam", "spam.ham", "spam.ham.eggs"]
COOKBOOK_LINE = r"(?P<logger>\S+) +(?P<level>[A-Z]+) +(?P<process>(?:worker )?\S+) +(?P<message>\S.*)"
COOKBOOK_FILE_LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} " + COOKBOOK_LINE


def random_records(word: str) -> list[list[tuple[str, str, str]]]:
    """Level, logger and message of each record that each of five workers logs, in their order."""
    workers = []
    for seed in range(5):
        generator = random.Random(seed)
        records = []
        for number in range(100):
            logger = generator.choice(COOKBOOK_LOGGERS)
            level = generator.choice(COOKBOOK_LEVELS)
            records.append((level, logger, f"{word} {seed}, record {number}"))
        workers.append(records)
    return workers


def is_info(level: str, logger: str) -> bool:
    return level != "DEBUG"


def is_foo(level: str, logger: str) -> bool:
    return logger.startswith("foo")


def is_error(level: str, logger: str) -> bool:
    return level in {"ERROR", "CRITICAL"}


def is_any(level: str, logger: str) -> bool:
    return True


@each_start_method
def test_per_logger_files_have_the_records_of_their_loggers_and_levels_alone(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "per_logger_files.py", start_method)
    jobs = random_records("job")
    for text, pattern, belongs in (
        (console, COOKBOOK_LINE, is_info),
        ((logs / "mplog.log").read_text(), COOKBOOK_FILE_LINE, is_any),
        ((logs / "mplog-foo.log").read_text(), COOKBOOK_FILE_LINE, is_foo),
        ((logs / "mplog-errors.log").read_text(), COOKBOOK_FILE_LINE, is_error),
    ):
        lines = parse(text, pattern)
        assert all(re.fullmatch(WORKER_NAMES[start_method], line.process) for line in lines)
        got = [(line.level, line.logger, line.message) for line in lines]
        for job, records in enumerate(jobs):
            of_job = [record for record in got if record[2].startswith(f"job {job},")]
            assert of_job == [record for record in records if belongs(*record[:2])]
        assert len(got) == sum(belongs(*record[:2]) for records in jobs for record in records)
    assert len((logs / "mplog.log").read_text().splitlines()) == 500
    assert file_names(logs) == {"mplog.log", "mplog-foo.log", "mplog-errors.log"}


@each_start_method
def test_processes_without_a_pool_log_by_the_parents_configuration(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "processes.py", start_method)
    workers = random_records("seed")
    for text, pattern, belongs in (
        (console, COOKBOOK_LINE, is_info),
        ((logs / "processes.log").read_text(), COOKBOOK_FILE_LINE, is_any),
        ((logs / "processes-foo.log").read_text(), COOKBOOK_FILE_LINE, is_foo),
        ((logs / "processes-errors.log").read_text(), COOKBOOK_FILE_LINE, is_error),
    ):
        lines = parse(text, pattern)
        for seed, records in enumerate(workers):
            of_worker = [(line.level, line.logger, line.message) for line in lines if line.process == f"worker {seed}"]
            assert of_worker == [record for record in records if belongs(*record[:2])]
        from_parent = [line for line in lines if not line.process.startswith("worker ")]
        assert from_parent == [
            Line("INFO", "MainProcess", "foo", message)
            for message in ("5 workers started", "5 workers ended")
            if belongs("INFO", "foo")
        ]
        if from_parent:
            assert lines[-1] == from_parent[-1]
    assert len((logs / "processes.log").read_text().splitlines()) == 502
    assert file_names(logs) == {"processes.log", "processes-foo.log", "processes-errors.log"}


# any_pool.py


@each_start_method
def test_any_pool_logs_by_the_parents_configuration(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "any_pool.py", start_method)
    callers = {"Pool": range(3), "ProcessPoolExecutor": range(3), "a process": [3], "a process's child": [3]}
    if importlib.util.find_spec("joblib"):
        callers["joblib"] = range(3)
    results = [f"INFO  squares {caller}: {number**2}" for caller, numbers in callers.items() for number in numbers]
    begins = [f"DEBUG squares {caller}: squaring {number}" for caller, numbers in callers.items() for number in numbers]
    assert sorted(console.splitlines()) == sorted(results)
    assert sorted((logs / "any_pool.log").read_text().splitlines()) == sorted(results + begins)
    assert file_names(logs) == {"any_pool.log"}


# own_handlers.py and primary_and_workers.py

OWN_LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) +(?P<process>\S+) +(?P<logger>\w+): (?P<message>.*)"


@each_start_method
def test_own_handlers_get_records_by_their_own_level(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "own_handlers.py", start_method)
    assert console == "None 60 30 20 15 12 10 8\n"

    text = (logs / "own-info.log").read_text()
    lines = parse("\n".join(line for line in text.splitlines() if line[:1].isdigit()), OWN_LINE)
    assert all(re.fullmatch(WORKER_NAMES[start_method], line.process) for line in lines)
    assert Counter((line.level, line.logger, line.message) for line in lines) == Counter(
        [
            ("ERROR", "divide", "60 / 0 has no result"),
            ("WARNING", "divide", "60 / 7 leaves 4"),
            *(("INFO", "divide", f"60 / {divisor} is {60 // divisor}") for divisor in range(1, 8)),
        ]
    )
    assert text.count("Traceback") == text.count("ZeroDivisionError: ") == 1

    first, *traceback = (logs / "own-errors.log").read_text().splitlines()
    assert parse(first, OWN_LINE) == [line for line in lines if line.level == "ERROR"]
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1].startswith("ZeroDivisionError: ")
    assert not any(line[:1].isdigit() for line in traceback)
    assert file_names(logs) == {"own-info.log", "own-errors.log"}


@each_start_method
def test_primary_and_ranks_share_files_that_the_primary_writes(tmp_path: Path, start_method: str) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "primary_and_workers.py", start_method)
    assert console == ""

    lines = parse((logs / "primary-info.log").read_text(), OWN_LINE)
    from_primary = [line for line in lines if line.process == "MainProcess"]
    assert from_primary == [
        Line("INFO", "MainProcess", "train", "the primary starts 4 ranks"),
        Line("INFO", "MainProcess", "train", "the ranks ended with [0, 0, 0, 0]"),
    ]
    assert [lines[0], lines[-1]] == from_primary
    names = set()
    for rank in range(4):
        of_rank = [line for line in lines if line.message.startswith(f"rank {rank}")]
        (name,) = {line.process for line in of_rank}
        assert re.fullmatch(r"Process-\d+", name)
        names.add(name)
        assert of_rank == [
            Line("INFO", name, "train", f"rank {rank} begins"),
            Line("ERROR", name, "train", f"rank {rank}, step {rank}: loss is not a number"),
            Line("INFO", name, "train", f"rank {rank} is done"),
        ]
    assert len(names) == 4
    assert len(lines) == 14

    errors = parse((logs / "primary-errors.log").read_text(), OWN_LINE)
    assert errors == [line for line in lines if line.level == "ERROR"]
    assert file_names(logs) == {"primary-info.log", "primary-errors.log"}


# asyncio_service.py, crash_report.py, print_to_log.py and pytest_session_pool

SERVICE_LINE = r"\[(?P<request>request-\d)\] (?P<process>\S+) (?P<logger>\S+) (?P<message>.*)"


@each_start_method
def test_each_line_of_a_service_has_the_id_of_its_request(tmp_path: Path, start_method: str) -> None:
    *lines, answers = run("asyncio_service.py", tmp_path, "--start-method", start_method).splitlines()
    assert answers == "[4, 25, 168, 669, 1229]"
    found = [re.fullmatch(SERVICE_LINE, line) for line in lines]
    assert all(found)
    requests: dict[str, list[str]] = {}
    for match in found:
        assert match is not None
        process = "MainProcess" if match["logger"] == "service" else WORKER_NAMES[start_method]
        assert re.fullmatch(process, match["process"])
        requests.setdefault(match["request"], []).append(match["message"])
    assert sorted(map(tuple, requests.values())) == sorted(
        (f"asked for {limit}", f"counting below {limit}", f"{count} primes below {limit}", f"answering {count}")
        for limit, count in ((10, 4), (100, 25), (1000, 168), (5000, 669), (10_000, 1229))
    )


@each_start_method
def test_a_crash_is_reported_into_a_file_of_its_own_and_the_other_jobs_are_done(
    tmp_path: Path, start_method: str
) -> None:
    logs = tmp_path / "logs"
    console = run_in(logs, "crash_report.py", start_method)
    assert (
        console
        == str({"one.png": "one.jpg", "two.png": "two.jpg", "broken.png": "crashed", "three.png": "three.jpg"}) + "\n"
    )

    report = (logs / "crashes.log").read_text()
    worker = WORKER_NAMES[start_method]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} Worker ", report)
    job = r"running job 3 \(__main__\.scale\)\.\n"
    assert re.search(rf" Worker {worker} \(pid \d+\) was killed by SIGSEGV, {job}", report)
    assert re.search(
        rf"worker: {worker}, pid \d+\nsignal: SIGSEGV, exit code -11\n"
        rf"job:    3, __main__\.scale\n\n\Z",
        report,
    )
    assert f'crash_report.py", line {line_number("ctypes.string_at(0)", "crash_report.py")} in scale' in report
    assert report.count("Worker ") == 1
    lines = (logs / "images.log").read_text().splitlines()
    assert [line for line in lines if line.startswith("INFO ")] == [
        f"INFO scaling {name}.png" for name in ("one", "two", "broken", "three")
    ]
    assert file_names(logs) == {"images.log", "crashes.log"}


@each_start_method
def test_what_jobs_print_is_logged_with_the_line_of_the_print(tmp_path: Path, start_method: str) -> None:
    *lines, sums = run("print_to_log.py", tmp_path, "--start-method", start_method).splitlines()
    assert sums == "[0, 2, 4]"
    first = line_number('print("adding"', "print_to_log.py")
    last = line_number("print(first + second)", "print_to_log.py")
    found = sorted(re.sub(WORKER_NAMES[start_method], "WORKER", line) for line in lines)
    assert found == sorted(
        line
        for number in range(3)
        for line in (
            f"stdout WORKER line {first}: adding {number} and {number}",
            f"stdout WORKER line {last}: that makes {2 * number}",
        )
    )


def test_tests_with_a_pool_of_the_session_see_what_their_own_jobs_log(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "pytest_session_pool", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    completed = run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert completed.returncode == 0, completed.stdout
    assert "3 passed" in completed.stdout


# All of them

FILES = {
    "quickstart.py": {"quickstart.log", "quickstart-errors.log"},
    "per_logger_files.py": {"mplog.log", "mplog-foo.log", "mplog-errors.log"},
    "any_pool.py": {"any_pool.log"},
    "own_handlers.py": {"own-info.log", "own-errors.log"},
    "processes.py": {"processes.log", "processes-foo.log", "processes-errors.log"},
    "primary_and_workers.py": {"primary-info.log", "primary-errors.log"},
    "crash_report.py": {"images.log", "crashes.log"},
}
WITHOUT_FILES = {"asyncio_service.py", "print_to_log.py", "pytest_session_pool"}
IN_TEST_THIRD_PARTY = {"progress_bar.py", "structlog_json.py"}
IN_TEST_DASK_EXAMPLE = {"scale_out.py"}


def test_no_example_goes_untested() -> None:
    names = {path.name for path in EXAMPLES.iterdir()} - {"__pycache__", "logs"}
    assert names == {*FILES, *WITHOUT_FILES, *IN_TEST_THIRD_PARTY, *IN_TEST_DASK_EXAMPLE}


@pytest.mark.parametrize("example", FILES)
def test_without_arguments_an_example_writes_into_logs_in_the_current_directory(tmp_path: Path, example: str) -> None:
    run(example, tmp_path)
    assert file_names(tmp_path) == {"logs"}
    assert file_names(tmp_path / "logs") == FILES[example]


def test_examples_run_again_begin_their_files_anew(tmp_path: Path) -> None:
    for _ in range(2):
        run("per_logger_files.py", tmp_path)
    assert len((tmp_path / "logs" / "mplog.log").read_text().splitlines()) == 500


# README.md

PROGRAM = program_of_readme()


def output_of(program: str, directory: Path, start_method: str) -> str:
    guard = 'if __name__ == "__main__":\n'
    chosen = f"    multiprocessing.set_start_method({start_method!r})\n"
    program = program.replace(guard, f"import multiprocessing\n{guard}{chosen}")
    (directory / "program.py").write_text(program)
    completed = run_python(directory, "program.py")
    assert completed.returncode == 0, completed.stderr
    return completed.stderr + completed.stdout


@each_start_method
def test_the_program_in_readme_writes_what_readme_shows(tmp_path: Path, start_method: str) -> None:
    assert comparable(output_of(PROGRAM.source, tmp_path, start_method)) == comparable(PROGRAM.console)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_what_readme_says_of_a_stock_pool(tmp_path: Path, start_method: str) -> None:
    diff = next(text for language, text in README_BLOCKS if language == "diff")
    removed, added = (line[1:] for line in diff.splitlines())
    assert added == "from logpool import LoggingProcessPoolExecutor as ProcessPoolExecutor"
    program = PROGRAM.source.replace("from logpool import LoggingProcessPoolExecutor", removed)
    program = program.replace("LoggingProcessPoolExecutor", "ProcessPoolExecutor")
    shown = next(text for language, text in README_BLOCKS if language == "text")
    assert output_of(program, tmp_path, start_method) == shown


def test_no_code_in_readme_goes_untested() -> None:
    # The other is run by test_third_party.py, and the line for a cluster by test_dask_docs.py.
    assert [language for language, _ in README_BLOCKS].count("python") == 2


def test_files_that_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert [link for link in links if not link.startswith("#") and not (CHECKOUT / link).exists()] == []


@pytest.mark.parametrize(("path", "make"), [(readme.README, readme.section), (readme.PAGE, readme.page)])
def test_figures_in_readme_and_docs_are_those_of_the_last_full_run_of_the_benchmarks(
    path: Path, make: Callable[[dict[str, Any]], str]
) -> None:
    results = json.loads((CHECKOUT / "benchmarks" / "results.json").read_text())
    assert not results["quick"]
    text = path.read_text()
    assert readme.insert(text, make(results)) == text
