"""A record rebuilt in the parent, compared with the one in the worker, attribute by attribute."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import logging
import marshal
import multiprocessing
import pathlib
import random
import sys
import threading
import traceback
import types
import uuid
from collections.abc import Callable, Iterator
from logging import LogRecord
from typing import Any

import pytest

from conftest import START_METHODS, Run
from logpool._record.fields import FIELDS
from logpool._record.flatten import NESTED_TOO_DEEPLY, flatten
from logpool._record.rebuild import rebuild
from logpool._record.unpack import make_traceback

FORMATTER = logging.Formatter("%(levelname)s %(name)s %(message)s")


def make(
    msg: object, *args: object, exc_info: Any = None, extra: dict[str, Any] | None = None, **more: Any
) -> LogRecord:
    """A record as a logger makes it."""
    logger = logging.getLogger("package.module")
    return logger.makeRecord(
        logger.name, more.pop("level", logging.INFO), "/path/file.py", 7, msg, args, exc_info, "function", extra, **more
    )


def send(record: LogRecord) -> LogRecord:
    return rebuild(flatten(record))


def caught(exception: BaseException, *, cause: BaseException | None = None, depth: int = 1) -> BaseException:
    """The exception, after it has been raised some calls away from here."""
    try:
        raise_it(exception, cause, depth)
    except BaseException as error:
        return error
    raise AssertionError


def raise_it(exception: BaseException, cause: BaseException | None, depth: int) -> None:
    if depth > 1:
        raise_it(exception, cause, depth - 1)
    elif cause is not None:
        raise exception from cause
    else:
        raise exception


def info(exception: BaseException) -> tuple[Any, Any, Any]:
    return type(exception), exception, exception.__traceback__


# Objects of every kind.


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOUD = 35


class Text(str):
    def __str__(self) -> str:
        return "another text"


class Real(float):
    def __str__(self) -> str:
        return "real"

    __repr__ = __str__


@dataclasses.dataclass
class Data:
    number: int
    items: list[Any]


class OtherPath(pathlib.PurePosixPath):
    pass


Point = collections.namedtuple("Point", "x y")


class RaisingStr:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return type(other) is RaisingStr

    __hash__ = None


class RaisingReduce:
    def __reduce__(self) -> Any:
        raise LookupError("no pickle")


class RaisingGetstate:
    def __getstate__(self) -> Any:
        raise RecursionError("no state")


class RaisingEverything:
    def __repr__(self) -> str:
        raise OSError("no repr")

    def __reduce__(self) -> Any:
        raise OSError("no reduce")

    def __eq__(self, other: object) -> bool:
        raise OSError("no equality")

    def __bool__(self) -> bool:
        raise OSError("no truth")

    __hash__ = None


class RaisingRecursionError:
    """As what is nested too deeply does, but sooner: from Python 3.14 on that takes a second."""

    def __repr__(self) -> str:
        raise RecursionError

    def __reduce__(self) -> Any:
        raise RecursionError


class RaisingSetstate:
    """Can be pickled, and not unpickled."""

    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self.error = error

    def __setstate__(self, state: Any) -> None:
        raise state["error"]("no state")

    def __repr__(self) -> str:
        return "RaisingSetstate()"


class Changing:
    def __init__(self) -> None:
        self.value = 0

    def __str__(self) -> str:
        self.value += 1
        return "changing"


class Counts:
    """Prints something else each time."""

    def __init__(self) -> None:
        self.value = 0

    def __str__(self) -> str:
        self.value += 1
        return str(self.value)


class HasDel:
    """A copy of it would do its work once more."""

    count = 0

    def __del__(self) -> None:
        HasDel.count += 1


class Logs:
    """Logs itself whenever it is asked anything."""

    calls = 0

    def _log(self) -> None:
        type(self).calls += 1
        flatten(make("%s", self, extra={"itself": self}))

    def __repr__(self) -> str:
        self._log()
        return "Logs()"

    def __reduce__(self) -> Any:
        self._log()
        return Logs, ()


def local_object() -> object:
    class Local:
        def __repr__(self) -> str:
            return "Local()"

    return Local()


def cyclic() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def deep(levels: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(levels):
        items = [items]
    return items


class PlainError(Exception):
    pass


class OtherConstructorError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


class FormatsItsArgsError(Exception):
    """Its constructor, called once more with what it made, makes something else."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"failed: {reason}")
        self.reason = reason


class ReducedError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("code", code)
        self.code = code

    def __reduce__(self) -> Any:
        return _reduced, (self.code,)


def _reduced(code: int) -> ReducedError:
    return ReducedError(code=code)


class RaisingStrError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class LoadedError(Exception):
    """Exits when it is loaded."""

    def __reduce__(self) -> Any:
        return sys.exit, ()


PLAIN_VALUES: list[Callable[[random.Random], Any]] = [
    lambda r: "".join(
        chr(r.choice([r.randrange(32, 127), r.randrange(0x3000), r.randrange(0x110000)])) for _ in range(9)
    ),
    lambda r: "\ud800 lone \udcff",
    lambda r: r.choice(["", "%s %d %%", "{} {0}", "a\nb\r\n\x00", "é" * 300]),
    lambda r: r.randrange(-10, 10),
    lambda r: r.getrandbits(r.choice([64, 200, 9000])) * r.choice([1, -1]),
    lambda r: r.choice([0.1, -0.0, 1e308, float("inf"), float("nan"), r.random()]),
    lambda r: complex(r.random(), -1),
    lambda r: r.randbytes(r.randrange(9)),
    lambda r: r.choice([True, False, None]),
]
CONTAINERS: list[Callable[[list[Any]], Any]] = [
    list,
    tuple,
    lambda items: dict(enumerate(items)),
    lambda items: {repr(item): item for item in items},
    lambda items: {repr(item) for item in items},
    lambda items: frozenset(map(repr, items)),
]
PICKLABLE: list[Callable[[random.Random], Any]] = [
    lambda r: datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    lambda r: datetime.timedelta(r.random()),
    lambda r: decimal.Decimal("1.10"),
    lambda r: fractions.Fraction(1, r.randrange(1, 9)),
    lambda r: uuid.UUID(int=r.getrandbits(128)),
    lambda r: pathlib.PurePosixPath("/a/b"),
    lambda r: Color.RED,
    lambda r: Level.LOUD,
    lambda r: Text("text"),
    lambda r: Real(1.5),
    lambda r: Data(1, [2, {"a": None}]),
    lambda r: Point(1, "y"),
    lambda r: bytearray(b"abc"),
    lambda r: range(3),
    lambda r: collections.OrderedDict(a=1),
    lambda r: collections.deque([1, 2]),
    lambda r: Ellipsis,
    lambda r: len,
    lambda r: ValueError,
    lambda r: logging.getLogger("some.logger"),
    lambda r: types.SimpleNamespace(a=1),
    lambda r: RaisingStr(),
]
NOT_SENDABLE: list[Callable[[random.Random], Any]] = [
    lambda r: threading.Lock(),
    lambda r: (item for item in ()),
    lambda r: lambda: None,
    lambda r: local_object(),
    lambda r: sys,
    lambda r: memoryview(b"abc"),
    lambda r: RaisingReduce(),
    lambda r: RaisingGetstate(),
    lambda r: RaisingEverything(),
    lambda r: RaisingSetstate(),
    lambda r: RaisingSetstate(SystemExit),
    lambda r: RaisingSetstate(KeyboardInterrupt),
    lambda r: [1, threading.Lock()],
    lambda r: {"a": (RaisingSetstate(),)},
    lambda r: RaisingRecursionError(),
    lambda r: sys._getframe(),
]


