"""Programs that set logging up in ways that are found in the wild. Each is run with threads, and with worker processes.

A program is a text of several modules, `main` the first, each behind a line with its name. It makes its pool, of one
worker, by `pools.pool`. What it prints and what it writes into log files is to be the same, whatever the pool.
"""

from __future__ import annotations

POOLS = """
import multiprocessing, sys
from concurrent.futures import ThreadPoolExecutor

def pool(**options):
    if sys.argv[1] == "thread":
        return ThreadPoolExecutor(1, **options)
    from logpool import LoggingProcessPoolExecutor
    return LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1]), **options)

def run(pool, function, *args):
    pool.submit(function, *args).result()
    if hasattr(pool, "flush_logs"):
        pool.flush_logs()
"""

CONFIG = """
--- config
import sys
CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"},
        "file": {"class": "logging.FileHandler", "formatter": "plain", "filename": "app.log", "mode": "w"},
    },
    "loggers": {"jobs": {"level": "DEBUG"}, "quiet": {"level": "ERROR"}},
    "root": {"level": "INFO", "handlers": ["console", "file"]},
}
"""

# A parent that sets itself up, and a job of a module of its own, that only the worker's first job brings there.
PARENT = """
import logging, sys
import pools

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    import jobs
    {after}
    with pools.pool({options}) as pool:
        pool.submit(jobs.work, 1).result()
        {between}
        pool.submit(jobs.work, 2).result()
    logging.info("done")
"""


def parent(jobs: str, *, after: str = "", options: str = "", between: str = "", more: str = "") -> str:
    return PARENT.format(after=after, options=options, between=between) + "--- jobs\n" + jobs + more


LOG = """
def work(number):
    log.debug("debug %d", number)
    log.info("info %d", number)
    log.warning("warning %d", number)
"""

PROGRAMS: dict[str, str] = {}
"""By name: what code does, where."""

EXPECTED: dict[str, list[str]] = {}
"""What is right where threads, which have the parent's handlers twice, don't show it."""

# At the import of the job's module.

PROGRAMS["dictConfig at import"] = (
    """
import logging
import pools

if __name__ == "__main__":
    import jobs
    with pools.pool() as pool:
        pool.submit(jobs.work, 1).result()
        pool.submit(jobs.work, 2).result()
    logging.info("done")
--- jobs
import logging, logging.config
from config import CONFIG
logging.config.dictConfig(CONFIG)
log = logging.getLogger("jobs")
"""
    + LOG
    + CONFIG
)

PROGRAMS["dictConfig that disables loggers at import"] = PROGRAMS["dictConfig at import"].replace(
    "dictConfig(CONFIG)", "dictConfig(CONFIG | {'disable_existing_loggers': True})"
)

PROGRAMS["dictConfig at import of a module that is imported in the job"] = (
    """
import logging
import pools

def work():
    import jobs
    jobs.work(1)
    logging.getLogger("main").info("in the main module")

if __name__ == "__main__":
    import jobs
    logging.getLogger("jobs").setLevel("INFO")
    with pools.pool() as pool:
        pool.submit(work).result()
--- jobs
import logging, logging.config
from config import CONFIG
logging.config.dictConfig(CONFIG)
log = logging.getLogger("jobs")
"""
    + LOG
    + CONFIG
)

PROGRAMS["fileConfig at import"] = (
    """
import pools

if __name__ == "__main__":
    import jobs
    with pools.pool() as pool:
        pool.submit(jobs.work, 1).result()
        pool.submit(jobs.work, 2).result()
--- jobs
import io, logging, logging.config
INI = '''
[loggers]
keys = root, jobs
[handlers]
keys = console, file
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[logger_jobs]
level = DEBUG
handlers = file
qualname = jobs
propagate = 1
[handler_console]
class = StreamHandler
formatter = plain
args = (sys.stdout,)
[handler_file]
class = FileHandler
formatter = plain
args = ("app.log", "w")
[formatter_plain]
format = %(levelname)s %(name)s %(message)s
'''
logging.config.fileConfig(io.StringIO(INI))
log = logging.getLogger("jobs")
"""
    + LOG
)

PROGRAMS["basicConfig with force at import"] = parent(
    "import logging, sys\n"
    "logging.basicConfig(level='DEBUG', format='jobs: %(name)s %(message)s', stream=sys.stdout, force=True)\n"
    "log = logging.getLogger('jobs')\n" + LOG
)

