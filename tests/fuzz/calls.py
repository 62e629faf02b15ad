"""Arbitrary calls on arbitrary objects of the package.

`python -m tests.fuzz.calls SEED ACTIONS TRAIL` runs one seed.
"""

import asyncio
import contextlib
import copy
import faulthandler
import fcntl
import gc
import importlib
import inspect
import logging
import os
import pickle
import pkgutil
import random
import sys
import tempfile
import threading
import types
import warnings
import weakref

import cloop
from cloop import notice

from . import guards
from .scenery import OWN_FDS, Scenery, found_by_collector, of_package
from .trail import Trail
from .values import LIARS, LIES, PROTOCOLS, LyingSocket, lie, mischief, plain_values

# Modules that are not for a process that has imported cloop: they run a program, or are another's plug-in.
LEFT_OUT = ("cloop.__main__", "cloop.gunicorn")
# It stands for asyncio._set_running_loop. Called with None it takes the running loop away: then a wait within
# that loop may not end, on asyncio's from 3.14 on as well.
NOT_CALLED = notice.watched
DEPTH = 3
POOL = 600
FOUND = 3


def package_modules() -> list[types.ModuleType]:
    """Every module of the package that can be imported here."""
    modules = [cloop]
    for info in pkgutil.walk_packages(cloop.__path__, "cloop."):
        if info.name not in LEFT_OUT:
            with contextlib.suppress(ImportError):
                modules.append(importlib.import_module(info.name))
    return modules


def entries(modules: list[types.ModuleType]) -> tuple[list[type], list[object]]:
    """The package's classes and functions, also those that only a module's private name leads to."""
    kinds: dict[int, type] = {}
    functions: dict[int, object] = {}
    for module in modules:
        for value in list(vars(module).values()):
            if isinstance(value, type):
                if of_package(value):
                    kinds[id(value)] = value
            elif value is NOT_CALLED:
                continue
            elif callable(value) and getattr(value, "__module__", "").startswith("cloop"):
                functions[id(value)] = value
    return sorted(kinds.values(), key=str), sorted(
        functions.values(), key=lambda f: f"{f.__module__}{f.__name__}"
    )