def plain_value(r: random.Random, levels: int = 3, containers: int = len(CONTAINERS)) -> Any:
    if levels and r.random() < 0.3:
        items = [plain_value(r, levels - 1, containers) for _ in range(r.randrange(4))]
        return r.choice(CONTAINERS[:containers])(items)
    return r.choice(PLAIN_VALUES)(r)


def ordered_value(r: random.Random) -> Any:
    """Without sets, which may print in another order."""
    return plain_value(r, containers=4)


def any_value(r: random.Random) -> Any:
    kind = r.random()
    if kind < 0.5:
        return plain_value(r)
    if kind < 0.75:
        return r.choice(PICKLABLE)(r)
    return r.choice(NOT_SENDABLE)(r)


def sendable_exception(r: random.Random, levels: int = 3) -> BaseException:
    exception: BaseException = r.choice(
        [
            lambda: ValueError("value", ordered_value(r)),
            lambda: KeyError("key"),
            lambda: OSError(2, "No such file", "name"),
            lambda: OSError(2, "No such file", "from", None, "to"),
            lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
            lambda: SyntaxError("bad", ("file.py", 1, 2, "x y", 1, 3)),
            lambda: ImportError("no", name="n", path="p"),
            lambda: StopIteration(5),
            lambda: SystemExit(3),
            lambda: KeyboardInterrupt("now"),
            lambda: RecursionError("deep"),
            lambda: PlainError(r.choice(PICKLABLE)(r)),
            lambda: FormatsItsArgsError("reason"),
            lambda: ReducedError(code=4),
            lambda: RaisingStrError("x"),
        ]
    )()
    if levels and r.random() < 0.3:
        members = [sendable_exception(r, levels - 1) for _ in range(r.randrange(1, 4))]
        exception = BaseExceptionGroup("group", members)
    if r.random() < 0.3:
        exception.add_note("a note")
        exception.add_note(r.choice(PLAIN_VALUES[:3])(r))
    if r.random() < 0.3:
        exception.attribute = ordered_value(r)
    if levels and r.random() < 0.3:
        exception.__context__ = sendable_exception(r, levels - 1)
    cause = sendable_exception(r, levels - 1) if levels and r.random() < 0.3 else None
    if r.random() < 0.8:
        exception = caught(exception, cause=cause, depth=r.randrange(1, 5))
    if r.random() < 0.1:
        exception.__suppress_context__ = True
    return exception


NOT_SENDABLE_EXCEPTIONS: list[Callable[[], BaseException]] = [
    lambda: OtherConstructorError(404, "not found"),
    lambda: ValueError(threading.Lock()),
    lambda: PlainError(RaisingSetstate()),
    lambda: PlainError(RaisingReduce()),
    lambda: type("Local", (Exception,), {})("local"),
    lambda: LoadedError("x"),
]

# Comparing.


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types, whatever it is; not-a-number too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseException):
        return not list(differences(one, other))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is dict:
        return same(list(one.items()), list(other.items()))
    return bool(float.__repr__(one) == float.__repr__(other) if isinstance(one, float) else one == other)


def differences(
    one: BaseException | None, other: BaseException | None, seen: frozenset[int] = frozenset()
) -> Iterator[str]:
    """What of an exception isn't the same in another."""
    if one is None or other is None or id(one) in seen:
        if type(one) is not type(other):
            yield f"{one!r} {other!r}"
        return
    seen |= {id(one)}
    if type(one) is not type(other):
        yield f"type {type(one)} {type(other)}"
    if not isinstance(one, BaseExceptionGroup) and not same(one.args, other.args):
        yield f"args {one.args} {other.args}"
    if not same(vars(one), vars(other)):
        yield f"attributes {vars(one)} {vars(other)}"
    yield from native_differences(one, other)
    yield from differences(one.__cause__, other.__cause__, seen)
    yield from differences(one.__context__, other.__context__, seen)
    if isinstance(one, BaseExceptionGroup):
        assert isinstance(other, BaseExceptionGroup)
        if one.message != other.message or len(one.exceptions) != len(other.exceptions):
            yield "group"
        for first, second in zip(one.exceptions, other.exceptions):
            yield from differences(first, second, seen)


def native_differences(one: BaseException, other: BaseException) -> Iterator[str]:
    for name in (
        "errno",
        "filename",
        "filename2",
        "start",
        "object",
        "lineno",
        "text",
        "name",
        "path",
        "value",
        "code",
    ):
        if not same(getattr(one, name, None), getattr(other, name, None)):
            yield name
    if one.__suppress_context__ is not other.__suppress_context__:
        yield "__suppress_context__"
    if frames(one) != frames(other):
        yield f"traceback {frames(one)} {frames(other)}"


def frames(exception: BaseException) -> list[Any]:
    return [
        (frame.f_code.co_filename, frame.f_code.co_name, frame.f_code.co_qualname, line, frame.f_globals["__name__"])
        for frame, line in traceback.walk_tb(exception.__traceback__)
    ]


def shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return "its repr() raised"


UNTOUCHED = tuple(name for name in FIELDS if name not in {"msg", "args", "exc_info", "exc_text", "relativeCreated"})


