"""What takes minutes, because it is random and many: deselected by default, run by `pytest -m long`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The programs end by themselves when a round of theirs hangs.
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

HELPERS = Path(__file__).parent / "helpers"

PROGRAMS = [
    ("harness.py", "--kills", "1000"),
    ("soak.py", "--minutes", "3"),
    ("attack_order.py", "--jobs", "10000"),
]


@pytest.mark.parametrize("arguments", PROGRAMS, ids=" ".join)
def test_faults_at_random_lose_double_garble_and_disorder_nothing(arguments: tuple[str, ...]) -> None:
    program, *options = arguments
    # Its output, the seed included, is in pytest's report if it fails.
    assert subprocess.run([sys.executable, str(HELPERS / program), *options], check=False).returncode == 0
