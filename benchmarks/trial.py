"""One measurement in an interpreter of its own: `python -m benchmarks.trial PART SETTINGS`.

Prints what was measured as one line of JSON. Imports little: with the start methods spawn and forkserver each process
imports this module again, and what that takes would be measured with the rest.
"""

import importlib
import json
import multiprocessing
import sys


def main() -> None:
    """Takes the measurement that the command line asks for."""
    part, settings = sys.argv[1], json.loads(sys.argv[2])
    # fork unless the part says otherwise: not each of the other ways works with another.
    multiprocessing.set_start_method(settings.pop("start_method", "fork"))
    module = importlib.import_module(f"benchmarks.parts.{part}")
    print(json.dumps(module.measure(**settings)), flush=True)


if __name__ == "__main__":
    main()