# Tests.


class RandomRecord:
    """A record with anything in it, and what must arrive of it."""

    def __init__(self, r: random.Random) -> None:
        self.sent: dict[str, Any] = {}
        self.lost: dict[str, Any] = {}
        for number in range(r.choice([0, 0, 1, 2, 3])):
            name = f"extra{number}"
            if r.random() < 0.4:
                self.lost[name] = r.choice(NOT_SENDABLE)(r)
            else:
                self.sent[name] = plain_value(r) if r.random() < 0.5 else r.choice(PICKLABLE)(r)
        self.exception: BaseException | None = None
        self.exception_is_lost = False
        if r.random() < 0.3:
            self.exception = sendable_exception(r)
            if r.random() < 0.3:
                self.exception_is_lost = True
                self.exception = caught(r.choice(NOT_SENDABLE_EXCEPTIONS)())
        self.exc_text = FORMATTER.formatException(info(self.exception)) if self.exception else None
        self.msg, args = self.message(r)
        self.record = make(
            self.msg,
            *args,
            exc_info=info(self.exception) if self.exception else None,
            extra=self.sent | self.lost,
            level=r.choice([10, 35, Level.LOUD]),
            sinfo=r.choice([None, "Stack (most recent call last):\n  x"]),
        )
        self.before = dict(self.record.__dict__)
        try:
            self.text: str | None = self.record.getMessage()
        except Exception:
            self.text = None

    def message(self, r: random.Random) -> tuple[Any, list[Any]]:
        kind = r.random()
        if kind < 0.1:
            return "%(a)s %(b)r", [{"a": any_value(r), "b": plain_value(r)}]
        if kind < 0.2:
            return any_value(r), []
        args = [r.choice([any_value, plain_value])(r) for _ in range(r.randrange(4))]
        template = " ".join(r.choice(["%s", "%r"]) for _ in args) + r.choice(["", " é%%", "\udc80"])
        return (Text(template) if kind < 0.25 else template), args

    def check_unchanged(self) -> None:
        assert list(self.record.__dict__) == list(self.before)
        assert all(self.record.__dict__[name] is value for name, value in self.before.items())

    def check(self, rebuilt: LogRecord) -> None:
        assert list(rebuilt.__dict__) == list(self.before)
        for name in (*UNTOUCHED, *self.sent):
            assert same(self.before[name], rebuilt.__dict__[name]), name
        for name, value in self.lost.items():
            assert isinstance(rebuilt.__dict__[name], str)
            assert shown(value) in rebuilt.__dict__[name]
        self.check_message(rebuilt)
        assert rebuilt.exc_text in {None, self.exc_text}
        if self.exception is None or self.exception_is_lost:
            assert rebuilt.exc_info is None
            assert rebuilt.exc_text == self.exc_text
            return
        assert rebuilt.exc_info is not None
        kind, value, traceback = rebuilt.exc_info
        assert kind is type(self.exception)
        assert value is not None
        assert traceback is value.__traceback__
        assert not list(differences(self.exception, value))
        assert FORMATTER.formatException(rebuilt.exc_info) == self.exc_text

    def check_message(self, rebuilt: LogRecord) -> None:
        if self.text is not None:
            assert rebuilt.getMessage() == self.text
        else:
            assert "[this message can't be formatted: " in rebuilt.getMessage()
            assert not isinstance(self.msg, str) or str.__str__(self.msg) in rebuilt.getMessage()


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 100))])
def test_random_records_arrive_as_they_were(seed: int) -> None:
    r = random.Random(seed)
    for _ in range(200):
        item = RandomRecord(r)
        flat = flatten(item.record, lambda record: None)
        item.check_unchanged()
        item.check(rebuild(flat))


@pytest.mark.parametrize(
    "args",
    [
        (),
        (1, "a", None, 1.5, True, b"x", 1j),
        ([1, (2, {"a": {3}})],),
        ({"key": "value"},),
        (cyclic(),),
        (2**10000 % 7,),
        (deep(500),),
    ],
    ids=lambda args: repr(args)[:40],
)
def test_message_and_plain_args_stay_apart(args: tuple[Any, ...]) -> None:
    template = "%(key)s" if args == ({"key": "value"},) else " ".join(["%s"] * len(args))
    record = make(template, *args)
    rebuilt = send(record)
    assert rebuilt.msg == template
    assert repr(rebuilt.args) == repr(record.args)
    assert rebuilt.getMessage() == record.getMessage()


@pytest.mark.parametrize(
    ("template", "arg"),
    [
        ("%s", Real(1.5)),
        ("%.1f", Real(1.5)),
        ("%r", Text("x")),
        ("%5s|", Text("x")),
        ("%d", Level.LOUD),
        ("%x", Level.LOUD),
        ("%s", Color.RED),
        ("%s", {1, 2}),
        ("%s", [{1: "a", 2: {3, 4}}]),
        ("%s", Data(1, [])),
        ("%d", decimal.Decimal("2.5")),
        ("%f", fractions.Fraction(1, 3)),
        ("%a", pathlib.PurePosixPath("/\xe9")),
        ("%s", pathlib.PurePosixPath("/a")),
        ("%s", bytearray(b"a")),
        ("%s", ValueError),
    ],
    ids=str,
)
def test_an_object_arrives_as_an_argument(template: str, arg: object) -> None:
    for record in (make("%s " + template, 1, arg), make("%s " + template, 1, arg, extra={"more": (1,)})):
        rebuilt = send(record)
        assert rebuilt.msg == record.msg
        assert same(rebuilt.args, record.args)
        assert rebuilt.getMessage() == record.getMessage()


BY_VALUE = [
    pathlib.Path("/var/lib/batch.csv"),
    pathlib.Path("relative/\udc80"),
    pathlib.Path(),
    pathlib.Path("/" + "x" * 5000),
    pathlib.PurePosixPath("/a"),
    datetime.date(2024, 2, 29),
    datetime.timedelta(days=1, microseconds=3),
    decimal.Decimal("1.50"),
    uuid.UUID(int=7),
]