class Fuzzer:
    """Chooses what to do next, by the seed, and does it."""

    def __init__(self, seed: int, trail: Trail) -> None:
        self.seed = seed
        self.trail = trail
        self.random = random.Random(seed)
        self.kinds, self.functions = entries(package_modules())
        self.values = plain_values()
        self.pool: dict[str, list[object]] = {}
        self.depth = 0
        self.number = 0
        # What no arbitrary call may raise.
        self.system_errors: list[str] = []
        mischief.act, mischief.any = self.nested, self.value

    def begin(self) -> None:
        """Make a live program, and fill the pool from it."""
        self.scenery = Scenery()
        self.gather()

    # ---- The pool

    def add(self, thing: object) -> None:
        """Add an object to the pool, in the place of another where there are many of its class."""
        same = self.pool.setdefault(type(thing).__name__, [])
        if len(same) < 12:
            same.append(thing)
        else:
            same[self.random.randrange(len(same))] = thing

    def gather(self) -> None:
        """Add what the collector knows of."""
        for thing in found_by_collector():
            self.add(thing)
            if type(thing) not in self.kinds:
                self.kinds.append(type(thing))

    def some(self, name: str | None = None) -> object:
        """An object of the pool; each class is as likely."""
        if name is None or not self.pool.get(name):
            name = self.random.choice(list(self.pool) or [""])
        same = self.pool.get(name)
        return self.random.choice(same) if same else None

    # ---- Arguments

    def value(self, name: str = "") -> object:
        """An argument: for one of that name a fitting one at times."""
        chance = self.random.random()
        if chance < 0.5 and (fitting := FITTING.get(name)):
            return fitting(self)
        if chance < 0.55:
            return None
        if chance < 0.75:
            return self.some()
        if chance < 0.83:
            return self.random.choice(LIARS)()
        if chance < 0.87:
            return self.random.choice(self.kinds)
        if chance < 0.9:
            return self.random.choice(PROTOCOLS)()
        return self.random.choice(self.values)()

    def arguments(self, function: object) -> tuple[list[object], dict[str, object]]:
        """Arguments for a callable, by its signature at times."""
        if self.random.random() < 0.7:
            with contextlib.suppress(ValueError, TypeError):
                parameters = list(inspect.signature(function).parameters.values())
                return self.matching(parameters)
        return [self.value() for _ in range(self.random.choice([0, 0, 1, 1, 1, 2, 2, 3, 4, 7]))], {}

    def matching(self, parameters: list[inspect.Parameter]) -> tuple[list[object], dict[str, object]]:
        """As many arguments as it takes."""
        positional, named = [], {}
        for parameter in parameters:
            optional = parameter.default is not parameter.empty
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if optional and self.random.random() < 0.6:
                continue
            value = self.value(parameter.name)
            if parameter.kind is parameter.KEYWORD_ONLY or optional:
                named[parameter.name] = value
            else:
                positional.append(value)
        return positional, named

    # ---- Doing

    def nested(self) -> None:
        """An action within another's call."""
        if self.depth < DEPTH:
            self.do()

    def do(self) -> None:
        """An action, whatever it raises."""
        self.depth += 1
        try:
            if self.depth > 1 and self.random.random() < 0.1:
                self.gather()
            action = self.random.choices(ACTIONS, WEIGHTS)[0]
            self.keep(action(self))
        except guards.Overtime:
            if self.depth > 1:
                raise
        except BaseException as error:
            self.check(error)
        finally:
            self.depth -= 1

    def step(self) -> None:
        """One action with what it leads to."""
        self.number += 1
        self.random.seed(self.seed * 1_000_003 + self.number)
        mischief.random.seed(self.seed * 1_000_003 + self.number)
        try:
            guards.arm()
            self.do()
        except guards.Overtime:
            pass
        finally:
            guards.disarm()
        self.depth = 0
        if self.number % 50 == 0:
            guards.arm()
            with contextlib.suppress(BaseException):
                if self.scenery.loop.is_closed():
                    self.scenery = Scenery()
                self.gather()
            guards.disarm()

    def check(self, error: object) -> None:
        """Note an error that shows that the C code is wrong."""
        if isinstance(error, SystemError):
            self.system_errors.append(f"action {self.number}: SystemError: {error}")
            self.trail.note(f"SystemError: {error}")

    def keep(self, result: object) -> None:
        """Add a result to the pool if there is something to do with it."""
        kind = type(result)
        if of_package(kind) or kind.__name__ in ("coroutine", "generator", "builtin_function_or_method"):
            self.add(result)

    def note(self, *what: object) -> None:
        """Say what is done next; of objects only the class, as repr() may be what crashes."""
        texts = [what_is(thing) for thing in what]
        self.trail.note(f"{self.number} {'  ' * self.depth}{' '.join(texts)}")

    def call(self, function: object, *before: object) -> object:
        """Call with arbitrary arguments after the given ones."""
        positional, named = self.arguments(function)
        self.note(
            "call", function, "with", *before, *positional, *(f"{k}={what_is(v)}" for k, v in named.items())
        )
        return function(*before, *positional, **named)


def what_is(thing: object) -> str:
    """A few words on an argument."""
    if type(thing) is str:
        return thing[:60]
    if type(thing) in (int, float, bool, type(None)):
        return repr(thing)
    if isinstance(thing, type):
        return f"class:{type.__getattribute__(thing, '__name__')}"
    if (
        isinstance(thing, types.FunctionType | types.BuiltinFunctionType | types.MethodType)
        or "method" in type(thing).__name__
    ):
        owner = getattr(thing, "__self__", None)
        name = getattr(thing, "__qualname__", "?")
        return f"{name}[{type(owner).__name__}]" if owner is not None else str(name)
    return f"<{type(thing).__name__}@{id(thing) & 0xFFFFFF:x}>"


# What fits a parameter of that name.
FITTING = {
    "loop": lambda f: f.scenery.loop if f.random.random() < 0.7 else f.some("Loop"),
    "sock": lambda f: LyingSocket() if f.random.random() < 0.5 else f.some("TransportSocket"),
    "fd": lambda f: f.random.choice(OWN_FDS),
    "protocol": lambda f: f.random.choice(PROTOCOLS)(),
    "protocol_factory": lambda f: f.random.choice(PROTOCOLS),
    "future": lambda f: f.some("Future"),
    "fut": lambda f: f.some("Future"),
    "waiter": lambda f: f.scenery.loop.create_future(),
    "callback": lambda f: lambda *args: mischief.answer(None),
    "coro": lambda f: asyncio.sleep(0),
    "args": lambda f: (1, 2),
    "context": lambda f: f.value("") if f.random.random() < 0.3 else None,
    "members": lambda f: [f.some("Future"), f.some("Task")],
    "reader": lambda f: f.some("StreamReader"),
    "above": lambda f: f.some(f.random.choice(["StreamTransport", "_SSLProtocolTransport"])),
    "transport": lambda f: f.some(
        f.random.choice(["StreamTransport", "_SSLProtocolTransport", "ReadPipeTransport"])
    ),
    "data": lambda f: f.random.choice([b"x", bytearray(b"y"), memoryview(b"z"), bytes(70_000)]),
    "task": lambda f: f.some("Task"),
    "path": lambda f: f"path{f.random.randrange(5)}",
}