PROGRAMS["basicConfig at import, and the parent's level after it"] = parent(
    "import logging, sys\nlogging.basicConfig(level='DEBUG')\nlog = logging.getLogger('jobs')\n" + LOG,
    after="logging.getLogger().setLevel('WARNING')",
)

PROGRAMS["handlers.clear() and addHandler at import"] = parent(
    "import logging, sys\n"
    "root = logging.getLogger()\n"
    "root.handlers.clear()\n"
    "root.addHandler(logging.StreamHandler(sys.stdout))\n"
    "log = logging.getLogger('jobs')\n" + LOG
)

PROGRAMS["handlers = [] and propagate = False at import"] = parent(
    "import logging, sys\n"
    "log = logging.getLogger('jobs')\n"
    "log.handlers = []\n"
    "log.propagate = False\n"
    "log.setLevel('DEBUG')\n"
    "log.addHandler(logging.StreamHandler(sys.stdout))\n" + LOG
)

PROGRAMS["root's level at import"] = parent(
    "import logging\nlogging.getLogger().setLevel('ERROR')\nlog = logging.getLogger('jobs')\n" + LOG,
    after="logging.getLogger().setLevel('INFO')",
)

PROGRAMS["root's level at import of a module that the job imports"] = """
import logging, sys
import pools

def work(number):
    import noisy
    logging.getLogger("app").info("info %d", number)

if __name__ == "__main__":
    import noisy
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
--- noisy
import logging
logging.getLogger().setLevel("ERROR")
"""

PROGRAMS["logging.disable at import"] = parent(
    "import logging\nlogging.disable(logging.ERROR)\nlog = logging.getLogger('jobs')\n" + LOG,
    after="logging.disable(logging.NOTSET)",
)

# Helpers that both sides call.

HELPER = """
import logging, sys
def get_logger(name):
    logger = logging.getLogger(name)
    if {condition}:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("helper: %(name)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel("DEBUG")
        {more}
    return logger
"""

HELPED = """
import logging
import pools
from helper import get_logger

def work(number):
    log = get_logger("app")
    log.info("info %d", number)
    log.debug("debug %d", number)

if __name__ == "__main__":
    get_logger("app").info("begin")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

for _name, _condition, _more in (
    ("if not logger.handlers", "not logger.handlers", ""),
    ("if not hasHandlers()", "not logger.hasHandlers()", ""),
    ("if no handler of a class", "not any(isinstance(h, logging.StreamHandler) for h in logger.handlers)", ""),
    ("if no handler of exactly a class", "'StreamHandler' not in [h.__class__.__name__ for h in logger.handlers]", ""),
    ("if no handler on a stream", "not any(getattr(h, 'stream', 0) is sys.stdout for h in logger.handlers)", ""),
    ("if not logger.handlers, with propagate = False", "not logger.handlers", "logger.propagate = False"),
    ("if len(logger.handlers) == 0", "len(logger.handlers) == 0", ""),
):
    PROGRAMS[_name] = HELPED + "--- helper" + HELPER.format(condition=_condition, more=_more)

PROGRAMS["a helper that clears and adds"] = (
    HELPED + "--- helper" + HELPER.format(condition="logger.handlers.clear() is None", more="logger.propagate = False")
)

PROGRAMS["a helper that removes and closes each handler first"] = (
    HELPED
    + "--- helper"
    + HELPER.format(
        condition="[(logger.removeHandler(h), h.flush(), h.close()) for h in logger.handlers[:]] is not None", more=""
    )
)

PROGRAMS["dictConfig by both sides"] = (
    """
import logging
import pools
import jobs

if __name__ == "__main__":
    jobs.set_up()
    with pools.pool() as pool:
        pool.submit(jobs.work, 1).result()
        pool.submit(jobs.work, 2).result()
--- jobs
import logging, logging.config
from config import CONFIG
CONFIG["handlers"]["file"]["mode"] = "a"
log = logging.getLogger("jobs")
def set_up():
    logging.config.dictConfig(CONFIG)
def work(number):
    set_up()
    log.debug("debug %d", number)
    logging.getLogger("quiet").warning("not this")
"""
    + CONFIG
)

PROGRAMS["basicConfig by both sides"] = """
import logging, sys
import pools

def set_up():
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)

def work(number):
    set_up()
    logging.info("info %d", number)

if __name__ == "__main__":
    set_up()
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["basicConfig with force by both sides"] = PROGRAMS["basicConfig by both sides"].replace(
    "stream=", "force=True, stream="
)