@pytest.mark.parametrize("value", BY_VALUE, ids=lambda value: repr(value)[:40])
def test_what_prints_by_its_value_arrives_wherever_it_is(value: Any) -> None:
    nested = {"user": {"id": 1, "files": [value, "x", {"more": value, "plain": (1, {2})}]}, 5: value}
    for record in (
        make("%s %r", value, 1),
        make("%s %r", "plain", [value, [1]]),
        make("%s %r", (value, 1), {value}),
        make("%(a)s %(b)r", {"a": value, "b": [value]}),
        make("x", extra={"value": value, "nested": nested, "plain": 7}),
        make("%s", value, extra={"nested": nested, "tuple": (value, (1,)), "set": {value}, "key": {value: 1}}),
        make("%s", value, extra={"nested": nested, "other": Color.RED}),
        make("%s", value, extra={"nested": nested}, exc_info=info(caught(PlainError("x")))),
    ):
        before = {name: repr(item) for name, item in record.__dict__.items()}
        rebuilt = send(record)
        assert {name: repr(item) for name, item in record.__dict__.items()} == before
        assert list(rebuilt.__dict__) == list(before)
        assert rebuilt.msg == record.msg
        assert rebuilt.getMessage() == record.getMessage()
        for name in {*record.__dict__} - {*FIELDS} | {"args"}:
            assert same(rebuilt.__dict__[name], record.__dict__[name]), name
            assert repr(rebuilt.__dict__[name]) == repr(record.__dict__[name]), name


def test_a_path_that_a_template_does_not_fit_is_left_to_the_parents_handlers() -> None:
    rebuilt = send(make("%d", pathlib.Path("/a")))
    assert (rebuilt.msg, rebuilt.args) == ("%d", (pathlib.Path("/a"),))


def test_records_may_share_a_path_since_it_cannot_be_changed() -> None:
    first, second = (send(make("%s", pathlib.Path("/shared"))).args[0] for _ in range(2))
    assert first == second == pathlib.Path("/shared")
    with pytest.raises(AttributeError):
        first.attribute = 1


def test_a_path_of_another_class_arrives_as_one() -> None:
    path = OtherPath("/a")
    rebuilt = send(make("%s", path, extra={"nested": [path]}))
    assert [type(item) for item in (rebuilt.args[0], rebuilt.__dict__["nested"][0])] == [OtherPath, OtherPath]


def test_containers_that_are_nested_deeply_or_in_themselves_arrive_with_paths_in_them() -> None:
    path = pathlib.Path("/a")
    chain: list[Any] = [path]
    for _ in range(100):
        chain = [chain]
    circle: list[Any] = [path]
    circle.append(circle)
    for value in (chain, circle):
        rebuilt = send(make("%s", value, extra={"value": value}))
        assert repr(rebuilt.__dict__["value"]) == repr(value)
        assert rebuilt.getMessage() == str(value)


def test_objects_arrive_as_values_of_a_mapping() -> None:
    path = pathlib.PurePosixPath("/a")
    for args in ({"path": path, "unused": Data(1, []), "lock": threading.Lock()}, collections.OrderedDict(path=path)):
        record = make("%(path)s", args)
        rebuilt = send(record)
        assert type(rebuilt.args) is type(args)
        assert rebuilt.args["path"] == path
        assert (rebuilt.msg, rebuilt.getMessage()) == ("%(path)s", "/a")
        if "lock" in args:
            assert rebuilt.args["unused"] == Data(1, [])
            assert str(rebuilt.args["lock"]) == str(args["lock"])


def test_a_mapping_that_is_printed_as_a_whole_arrives() -> None:
    for mapping in ({"a": Color.RED}, collections.OrderedDict(a=1), collections.Counter("aab")):
        rebuilt = send(make("%s", mapping))
        assert (rebuilt.msg, rebuilt.args) == ("%s", mapping)


def test_an_exception_arrives_as_an_argument_with_its_cause_and_traceback() -> None:
    error = caught(PlainError("x"), cause=KeyError("k"))
    rebuilt = send(make("%s %s", error, [error]))
    assert rebuilt.msg == "%s %s"
    assert not list(differences(error, rebuilt.args[0]))
    assert rebuilt.args[1] == [rebuilt.args[0]]


@pytest.mark.parametrize(
    "make_arg",
    [
        object,
        threading.Lock,
        local_object,
        RaisingSetstate,
        lambda: RaisingSetstate(SystemExit),
        RaisingReduce,
        Changing,
        Counts,
        HasDel,
        lambda: [HasDel()],
        lambda: [Data(1, [object()])],
        lambda: Text("x" * 100_000),
        lambda: bytearray(100_000),
        lambda: OtherConstructorError(404, "not found"),
    ],
)
@pytest.mark.parametrize("conversion", ["%s", "%r", "%-30s|", "%.5s"])
def test_an_argument_that_cannot_arrive_prints_as_it_did_and_costs_no_other(
    make_arg: Callable[[], object], conversion: str
) -> None:
    path, arg = pathlib.PurePosixPath("/a"), make_arg()
    template = f"%s {conversion}"
    flat = flatten(make(template, path, arg))
    expected = conversion % ("1" if type(arg) is Counts and "s" in conversion else arg,)
    rebuilt = rebuild(flat)
    assert rebuilt.msg == template
    assert same(rebuilt.args[0], path)
    for _ in range(3):
        assert rebuilt.getMessage() == f"/a {expected}"


def test_no_copy_is_made_of_an_object_with_a_del() -> None:
    kept = HasDel()
    HasDel.count = 0
    one, other = multiprocessing.Pipe()
    send(make("%s %s", kept, one, extra={"kept": kept, "ends": [one, other, ValueError(one)]}))
    assert HasDel.count == 0
    one.send("still open")
    assert other.recv() == "still open"
    one.close()
    other.close()


class Query:
    """As Django's QuerySet, it loads all of its rows when it is pickled, and a few when it is printed."""

    loaded = 0

    def __len__(self) -> int:
        return 10**9

    def __repr__(self) -> str:
        return "<Query [1, 2, 3, ...]>"

    def __getstate__(self) -> Any:
        Query.loaded += 1
        return {}


def test_a_lazy_collection_is_printed_and_not_loaded() -> None:
    rebuilt = send(make("found %s", Query()))
    assert (rebuilt.msg, rebuilt.getMessage()) == ("found %s", "found <Query [1, 2, 3, ...]>")
    assert Query.loaded == 0


def test_a_class_that_formats_by_itself_gets_objects() -> None:
    rebuilt = send(of_class(BraceRecord, "{!s:>4} {}", pathlib.PurePosixPath("/a"), Color.RED))
    assert type(rebuilt) is BraceRecord
    assert rebuilt.args == (pathlib.PurePosixPath("/a"), Color.RED)