def names_of(thing: object) -> list[str]:
    """The names of a class's attributes."""
    return [name for name in dir(type(thing)) if name not in guards.DENIED]


# ---- Actions


def call_function(f: Fuzzer) -> object:
    """A function of a module."""
    return f.call(f.random.choice(f.functions))


def make(f: Fuzzer) -> object:
    """An object of a class, by its constructor or past it."""
    kind = f.random.choice(f.kinds)
    how = f.random.random()
    if how < 0.75:
        return f.call(kind)
    f.note("new", kind)
    return kind.__new__(kind) if how < 0.9 else object.__new__(kind)


def call_method(f: Fuzzer) -> object:
    """A method of an object."""
    thing = f.some()
    name = f.random.choice(names_of(thing))
    f.note("get", thing, name)
    return f.call(getattr(thing, name))


def call_with_other_self(f: Fuzzer) -> object:
    """A method of a class, with something else than an object of it."""
    kind = type(f.some()) if f.random.random() < 0.5 else f.random.choice(f.kinds)
    name = f.random.choice([name for name in dir(kind) if name not in guards.DENIED])
    f.note("other self", kind, name)
    return f.call(getattr(kind, name), f.some() if f.random.random() < 0.5 else f.value())


def read_attribute(f: Fuzzer) -> object:
    """An attribute of an object."""
    thing = f.some()
    name = f.random.choice(names_of(thing))
    f.note("read", thing, name)
    return getattr(thing, name)


def set_attribute(f: Fuzzer) -> object:
    """Set an attribute, of an object or, rarely, of a class in Python."""
    thing = f.some()
    name = f.random.choice(names_of(thing))
    value = f.value(name.strip("_"))
    if f.random.random() < 0.03 and not name.startswith("__"):
        thing = type(thing)
    f.note("set", thing, name, value)
    return setattr(thing, name, value)


def delete_attribute(f: Fuzzer) -> object:
    """Delete an attribute of an object."""
    thing = f.some()
    name = f.random.choice(names_of(thing))
    f.note("delete", thing, name)
    return delattr(thing, name)


PROTOCOL_OF_OBJECTS = [
    *(
        repr,
        str,
        hash,
        bool,
        len,
        iter,
        next,
        list,
        dir,
        int,
        float,
        bytes,
        memoryview,
        callable,
        vars,
        abs,
        reversed,
    ),
    *(
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        weakref.ref,
        gc.get_referents,
        sys.getsizeof,
        inspect.signature,
    ),
    *(
        asyncio.isfuture,
        asyncio.iscoroutine,
        inspect.isawaitable,
        asyncio.ensure_future,
        os.fspath,
        format,
        id,
    ),
    lambda thing: thing == mischief.any(),
    lambda thing: thing < mischief.any(),
    lambda thing: thing in [mischief.any()],
    lambda thing: mischief.any() in thing,
    lambda thing: thing[mischief.any()],
    lambda thing: thing + mischief.any(),
    lambda thing: thing | mischief.any(),
    lambda thing: isinstance(mischief.any(), type(thing)),
    lambda thing: next(thing.__await__()),
    lambda thing: thing.send(None),
    lambda thing: thing.__reduce_ex__(mischief.random.randrange(5)),
    lambda thing: pickle.loads(pickle.dumps(thing)),
    lambda thing: weakref.ref(thing, lambda ref: mischief.act()),
]


def treat_as_anything(f: Fuzzer) -> object:
    """What can be asked of any object: its length, its hash, a copy..."""
    thing, function = f.some(), f.random.choice(PROTOCOL_OF_OBJECTS)
    f.note("ask", function, thing)
    return function(thing)


def derive(f: Fuzzer) -> object:
    """A class derived from one or two of them, some of whose methods lie; and an object of it."""
    bases = f.random.sample(f.kinds, f.random.choice([1, 1, 1, 2]))
    names = [
        name
        for name in dir(bases[0])
        if name not in ("__class__", "__new__", "__init__", "__dict__", "__mro__")
    ]
    lies = {name: LIES.get(name, lie(None)) for name in f.random.sample(names, min(2, len(names)))}
    f.note("derive", *bases, "lying about", *lies)
    kind = type("Derived", tuple(bases), lies)
    if len(f.kinds) < POOL:
        f.kinds.append(kind)
    return f.call(kind)