PROGRAMS["incremental dictConfig in the job"] = (
    """
import logging, logging.config
import pools
from config import CONFIG

def work(number):
    logging.config.dictConfig({"version": 1, "incremental": True, "loggers": {"app": {"level": "DEBUG"}}})
    logging.getLogger("app").debug("debug %d", number)
    logging.getLogger("other").debug("not this")

if __name__ == "__main__":
    logging.config.dictConfig(CONFIG)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""
    + CONFIG
)

# In the initializer.

INITIALIZED = """
import logging, sys
import pools
{imports}

def work(number):
    logging.getLogger("app").info("info %d", number)
    logging.getLogger("quiet").info("not this")

if __name__ == "__main__":
    set_up()
    with pools.pool(initializer={initializer}) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["dictConfig in the initializer"] = (
    INITIALIZED.format(imports="from setting import set_up", initializer="set_up")
    + "--- setting\nimport logging.config\nfrom config import CONFIG\n"
    + "CONFIG['handlers']['file']['mode'] = 'a'\n"
    + "def set_up(): logging.config.dictConfig(CONFIG)\n"
    + CONFIG
)

PROGRAMS["django.setup in the initializer"] = (
    INITIALIZED.format(imports="from framework import set_up", initializer="set_up")
    + """
--- framework
import importlib, logging.config
def set_up():
    settings = importlib.import_module("settings")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "handlers": {"console": {
        "class": "logging.StreamHandler", "level": "INFO"}}, "loggers": {"framework": {"handlers": ["console"]}}})
    logging.config.dictConfig(settings.LOGGING)
    importlib.import_module("models")
--- models
import logging
log = logging.getLogger("models")
log.addHandler(logging.NullHandler())
--- settings
import config
LOGGING = config.CONFIG
LOGGING["handlers"].pop("file")
LOGGING["root"]["handlers"].remove("file")
"""
    + CONFIG
)

PROGRAMS["addHandler in the initializer"] = INITIALIZED.format(
    imports="""
def set_up():
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root.addHandler(handler)
    root.setLevel("INFO")
    logging.getLogger("quiet").setLevel("ERROR")
""",
    initializer="set_up",
)
EXPECTED["addHandler in the initializer"] = ["app info 1", "app info 2"]

PROGRAMS["the cookbook's way: handlers cleared and added in the initializer"] = PROGRAMS[
    "addHandler in the initializer"
].replace("root = logging.getLogger()\n", "root = logging.getLogger()\n    root.handlers[:] = []\n")

PROGRAMS["only the workers are set up"] = """
import logging, sys
import pools

def set_up():
    logging.basicConfig(level="DEBUG", format="%(name)s %(message)s", stream=sys.stdout)

def work(number):
    logging.getLogger("app").debug("debug %d", number)
    logging.getLogger("app").error("error %d", number)

if __name__ == "__main__":
    with pools.pool(initializer=set_up) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["only jobs call basicConfig"] = """
import logging
import pools

def work(number):
    logging.basicConfig(level="INFO", format="%(name)s %(message)s")
    logging.getLogger("app").info("info %d", number)
    logging.getLogger("app").warning("warning %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

# Libraries.

LIBRARY = """
--- library
import logging, sys
log = logging.getLogger("library")
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("[library] %(message)s"))
log.addHandler(handler)
log.setLevel("WARNING")
log.propagate = False
def call(number):
    log.info("info %d", number)
    log.warning("warning %d", number)
"""

CALLS_LIBRARY = """
import logging, sys
import pools

def work(number):
    import library
    library.call(number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    {before}
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a library's own handler, level and propagate, which the parent has undone"] = (
    CALLS_LIBRARY.format(
        before="import library; library.log.setLevel('INFO'); library.log.handlers.clear(); library.log.propagate = 1"
    )
    + LIBRARY
)
PROGRAMS["a library's own handler, level and propagate"] = CALLS_LIBRARY.format(before="import library") + LIBRARY
PROGRAMS["a library that only the job imports"] = CALLS_LIBRARY.format(before="") + LIBRARY
PROGRAMS["a library's level that the parent lowers"] = (
    CALLS_LIBRARY.format(before="import library; library.log.setLevel('DEBUG')") + LIBRARY
)
PROGRAMS["a library's NullHandler"] = (
    CALLS_LIBRARY.format(before="")
    + "--- library\nimport logging\nlog = logging.getLogger('library')\nlog.addHandler(logging.NullHandler())\n"
    + LIBRARY[LIBRARY.index("def call") :]
)
PROGRAMS["a library's NullHandler in a parent without handlers"] = PROGRAMS["a library's NullHandler"].replace(
    "    logging.basicConfig", "    print('begin', flush=True)\n    0 and logging.basicConfig"
)

# The main module.

PROGRAMS["basicConfig of a file at the top of the main module"] = """
import logging
import pools
logging.basicConfig(filename="app.log", filemode="w", level="INFO", format="%(name)s %(message)s")
log = logging.getLogger("app")
if __name__ == "__main__":
    log.info("begin")

def work(number):
    log.info("info %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        log.info("between")
        pool.submit(work, 2).result()
    log.info("end")
"""

PROGRAMS["records at the top of the main module"] = """
import logging, sys
import pools
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(name)s %(message)s")
logging.info("imported")
logging.getLogger("app").warning("once")

def work(number):
    logging.info("info %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a handler of an own class, with a header, at the top of the main module"] = """
import logging
import pools

class Table(logging.FileHandler):
    def __init__(self, path):
        super().__init__(path, "w")
        self.stream.write("level,message\\n")

log = logging.getLogger("app")
log.setLevel("INFO")
log.addHandler(Table("table.log"))

def work(number):
    log.info("%d", number)

if __name__ == "__main__":
    log.info("begin")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

# Files of the worker's own.

PROGRAMS["a file that the initializer opens"] = """
import logging, sys
import pools

def set_up():
    logging.getLogger().addHandler(logging.FileHandler("worker.log"))

def work(number):
    logging.getLogger("app").info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool(initializer=set_up) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a file for each job"] = """
import logging, sys
import pools

def work(number):
    log = logging.getLogger("app")
    handler = logging.FileHandler(f"job{number}.log", "w")
    log.addHandler(handler)
    try:
        log.info("info %d", number)
    finally:
        log.removeHandler(handler)
        handler.close()

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a file for each job, and nothing else"] = PROGRAMS["a file for each job"].replace(
    "    log.addHandler(handler)\n", "    log.addHandler(handler)\n    log.propagate = False\n"
)

# Set-up at other times, or never.

PROGRAMS["set up after the workers were started"] = """
import logging, sys
import pools
from helper import get_logger

def work(number):
    get_logger("app").info("info %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(int).result()
        get_logger("app").info("begin")
        pools.run(pool, work, 1)
        logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
        pool.submit(work, 2).result()
--- helper""" + HELPER.format(condition="not logger.handlers", more="logger.propagate = False")

PROGRAMS["dictConfig after the workers were started"] = (
    """
import logging, logging.config
import pools
from config import CONFIG

def work(number):
    logging.getLogger("jobs").debug("debug %d", number)
    logging.getLogger("quiet").warning("warning %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pools.run(pool, work, 1)
        logging.config.dictConfig(CONFIG)
        pool.submit(work, 2).result()
"""
    + CONFIG
)

PROGRAMS["never set up"] = """
import logging
import pools

def work(number):
    logging.getLogger("app").info("not this")
    logging.getLogger("app").warning("warning %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["never set up but by logging.warning in the job"] = """
import logging
import pools

def work(number):
    logging.warning("warning %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

# Settings that the parent changes while its workers run.

CHANGES = """
import logging, sys, warnings
import pools
import jobs
{methods}

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pools.run(pool, jobs.work, 1)
        {change}
        pools.run(pool, jobs.work, 2)
        {change_back}
        pools.run(pool, jobs.work, 3)
--- jobs
import logging, warnings
log = logging.getLogger("jobs")
class Careless(UserWarning): pass
class Tracing(logging.Logger):
    def trace(self, message, *args):
        self.log(logging.ERROR, "traced " + message, *args)
def trace(self, message, *args):
    self.log(logging.ERROR, "traced " + message, *args)
def work(number):
    log.debug("debug %d", number)
    log.warning("warning %d", number)
    log.error("error %d", number)
    log.log(5, "trace %d", number)
    {job}
"""


def changes(change: str, back: str, job: str = "pass", methods: str = "") -> str:
    return CHANGES.format(change=change, change_back=back, job=job, methods=methods)


PROGRAMS["setLevel"] = changes("jobs.log.setLevel('DEBUG')", "jobs.log.setLevel('ERROR')")
PROGRAMS["setLevel of root"] = changes("logging.root.setLevel('DEBUG')", "logging.root.setLevel('ERROR')")
PROGRAMS["disabled"] = changes("jobs.log.disabled = True", "jobs.log.disabled = False")
PROGRAMS["enabled"] = changes(
    "jobs.log.disabled = False", "jobs.log.disabled = True", methods="jobs.log.disabled = __name__ == '__main__'"
)
PROGRAMS["logging.disable"] = changes("logging.disable('WARNING')", "logging.disable(0)")
PROGRAMS["addLevelName"] = changes(
    "logging.addLevelName(30, 'HEED')", "logging.addLevelName(5, 'TRACE'); jobs.log.setLevel('TRACE')"
)
PROGRAMS["captureWarnings"] = changes(
    "logging.captureWarnings(True)",
    "logging.captureWarnings(False)",
    "warnings.simplefilter('always'); warnings.warn_explicit('careful', Careless, 'a.py', number)",
)
PROGRAMS["warnings filters"] = changes(
    "logging.captureWarnings(True); warnings.simplefilter('ignore', jobs.Careless)",
    "warnings.simplefilter('always', jobs.Careless)",
    "warnings.warn_explicit('careful', Careless, 'a.py', number)",
)
PROGRAMS["setLoggerClass"] = changes(
    "logging.setLoggerClass(jobs.Tracing)",
    "pass",
    "number > 1 and logging.getLogger(f'jobs.{number}').trace('it')",
)
PROGRAMS["a filter"] = changes("jobs.log.addFilter(jobs.no_warnings)", "pass", "log.addFilter(no_warnings)").replace(
    "def trace", "def no_warnings(record): return record.levelname != 'WARNING'\ndef trace"
)
PROGRAMS["a level method"] = changes("logging.Logger.trace = jobs.trace", "pass", "number > 1 and log.trace('it')")
PROGRAMS["a worker's own level stays until the parent changes that logger"] = changes(
    "logging.getLogger('other').setLevel('DEBUG')",
    "jobs.log.setLevel('WARNING')",
    "number == 1 and log.setLevel('DEBUG')",
)

# After public reports.

PROGRAMS["a logger of its own for each step, cleared, with a handler, not propagating"] = """
import logging, sys
import pools

def work(number):
    log = logging.getLogger(f"step{number}")
    log.propagate = False
    log.handlers.clear()
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.setLevel("INFO")
    log.info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    work(0)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a handler where no logger on the way to the root has one"] = """
import logging, sys
import pools

def set_up(log):
    current = log
    while current:
        if current.handlers:
            return
        current = current.parent
    log.setLevel("INFO")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("own %(message)s"))
    log.addHandler(handler)

def work(number):
    set_up(logging.getLogger("queue.worker"))
    logging.getLogger("queue.worker").info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["dictConfig itself as the initializer, which disables loggers by default"] = (
    """
import logging, logging.config
import pools
from config import CONFIG

CONFIG["handlers"]["file"]["mode"] = "a"
del CONFIG["disable_existing_loggers"]

if __name__ == "__main__":
    logging.config.dictConfig(CONFIG)
    import jobs
    with pools.pool(initializer=logging.config.dictConfig, initargs=(CONFIG,)) as pool:
        pool.submit(jobs.work, 1).result()
        pool.submit(jobs.work, 2).result()
--- jobs
import logging
log = logging.getLogger("by")
def work(number):
    log.info("info %d", number)
"""
    + CONFIG
)
EXPECTED["dictConfig itself as the initializer, which disables loggers by default"] = [
    *("INFO by info 1", "INFO by info 2", "app.log: INFO by info 1", "app.log: INFO by info 2")
]

PROGRAMS["a log file named after the time, at the top of the main module"] = """
import logging, time
import pools
logging.basicConfig(filename=f"{time.time_ns()}.log", level="INFO", format="%(name)s %(message)s")

def work(number):
    logging.info("info %d", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a rotating file at the top of the main module, and in the job"] = """
import logging, logging.handlers
import pools

def set_up():
    log = logging.getLogger("test")
    log.handlers.clear()
    handler = logging.handlers.RotatingFileHandler("test.log", maxBytes=500, backupCount=100)
    log.addHandler(handler)
    log.setLevel("DEBUG")
    return log

log = set_up()

def work(number):
    log = set_up()
    for index in range(100):
        log.debug("%d, line %d", number, index)

if __name__ == "__main__":
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
    logging.shutdown()
    import pathlib
    for path in pathlib.Path().glob("test.log.*"):
        print(path.read_text())
"""

PROGRAMS["a file that is rotated by time, by both sides"] = """
import logging, logging.handlers
import pools

def set_up():
    log = logging.getLogger("test")
    log.handlers = [logging.handlers.TimedRotatingFileHandler("test.log", when="midnight", backupCount=15)]
    log.setLevel("DEBUG")
    return log

def work(number):
    set_up().debug("%d", number)

if __name__ == "__main__":
    set_up()
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["the file opened again in the initializer"] = """
import logging
import pools

def set_up(mode):
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.addHandler(logging.FileHandler("io.log", mode))
    root.setLevel("INFO")

def work(number):
    logging.info("info %d", number)

if __name__ == "__main__":
    set_up("w")
    logging.info("begin")
    with pools.pool(initializer=set_up, initargs=("a",)) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
    logging.info("end")
"""

PROGRAMS["a handler that writes above a progress bar, at the top of the main module"] = """
import logging, sys
import pools

class BarHandler(logging.StreamHandler):
    def emit(self, record):
        print("\\r" + self.format(record), file=sys.stdout, flush=True)

log = logging.getLogger()
log.setLevel("INFO")
log.handlers = []
log.addHandler(BarHandler())

def work(number):
    log.info("processing %s", number)

if __name__ == "__main__":
    with pools.pool() as pool:
        for number in range(3):
            pool.submit(work, number).result()
            log.info("got %s", number)
"""

PROGRAMS["console handlers replaced for a progress bar in the job"] = """
import contextlib, logging, sys
import pools

class BarHandler(logging.StreamHandler):
    def emit(self, record):
        self.stream.write(self.format(record) + "\\n")
        self.stream.flush()

@contextlib.contextmanager
def redirected():
    root = logging.root
    before = root.handlers
    console = [h for h in before if isinstance(h, logging.StreamHandler) and h.stream in {sys.stdout, sys.stderr}]
    bar = BarHandler(sys.stdout)
    if console:
        bar.setFormatter(console[0].formatter)
        bar.stream = console[0].stream
    root.handlers = [h for h in before if h not in console] + [bar]
    try:
        yield
    finally:
        root.handlers = before

def work(number):
    with redirected():
        logging.info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["multiprocessing.log_to_stderr by both sides"] = """
import multiprocessing
import pools

def work(number):
    multiprocessing.log_to_stderr("WARNING")
    multiprocessing.get_logger().warning("warning %d", number)

if __name__ == "__main__":
    multiprocessing.log_to_stderr("WARNING").handlers[0].formatter._style._fmt = "%(levelname)s %(message)s"
    multiprocessing.get_logger().handlers[0].setFormatter(None)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""
EXPECTED["multiprocessing.log_to_stderr by both sides"] = ["warning 1", "warning 2"]

PROGRAMS["a level and its method at the top of a module"] = """
import logging, sys
import pools

def add_level(name, number):
    def log_for_level(self, message, *args, **kwargs):
        if self.isEnabledFor(number):
            self._log(number, message, args, **kwargs)
    logging.addLevelName(number, name)
    setattr(logging, name, number)
    setattr(logging.getLoggerClass(), name.lower(), log_for_level)
    setattr(logging, name.lower(), lambda message, *args: logging.log(number, message, *args))

add_level("VERBOSE", 15)

def reset_handlers():
    root = logging.getLogger()
    root.handlers.clear()
    root.addHandler(logging.StreamHandler(sys.stdout))
    root.setLevel("VERBOSE")

def work(number):
    logging.getLogger("app").verbose("verbose %d", number)
    logging.verbose("root's %d", number)

if __name__ == "__main__":
    reset_handlers()
    with pools.pool(initializer=reset_handlers) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a library that configures its logger when it is first asked for one"] = """
import logging, sys
import pools

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    import library
    library.disable_default_handler()

def work(number):
    import study
    study.run(number)

if __name__ == "__main__":
    import study
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
--- study
import library
log = library.get_logger("library.study")
def run(number):
    log.info("info %d", number)
    log.debug("debug %d", number)
--- library
import logging, sys, threading
_lock = threading.Lock()
_handler = None
def _configure():
    global _handler
    with _lock:
        if _handler is None:
            _handler = logging.StreamHandler(sys.stdout)
            log = logging.getLogger("library")
            log.addHandler(_handler)
            log.setLevel("DEBUG")
            log.propagate = False
def get_logger(name):
    _configure()
    return logging.getLogger(name)
def disable_default_handler():
    _configure()
    log = logging.getLogger("library")
    log.removeHandler(_handler)
    log.propagate = True
    log.setLevel("INFO")
"""

PROGRAMS["an import that adds a handler to the root logger"] = """
import logging, sys
import pools

def set_up():
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)

def work(number):
    import heavy
    set_up()
    logging.info("info %d", number)

if __name__ == "__main__":
    import heavy
    set_up()
    logging.getLogger().setLevel("INFO")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
--- heavy
import logging
logging.getLogger().addHandler(logging.StreamHandler())
"""

PROGRAMS["levels and formats of whatever handlers there are"] = """
import logging, sys
import pools

def set_up():
    root = logging.getLogger()
    root.setLevel("INFO")
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stdout))
    for handler in root.handlers:
        handler.setLevel("INFO")
        handler.setFormatter(logging.Formatter("set %(name)s %(message)s"))
    assert root.handlers[0].stream is sys.stdout