def test_a_template_that_does_not_fit_its_objects_is_left_to_the_parents_handlers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = pathlib.PurePosixPath("/a")
    for template, args in (("%s %s", (path,)), ("%d", (path,)), ("%(b)s", ({"a": path},))):
        rebuilt = send(make(template, *args))
        assert (rebuilt.msg, rebuilt.args) == (template, args[0] if type(args[0]) is dict else args)
        with pytest.raises((TypeError, KeyError)):
            rebuilt.getMessage()
    assert capsys.readouterr().err == ""


def test_a_message_with_what_only_a_str_can_do_arrives() -> None:
    rebuilt = send(make("%c %s", Text("x"), 1))
    assert rebuilt.getMessage() == "x 1"


IMPORTING = """
import sys
from pathlib import Path

Path("half.py").write_text(Path(__file__).read_text().partition("# half\\n")[2])
sys.path.insert(0, ".")
import half
sys.exit()

# half
import logging, threading
from logpool._record.flatten import flatten
from logpool._record.rebuild import rebuild

class Value:
    def __str__(self):
        return "value"

def load():
    print(type(rebuild(flat).args[0]).__name__)

flat = flatten(logging.LogRecord("app", 20, "file", 1, "%s", (Value(),), None))
thread = threading.Thread(target=load)
thread.start()
thread.join()
"""


def test_an_object_is_loaded_while_its_module_is_being_imported_by_another_thread(run_program: Run) -> None:
    ended = run_program(IMPORTING, timeout=20)
    assert (ended.stdout, ended.stderr) == ("Value\n", "")


def test_a_message_is_what_it_was_when_its_objects_change_later() -> None:
    items, mapping = [1], {"key": [1]}
    records = [make("%s", items), make("%(key)s", mapping), make("%s", types.SimpleNamespace(items=items)), make(items)]
    texts = [record.getMessage() for record in records]
    flat = [flatten(record) for record in records]
    items.append(2)
    mapping["key"].append(2)
    assert [rebuild(item).getMessage() for item in flat] == texts


def test_a_wrong_number_of_plain_args_is_left_to_the_parents_handlers() -> None:
    rebuilt = send(make("%s %s", 1))
    assert (rebuilt.msg, rebuilt.args) == ("%s %s", (1,))
    with pytest.raises(TypeError):
        rebuilt.getMessage()


def test_a_str_that_raises_is_reported_once_and_the_template_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    rebuilt = send(make("%s 100%% done", RaisingStr()))
    assert rebuilt.getMessage() == "%s 100%% done [this message can't be formatted: ValueError: no text]"
    err = capsys.readouterr().err
    assert err.count("--- Logging error ---") == 1
    assert "ValueError: no text" in err


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_to_end_a_program_passes_through(error: type[BaseException]) -> None:
    class Ends:
        def __reduce__(self) -> Any:
            raise error

    with pytest.raises(error):
        flatten(make("x", extra={"ends": Ends()}))
    assert send(make("%s", local_object())).getMessage() == "Local()"


def test_an_object_that_logs_itself_when_it_is_asked_comes_to_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    Logs.calls = 0
    rebuilt = send(make("%s", Logs(), extra={"itself": Logs()}))
    assert rebuilt.getMessage() == "Logs()"
    assert Logs.calls < 10 ** (NESTED_TOO_DEEPLY + 1)
    assert capsys.readouterr().err == ""


def test_what_cannot_be_sent_costs_its_own_value_alone() -> None:
    lock = threading.Lock()
    rebuilt = send(
        make("x", extra={"one": 1, "lock": lock, "when": datetime.date(2024, 1, 1), "bad": RaisingSetstate()})
    )
    assert rebuilt.__dict__["one"] == 1
    assert rebuilt.__dict__["lock"] == repr(lock)
    assert rebuilt.__dict__["when"] == datetime.date(2024, 1, 1)
    assert rebuilt.__dict__["bad"] == "RaisingSetstate()"


def test_what_is_nested_too_deeply_costs_its_own_value_alone() -> None:
    # A hundred thousand levels are too many for any Python.
    rebuilt = send(make("x", extra={"one": 1, "deep": deep(100_000), "two": 2}))
    assert (rebuilt.msg, rebuilt.__dict__["one"], rebuilt.__dict__["two"]) == ("x", 1, 2)
    assert rebuilt.__dict__["deep"] == "<list object: its repr() raised RecursionError>"


def test_a_message_that_is_nested_too_deeply_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    rebuilt = send(make("%s", deep(100_000)))
    assert rebuilt.getMessage().startswith("%s [this message can't be formatted: RecursionError: ")
    assert capsys.readouterr().err.count("--- Logging error ---") == 1


def test_attributes_keep_their_order() -> None:
    record = make("x", extra={"z": 1, "lock": threading.Lock(), "a": (1,)})
    assert list(send(record).__dict__) == list(record.__dict__)


def test_strange_names_of_attributes_arrive() -> None:
    record = make("x", extra={Text("key"): 1, 5: 2, Point(1, 2): 3})
    rebuilt = send(record)
    assert rebuilt.__dict__["key"] == 1
    assert rebuilt.__dict__[5] == 2
    assert rebuilt.__dict__["Point(x=1, y=2)"] == 3


def test_missing_attributes_cost_nothing_else() -> None:
    record = make("%s", 1)
    del record.args, record.created
    rebuilt = send(record)
    assert rebuilt.name == record.name
    assert rebuilt.msg.startswith("%s [this message can't be formatted: AttributeError")
    assert not hasattr(rebuilt, "created")


@pytest.mark.parametrize("name", FIELDS)
def test_any_attribute_may_have_any_value(name: str) -> None:
    for value in (RaisingEverything(), threading.Lock(), local_object(), cyclic(), (), 1, None, "text", Data(1, [2])):
        for exc_info in (None, info(caught(PlainError("x")))):
            record = make("%s", 1, exc_info=exc_info, extra={"more": object()})
            record.__dict__[name] = value
            rebuilt = rebuild(flatten(record, lambda record: None))
            assert rebuilt.lineno == 7 or name == "lineno"