def change_class(f: Fuzzer) -> object:
    """Give an object another class."""
    thing, kind = f.some(), f.random.choice(f.kinds)
    f.note("change class", thing, kind)
    thing.__class__ = kind
    return None


def turn(f: Fuzzer) -> object:
    """Let a loop take a turn."""
    loop = f.scenery.loop if f.random.random() < 0.8 else f.some("Loop")
    f.note("turn", loop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    return None


def schedule(f: Fuzzer) -> object:
    """Have an action done by a loop."""
    loop = f.scenery.loop
    way = f.random.choice([loop.call_soon, loop.call_soon_threadsafe, lambda act: loop.call_later(0, act)])
    f.note("schedule", way)
    return way(f.nested)


def schedule_call(f: Fuzzer) -> object:
    """Have a loop call a method of an object."""
    thing = f.some()
    method = getattr(thing, f.random.choice(names_of(thing)))
    f.note("schedule call", method)
    return f.scenery.loop.call_soon(lambda: f.call(method))


def run_coroutine(f: Fuzzer) -> object:
    """Make a coroutine or an awaitable of the pool a task, or run it."""
    thing = f.some(f.random.choice(["coroutine", "StreamCall", "Future", "Task"]))
    f.note("run", thing)
    if f.random.random() < 0.5 and not f.scenery.loop.is_running():
        return f.scenery.loop.run_until_complete(asyncio.wait_for(thing, 0.02))
    return f.scenery.loop.create_task(thing)


def in_thread(f: Fuzzer) -> object:
    """An action in another thread."""
    f.note("thread")
    thread = threading.Thread(target=f.do, daemon=True)
    thread.start()
    thread.join(0.3)
    return None


class Finalizer:
    """Acts when it is let go of."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        mischief.act()


def finalize(f: Fuzzer) -> object:
    """An action of a finalizer, in a collection."""
    f.note("finalizer")
    Finalizer()
    gc.collect(f.random.choice([0, 0, 1, 2]))
    return None


def let_go(f: Fuzzer) -> object:
    """Drop objects."""
    f.note("let go")
    for same in list(f.pool.values()):
        if same and f.random.random() < 0.3:
            same.pop(f.random.randrange(len(same)))
    if f.random.random() < 0.2:
        f.scenery.kept.clear()
        gc.collect()
    return None


TABLE = {
    call_function: 10,
    make: 10,
    call_method: 30,
    call_with_other_self: 12,
    read_attribute: 8,
    set_attribute: 8,
    delete_attribute: 2,
    treat_as_anything: 8,
    derive: 3,
    change_class: 1,
    turn: 8,
    schedule: 4,
    schedule_call: 4,
    run_coroutine: 5,
    in_thread: 2,
    finalize: 2,
    let_go: 1,
}
ACTIONS, WEIGHTS = list(TABLE), list(TABLE.values())


class ErrorsInLog(logging.Handler):
    """Looks into what asyncio logs, and prints nothing."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        super().__init__()
        self.fuzzer = fuzzer

    def emit(self, record: logging.LogRecord) -> None:
        """A record."""
        if record.exc_info:
            self.fuzzer.check(record.exc_info[1])


def run_seed(seed: int, actions: int, path: str) -> int:
    """Run one seed in this process; the exit code."""
    os.chdir(tempfile.mkdtemp())
    # Where no arbitrary call closes it.
    faulthandler.enable(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 900))
    warnings.simplefilter("ignore")
    guards.set_up("ASAN_OPTIONS" in os.environ)
    sys.setrecursionlimit(400)
    gc.collect()
    gc.freeze()
    fuzzer = Fuzzer(seed, Trail(path))
    sys.unraisablehook = lambda unraisable: fuzzer.check(unraisable.exc_value)
    threading.excepthook = lambda failed: fuzzer.check(failed.exc_value)
    logger = logging.getLogger("asyncio")
    logger.propagate = False
    logger.addHandler(ErrorsInLog(fuzzer))
    fuzzer.begin()
    for _ in range(actions):
        fuzzer.step()
    fuzzer.trail.note("the end")
    for line in fuzzer.system_errors[:FOUND]:
        print(line, file=sys.__stderr__, flush=True)
    code = 1 if fuzzer.system_errors else 0
    if threading.active_count() > 1:
        # A thread that an action has blocked would be waited for.
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(run_seed(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