def work(number):
    set_up()
    logging.info("info %d", number)

if __name__ == "__main__":
    set_up()
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["logging.shutdown() in the job"] = parent(
    "import logging\nlog = logging.getLogger('jobs')\n" + LOG + "    logging.shutdown()\n"
)

PROGRAMS["a logger as an argument"] = """
import logging, sys
import pools

def work(log, number):
    log.info("info %d", number)
    logging.LoggerAdapter(log, {"key": 1}).debug("debug %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    log = logging.getLogger("handed.over")
    log.setLevel("DEBUG")
    with pools.pool() as pool:
        pool.submit(work, log, 1).result()
        pool.submit(work, log, 2).result()
"""

PROGRAMS["a filter that a helper adds"] = """
import logging, sys
import pools

class Mark(logging.Filter):
    def filter(self, record):
        record.msg = "[marked] " + record.msg
        return True

def get_logger():
    log = logging.getLogger("app")
    if not log.filters:
        log.addFilter(Mark())
    return log

def work(number):
    get_logger().info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    get_logger()
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["records that the parent buffers, and dictConfig in the job"] = """
import logging, logging.config, logging.handlers, sys
import pools

def work(number):
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logging.getLogger("app").warning("warning %d", number)

if __name__ == "__main__":
    logging.basicConfig(format="%(name)s %(message)s", stream=sys.stdout)
    buffered = logging.getLogger("buffered")
    buffered.addHandler(logging.handlers.MemoryHandler(1000, target=logging.StreamHandler(sys.stdout)))
    buffered.propagate = False
    buffered.warning("buffered")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""