def test_a_dict_in_the_place_of_a_message_stays_a_dict() -> None:
    lock = threading.Lock()
    message = {"event": "started", "lock": lock, "when": datetime.date(2024, 1, 1), "names": {"a", "b", "c"}}
    rebuilt = send(make(message))
    assert isinstance(rebuilt.msg, dict)
    assert dict(rebuilt.msg) == {**message, "lock": repr(lock)}
    assert rebuilt.getMessage() == str(message)
    assert type(send(make({"a": 1})).msg) is dict


def test_relative_created_counts_from_the_start_of_this_process() -> None:
    record = make("x")
    expected = record.relativeCreated
    for item in (record, make("x", extra={"a": object()})):
        item.created = record.created
        item.relativeCreated = -1
        assert send(item).relativeCreated == pytest.approx(expected, abs=1)


def test_a_bad_created_is_no_obstacle() -> None:
    record = make("x")
    record.created = None
    assert send(record).created is None


# Classes of records.


class BraceRecord(LogRecord):
    def getMessage(self) -> str:  # noqa: N802
        return str(self.msg).format(*(self.args or ()))


class SlotRecord(LogRecord):
    __slots__ = ("slot",)


class MoodyRecord(LogRecord):
    """Its message depends on more than msg and args."""

    mood = "good"

    def getMessage(self) -> str:  # noqa: N802
        return f"{self.msg} in a {self.mood} mood"


def of_class(kind: type[LogRecord], msg: object, *args: object) -> LogRecord:
    return kind("name", 20, "/path/file.py", 7, msg, args, None)


def test_a_record_of_a_derived_class_keeps_its_class_and_args() -> None:
    rebuilt = send(of_class(BraceRecord, "{} and {}", 1, "b"))
    assert type(rebuilt) is BraceRecord
    assert (rebuilt.msg, rebuilt.args) == ("{} and {}", (1, "b"))
    assert rebuilt.getMessage() == "1 and b"


def test_a_derived_class_with_other_args_gives_the_same_message() -> None:
    rebuilt = send(of_class(BraceRecord, "{}", object))
    assert type(rebuilt) is BraceRecord
    assert rebuilt.getMessage() == str(object)
    assert send(of_class(BraceRecord, "{}", pathlib.PurePosixPath("{braces}"))).getMessage() == "{braces}"


def test_a_derived_class_that_looks_at_more_than_the_record_gives_the_same_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = flatten(of_class(MoodyRecord, "x"))
    monkeypatch.setattr(MoodyRecord, "mood", "bad")
    assert rebuild(flat).getMessage() == "x in a good mood"


def test_a_derived_class_that_is_unknown_here_leaves_a_record_with_its_text() -> None:
    class Local(BraceRecord):
        pass

    rebuilt = send(of_class(Local, "{}", 1))
    assert type(rebuilt) is LogRecord
    assert rebuilt.getMessage() == "1"


def test_a_derived_class_without_a_message_of_its_own_leaves_msg_and_args_apart() -> None:
    class Local(LogRecord):
        pass

    rebuilt = send(of_class(Local, "%s", 1))
    assert (type(rebuilt), rebuilt.msg, rebuilt.args) == (LogRecord, "%s", (1,))


def test_attributes_in_slots_arrive() -> None:
    record = of_class(SlotRecord, "x")
    record.slot = datetime.date(2024, 1, 1)
    rebuilt = send(record)
    assert type(rebuilt) is SlotRecord
    assert rebuilt.slot == datetime.date(2024, 1, 1)


def test_a_get_message_of_the_record_itself_is_asked_in_the_worker() -> None:
    record = make("x")
    record.getMessage = lambda: "of its own"
    assert send(record).getMessage() == "of its own"


# Exceptions.


def test_a_plain_formatter_prints_a_traceback_once_and_byte_for_byte() -> None:
    record = make(
        "failed", exc_info=info(caught(PlainError("x"), cause=caught(KeyError("k")))), sinfo="Stack:\n  stack"
    )
    rebuilt = send(record)
    assert FORMATTER.format(rebuilt) == FORMATTER.format(record)


@pytest.mark.parametrize("exception", NOT_SENDABLE_EXCEPTIONS)
def test_an_exception_that_cannot_be_sent_costs_exc_info_alone(exception: Callable[[], BaseException]) -> None:
    record = make("failed %s", 1, exc_info=info(caught(exception())))
    rebuilt = send(record)
    assert rebuilt.exc_info is None
    assert (rebuilt.msg, rebuilt.args) == ("failed %s", (1,))
    assert FORMATTER.format(rebuilt) == FORMATTER.format(record)


class UpperFormatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802
        return super().formatException(ei).upper()


@pytest.mark.parametrize(
    "exception",
    [
        lambda: PlainError("x"),
        lambda: KeyError("k"),
        lambda: ExceptionGroup("group", [ValueError(1), PlainError("x")]),
        lambda: AttributeError("no attribute"),
        lambda: OtherConstructorError(404, "not found"),
    ],
)
def test_a_formatter_of_the_parents_prints_the_traceback(exception: Callable[[], BaseException]) -> None:
    for number in range(2):  # The second time it is known to print the same.
        cause = PlainError(f"cause {number}")
        cause.add_note("a note")
        record = make("failed", exc_info=info(caught(exception(), cause=caught(cause))))
        rebuilt = send(record)
        formatter = UpperFormatter() if rebuilt.exc_info is not None else FORMATTER
        assert formatter.format(rebuilt) == formatter.format(record)


def test_a_traceback_that_would_print_otherwise_here_is_printed_as_in_the_worker() -> None:
    for code in ("raising = 1\nrasing", "import sys\nsys.versoin", "from sys import versoin"):
        with pytest.raises((NameError, AttributeError, ImportError)) as raised:
            exec(compile(code, "<string>", "exec"), {})
        record = make("failed", exc_info=info(raised.value))
        expected = FORMATTER.format(record)
        record.exc_text = None
        assert "Did you mean" in expected or sys.version_info < (3, 12)
        assert FORMATTER.format(send(record)) == expected


class SaysItsPlaceError(Exception):
    """Prints what only one process has."""

    def __str__(self) -> str:
        return f"{place} of this process"


place = "here"


def test_an_exception_with_another_text_here_is_printed_as_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        flat = flatten(make("failed", exc_info=info(caught(SaysItsPlaceError()))))
        assert rebuild(flat).exc_text is None
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "place", "there")
            assert rebuild(flat).exc_text.endswith("SaysItsPlaceError: here of this process")


