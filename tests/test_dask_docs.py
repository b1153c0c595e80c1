"""What README and docs have for a Dask cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documents import PAGES, README, Program, check_program, program_of_readme, programs_of

pytest.importorskip("distributed")

PROGRAMS = [program for page in PAGES for program in programs_of(page) if program.packages == ["distributed"]]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_in_the_docs_writes_what_is_below_it(program: Program, tmp_path: Path) -> None:
    check_program(program, tmp_path)


def test_the_line_for_a_cluster_in_readme_takes_the_place_of_the_executors(tmp_path: Path) -> None:
    program = program_of_readme()
    (line,) = re.findall(r"^`(with Client.*:)`", README, re.MULTILINE)
    replaced = "    with LoggingProcessPoolExecutor() as executor:"
    assert replaced in program.source
    cluster = line.replace('"tcp://scheduler:8786"', 'n_workers=1, dashboard_address=":0"')
    assert cluster != line
    quiet = '    logging.getLogger("distributed").setLevel("ERROR")\n'
    imports = "from distributed import Client\nfrom logpool.dask import LoggingDaskExecutor\n"
    source = imports + program.source.replace(replaced, f"{quiet}    {cluster}")
    check_program(program._replace(source=source), tmp_path)