EXPECTED["records that the parent buffers, and dictConfig in the job"] = ["app warning 1", "app warning 2", "buffered"]

PROGRAMS["records that a module logs when it is imported"] = """
import importlib, logging, sys
import pools

def work(name):
    importlib.import_module(name).work()

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    import early
    with pools.pool(initializer=work, initargs=("initial",)) as pool:
        pool.submit(early.work).result()
        pool.submit(work, "early").result()
        import late
        pool.submit(late.work).result()
        pool.submit(work, "unknown").result()
--- early
import logging
log = logging.getLogger(__name__)
log.info("imported")
def work():
    log.info("works")
--- late
import logging
log = logging.getLogger(__name__)
log.info("imported")
def work():
    log.info("works")
--- unknown
import logging
log = logging.getLogger(__name__)
log.info("imported")
def work():
    log.info("works")
--- initial
import logging
log = logging.getLogger(__name__)
log.info("imported")
def work():
    log.info("works")
"""

# What a worker has of the parent's, and what is its own.

PROGRAMS["levels of loggers between the root and those of modules"] = """
import logging, sys
import pools

def work(number):
    for name in ("loud.module", "quiet.module", "late.module"):
        logging.getLogger(name).debug("debug %d", number)
        logging.getLogger(name).warning("warning %d", number)

for name in ("loud.module", "quiet.module", "late.module"):
    logging.getLogger(name)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    logging.getLogger("loud").setLevel("DEBUG")
    logging.getLogger("quiet").setLevel("ERROR")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        logging.getLogger("late").setLevel("DEBUG")
        pool.submit(work, 2).result()
"""