def test_a_link_of_a_chain_that_cannot_be_sent_has_a_stand_in() -> None:
    record = make("x", exc_info=info(caught(PlainError("x"), cause=caught(OtherConstructorError(404, "not found")))))
    rebuilt = send(record)
    assert rebuilt.exc_info is not None
    cause = rebuilt.exc_info[1].__cause__
    assert type(cause).__name__ == "OtherConstructorError"
    assert str(cause) == "not found (404)"
    assert FORMATTER.formatException(rebuilt.exc_info) == FORMATTER.formatException(record.exc_info)


def test_a_member_of_a_group_that_cannot_be_sent_has_a_stand_in() -> None:
    group = caught(ExceptionGroup("group", [caught(OtherConstructorError(404, "not found")), PlainError("x")]))
    rebuilt = send(make("x", exc_info=info(group)))
    assert rebuilt.exc_info is not None
    assert [str(member) for member in rebuilt.exc_info[1].exceptions] == ["not found (404)", "x"]


def test_exceptions_that_refer_to_each_other_arrive() -> None:
    one, other = PlainError("one"), PlainError("other")
    one.__context__, other.__context__ = other, one
    rebuilt = send(make("x", exc_info=info(one)))
    assert rebuilt.exc_info is not None
    assert rebuilt.exc_info[1].__context__.__context__ is rebuilt.exc_info[1]
    one.other, other.other = other, one
    assert send(make("x", exc_info=info(one))).exc_info is not None
    one.other = one
    rebuilt = send(make("x", exc_info=info(one)))
    assert rebuilt.exc_info is not None
    assert rebuilt.exc_info[1].other is rebuilt.exc_info[1]


def test_an_exception_of_pythons_own_whose_args_were_changed_costs_exc_info_alone() -> None:
    error = caught(UnicodeDecodeError("ascii", b"x", 0, 1, "why"))
    error.args = ("changed",)
    rebuilt = send(make("x", exc_info=info(error)))
    assert rebuilt.exc_info is None
    assert rebuilt.exc_text == FORMATTER.formatException(info(error))


def chained(text: str, other: str) -> BaseException:
    try:
        try:
            raise PlainError(other)
        except PlainError as error:
            raise ValueError(text) from error
    except ValueError as error:
        return error


def suppressed(text: str, other: str) -> BaseException:
    try:
        try:
            raise PlainError(other)
        except PlainError:
            raise ValueError(text) from None
    except ValueError as error:
        return error


def with_a_note(text: str, other: str) -> BaseException:
    error = caught(ValueError(text))
    error.add_note(other)
    return error


def in_a_group(text: str, other: str) -> BaseException:
    return caught(ExceptionGroup(text, [caught(ValueError(other))]))


def suggesting(text: str, other: str) -> BaseException:
    return caught(NameError(text, name=other))


class MoodyError(Exception):
    def __str__(self) -> str:
        if self.args[0] == "two":
            raise ValueError
        return str(self.args[0])


def moody(text: str, other: str) -> BaseException:
    error = caught(MoodyError(text))
    error.__context__ = caught(MoodyError(other))
    return error


def in_a_circle(text: str, other: str) -> BaseException:
    error = chained(text, other)
    error.__cause__.__context__ = error
    return error


@pytest.mark.parametrize("make_error", [chained, suppressed, with_a_note, in_a_group, suggesting, moody, in_a_circle])
def test_tracebacks_that_differ_in_their_texts_arrive(make_error: Callable[[str, str], BaseException]) -> None:
    texts = ["one", "two", "", "two\nlines", "builtins.ValueError: x", "ValueError: one\nValueError: two", "%s", "two"]
    for text in texts:
        for other in texts:
            error = make_error(text, other)
            flat = flatten(make("x", exc_info=info(error)))
            assert marshal.loads(flat)[2]["exc_text"] == FORMATTER.formatException(info(error))
            rebuilt = rebuild(flat)
            FORMATTER.format(rebuilt)
            assert rebuilt.exc_text == FORMATTER.formatException(info(error))


def test_a_long_chain_and_a_deep_traceback_arrive() -> None:
    exception = caught(PlainError("x"), depth=800)
    for number in range(2000):
        following = PlainError(number)
        following.__context__ = exception
        exception = following
    rebuilt = send(make("x", exc_info=info(exception)))
    assert rebuilt.exc_info is not None
    link, links = rebuilt.exc_info[1], 0
    while link.__context__ is not None:
        link, links = link.__context__, links + 1
    assert links == 2000
    assert len(list(traceback.walk_tb(link.__traceback__))) == 801


def test_an_exception_in_an_attribute_keeps_its_chain() -> None:
    error = caught(PlainError("x"), cause=KeyError("k"))
    rebuilt = send(make("x", exc_info=info(error), extra={"error": error, "errors": [error]}))
    assert rebuilt.exc_info is not None
    assert rebuilt.__dict__["error"] is rebuilt.exc_info[1]
    assert rebuilt.__dict__["errors"] == [rebuilt.exc_info[1]]
    assert repr(rebuilt.__dict__["error"].__cause__) == "KeyError('k')"


def test_an_exception_in_an_attribute_that_cannot_be_sent_is_its_repr() -> None:
    assert (
        send(make("x", extra={"error": OtherConstructorError(1, "a")})).__dict__["error"]
        == "OtherConstructorError('a (1)')"
    )


@pytest.mark.parametrize(
    "exc_info", [None, False, (None, None, None), (), True, "odd", PlainError("x"), (1, 2, 3), object]
)
def test_an_odd_exc_info_is_what_it_would_be_in_the_parent(exc_info: Any) -> None:
    record = make("x", exc_info=exc_info)
    rebuilt = send(record)
    assert same(record.exc_info, rebuilt.exc_info)
    assert rebuilt.exc_text is None


def test_an_exc_text_that_is_there_stays() -> None:
    record = make("x", exc_info=info(caught(PlainError("x"))))
    record.exc_text = "formatted by another handler"
    assert send(record).exc_text == "formatted by another handler"


def test_a_traceback_has_file_line_and_function_of_each_frame() -> None:
    error = caught(PlainError("x"), depth=3)
    rebuilt = send(make("x", exc_info=info(error)))
    assert rebuilt.exc_info is not None
    assert traceback.extract_tb(rebuilt.exc_info[2]) == traceback.extract_tb(error.__traceback__)
    assert traceback.format_tb(rebuilt.exc_info[2]) == traceback.format_tb(error.__traceback__)