PROGRAMS["odd things in the parent's logging"] = """
import logging, sys
import pools

class Handler:
    level = "DEBUG"

class Filter:
    @property
    def name(self):
        raise ValueError("no name")
    def filter(self, record):
        return True

def work(number):
    logging.getLogger("app").warning("warning %d", number)

if __name__ == "__main__":
    logging.basicConfig(format="%(name)s %(message)s", stream=sys.stdout)
    logging.addLevelName("TRACE", 5)
    logging.addLevelName(25, 2.5)
    logging.getLogger("unused").addHandler(Handler())
    logging.getLogger("unused").addFilter([].append)
    logging.getLogger("unused").level = "DEBUG"
    logging.getLogger("app").addFilter(Filter())
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        logging.getLogger("other").setLevel("DEBUG")
        pool.submit(work, 2).result()
"""

PROGRAMS["a subclass with names of its own"] = """
import logging, sys, threading
import pools

def bounded(pool):
    class Bounded(type(pool)):
        def submit(self, *args):
            with self._submit_lock:
                return super().submit(*args)
    pool.__class__ = Bounded
    for name in ("_jobs", "_relay", "_relay_lock", "_has_ended", "_submit_lock", "_listen", "_worker_start"):
        setattr(pool, name, threading.Lock())
    return pool

def work(number):
    logging.getLogger("app").info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with bounded(pools.pool()) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a level that a job sets, while the parent changes another"] = """
import logging, sys
import pools

def set_level():
    logging.getLogger("app").setLevel("DEBUG")
    logging.getLogger("app").info("set")

def work(number):
    logging.getLogger("app").debug("debug %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    with pools.pool() as pool:
        pool.submit(set_level).result()
        pool.submit(work, 1).result()
        logging.getLogger("unrelated").setLevel("ERROR")
        pool.submit(work, 2).result()
        logging.getLogger("app").setLevel("ERROR")
        pool.submit(work, 3).result()
"""

PROGRAMS["a module that a job alone imports, and that sets its logger up"] = """
import logging, sys
import pools

def work(number):
    import library
    library.log.debug("debug %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    logging.getLogger("library")
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
    with pools.pool() as pool:
        pool.submit(work, 3).result()
--- library
import logging
log = logging.getLogger("library")
log.setLevel("DEBUG")
"""

PROGRAMS["warnings that the default filters show in the main module"] = """
import logging, sys, warnings
import pools

def work(number):
    warnings.warn(f"old {number}", DeprecationWarning)

if __name__ == "__main__":
    logging.basicConfig(format="%(name)s", stream=sys.stdout)
    logging.captureWarnings(True)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        warnings.filterwarnings("ignore", message="old 2", module="__main__")
        pool.submit(work, 2).result()
        pool.submit(work, 3).result()
"""

PROGRAMS["a job that collects its own records in memory"] = """
import io, logging, sys
import pools

def work(number):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    log = logging.getLogger("app")
    log.addHandler(handler)
    log.info("info %d", number)
    log.removeHandler(handler)
    print("collected", repr(text.getvalue()), flush=True)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    logging.getLogger("app").addHandler(logging.StreamHandler(io.StringIO()))
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
"""

PROGRAMS["a tool that wraps callHandlers, set up in the initializer as well"] = """
import logging, sys
import pools
import tool

def work(number):
    logging.getLogger("app").info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    tool.init()
    with pools.pool(initializer=tool.init) as pool:
        pool.submit(work, 1).result()
        pool.submit(work, 2).result()
--- tool
import logging
def init():
    original = logging.Logger.callHandlers
    if hasattr(original, "is_of_the_tool"):
        return
    def call(logger, record):
        print("event", record.getMessage(), flush=True)
        original(logger, record)
    call.is_of_the_tool = True
    logging.Logger.callHandlers = call
"""

PROGRAMS["levels that are set and set back between jobs"] = """
import logging, sys
import pools

def work(number):
    for name in ("one", "one.below", "other"):
        logging.getLogger(name).debug("debug %d", number)
        logging.getLogger(name).info("info %d", number)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    one, other = logging.getLogger("one"), logging.getLogger("other")
    other.setLevel("ERROR")
    with pools.pool() as pool:
        for number, (level, other_level) in enumerate([(0, 40), (10, 40), (10, 0), (0, 0), (0, 10)]):
            one.setLevel(level)
            other.setLevel(other_level)
            logging.getLogger(f"new.{number}")
            pool.submit(work, number).result()
"""

PROGRAMS["loggers of a class of their own, made while it was set"] = """
import logging, sys
import pools

class Audit(logging.Logger):
    def audit(self, number):
        self.info("audited %d", number)

def work(number):
    logging.getLogger("audit").audit(number)
    logging.getLogger("audit.below").audit(number)
    print(type(logging.getLogger("audit.other")).__name__, flush=True)

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(name)s %(message)s", stream=sys.stdout)
    before = logging.getLoggerClass()
    logging.setLoggerClass(Audit)
    logging.getLogger("audit.below"), logging.getLogger("audit")
    logging.setLoggerClass(before)
    with pools.pool() as pool:
        pool.submit(work, 1).result()
        logging.setLoggerClass(Audit)
        logging.getLogger("late")
        logging.setLoggerClass(before)
        pool.submit(work, 2).result()
"""