def test_a_traceback_of_strange_code_arrives() -> None:
    code = compile("def f():\n  int('x')\nf()", "<string>\udcff", "exec")
    for item in (code, code.replace(co_linetable=b"")):
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            exec(item, {"__name__": 5})
        rebuilt = send(make("x", exc_info=info(raised.value)))
        assert rebuilt.exc_info is not None
        assert len(traceback.format_tb(rebuilt.exc_info[2])) == 3


def test_exc_info_may_have_another_traceback_than_its_exception() -> None:
    error = caught(PlainError("x"), depth=3)
    assert error.__traceback__ is not None
    rebuilt = send(make("x", exc_info=(type(error), error, error.__traceback__.tb_next)))
    assert rebuilt.exc_info is not None
    assert len(traceback.extract_tb(rebuilt.exc_info[2])) == 3
    assert len(traceback.extract_tb(rebuilt.exc_info[1].__traceback__)) == 4


def test_an_unpickler_of_the_users_own_is_respected() -> None:
    value = local_object()
    copyreg.pickle(type(value), lambda item: "local_object")
    try:
        assert send(make("x", extra={"value": value})).__dict__["value"] == "Local()"
    finally:
        del copyreg.dispatch_table[type(value)]


FAILING_JOB = """
import logging, multiprocessing, sys
from logpool import LoggingProcessPoolExecutor

def fail():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise ValueError("no number") from error

def work():
    try:
        fail()
    except ValueError:
        logging.getLogger("app").exception("failed")

if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    work()
    with LoggingProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as executor:
        executor.submit(work).result()
"""


@pytest.mark.parametrize("filters", ["default", "error"])
@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_traceback_is_whole_whatever_becomes_of_warnings(
    run_program: Run, monkeypatch: pytest.MonkeyPatch, start_method: str, filters: str
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", filters)
    ended = run_program(FAILING_JOB, start_method)
    assert (ended.returncode, ended.stderr) == (0, "")
    middle = len(ended.stdout) // 2
    assert ended.stdout[:middle] == ended.stdout[middle:]
    assert ended.stdout.count("\n    1 / 0\n") == 2


STRICT_PICKLERS = """
import logging, pickle, sys

# As PyPy's, a __new__ takes the arguments as well, and no others.
class Pickler(pickle._Pickler):
    def __new__(cls, file, protocol=None):
        return super().__new__(cls)

class Unpickler(pickle._Unpickler):
    def __new__(cls, file):
        return super().__new__(cls)

pickle.Pickler, pickle.Unpickler = Pickler, Unpickler
from logpool._record.flatten import flatten
from logpool._record.rebuild import rebuild

try:
    raise ValueError("failed") from KeyError("cause")
except ValueError:
    record = logging.LogRecord("app", logging.INFO, "file", 1, "x", (), sys.exc_info())
_, error, traceback = rebuild(flatten(record)).exc_info
print(repr(error), repr(error.__cause__), traceback is error.__traceback__ is not None)
"""


def test_exceptions_arrive_where_picklers_take_their_own_arguments_alone(run_program: Run) -> None:
    ended = run_program(STRICT_PICKLERS)
    assert (ended.stdout, ended.stderr) == ("ValueError('failed') KeyError('cause') True\n", "")


def test_a_str_of_an_exception_is_asked_for_no_more_than_needed() -> None:
    class CountingError(Exception):
        asked = 0

        def __str__(self) -> str:
            CountingError.asked += 1
            return "counted"

    send(make("x", exc_info=info(caught(CountingError()))))
    # By the formatter, and for the case that the parent can't make the exception.
    assert CountingError.asked == 2


def test_a_frame_whose_end_comes_before_its_start_is_not_underlined() -> None:
    # Code that isn't compiled from a text has the positions that whoever made it has given to it.
    made = make_traceback([("template", "render", "render", "app", None, 3, (5, 3, 9, 1))])
    assert [(frame.f_code.co_name, line) for frame, line in traceback.walk_tb(made)] == [("render", 3)]


def test_name_and_level_of_a_record_arrive_plain_where_their_class_does_not() -> None:
    class Name(str):
        pass

    class Level(int):
        pass

    record = logging.makeLogRecord({"name": Name("app"), "levelno": Level(35), "levelname": Name("LOUD")})
    rebuilt = rebuild(flatten(record))
    assert [(value, type(value)) for value in (rebuilt.name, rebuilt.levelno, rebuilt.levelname)] == [
        ("app", str),
        (35, int),
        ("LOUD", str),
    ]


def test_a_frame_of_a_traceback_keeps_no_other_alive() -> None:
    rebuilt = send(make("x", exc_info=info(caught(PlainError("x"), depth=3))))
    assert rebuilt.exc_info is not None
    for frame, line in traceback.walk_tb(rebuilt.exc_info[2]):
        assert frame.f_back is None
        assert frame.f_lineno == line
        assert dict(frame.f_locals) == {}
        frame.clear()
    assert "in raise_it\n" in FORMATTER.formatException(rebuilt.exc_info)


def test_frames_of_one_code_are_told_apart_by_their_modules() -> None:
    code = compile("1 / 0\n1 / 0", "template", "exec")
    for module in ("first", "second", None, 5):
        with pytest.raises(ZeroDivisionError) as raised:
            exec(code, {"__name__": module, "__file__": f"{module}.py"})
        rebuilt = send(make("x", exc_info=info(raised.value)))
        assert rebuilt.exc_info is not None
        *_, (frame, line) = traceback.walk_tb(rebuilt.exc_info[2])
        assert frame.f_globals["__name__"] == (None if module == 5 else module)
        assert frame.f_globals["__file__"] == f"{module}.py"
        assert (frame.f_code.co_filename, line) == ("template", 1)


def test_tracebacks_of_other_lines_of_one_function_are_told_apart() -> None:
    def divide(which: int) -> None:
        if which:
            1 / 0  # noqa: B018
        1 / 0  # noqa: B018

    lines = set()
    for which in (0, 1, 0, 1):
        with pytest.raises(ZeroDivisionError) as raised:
            divide(which)
        rebuilt = send(make("x", exc_info=info(raised.value)))
        assert rebuilt.exc_info is not None
        assert FORMATTER.formatException(rebuilt.exc_info) == FORMATTER.formatException(info(raised.value))
        lines.add(traceback.extract_tb(rebuilt.exc_info[2])[-1].lineno)
    assert len(lines) == 2
