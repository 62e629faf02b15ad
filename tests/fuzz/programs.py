"""Random programs on asyncio's loop and on cloop's: what happens must be the same, in the same order.

`python -m tests.fuzz.programs FIRST COUNT TRAIL` runs so many seeds.
"""

import difflib
import logging
import pprint
import random
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

from tests.support import PY312, Implementation, load_implementation

from .interpreter import ERRORS, Op, Program, Run, describe
from .trail import Trail

# Runs that shrinking may take.
TRIES = 500
ASYNCIO, CLOOP = load_implementation("asyncio"), load_implementation("cloop")


class Generator:
    """Makes programs by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.depth = 0

    def program(self) -> Program:
        """A program."""
        choose = self.random
        # Each program has a subject, or the parts would seldom meet.
        self.weights = {name: choose.choice([0, 1, 1, 4]) for name in SUBJECTS}
        scripts = [self.script() for _ in range(choose.randint(2, 5))]
        return Program(
            scripts,
            begun=choose.randint(1, 3),
            futures=choose.randint(1, 4),
            factory=choose.choice(["", "", "", "eager", "eager", "asyncio", "asyncio eager"]),
            own=choose.random() < 0.7,
            debug=choose.random() < 0.15,
            limit=choose.choice([1, 4, 8, 64]),
        )

    def script(self) -> list[Op]:
        """A list of operations, each with whether what it raises is caught."""
        return [(self.random.random() < 0.75, self.op()) for _ in range(self.random.randint(1, 9))]

    def op(self, waits: bool = True) -> Op:
        """An operation."""
        while True:
            subject = self.random.choices(list(SUBJECTS), [self.weights[name] + 0.1 for name in SUBJECTS])[0]
            waiting, others = SUBJECTS[subject]
            makers = waiting + others if waits else others
            if self.depth > 2:
                return ("sleep", 0) if waits else ("current",)
            if makers:
                self.depth += 1
                try:
                    return self.random.choice(makers)(self)
                finally:
                    self.depth -= 1

    def ref(self) -> tuple[str, int]:
        """A future, a task or a coroutine."""
        return self.random.choice(["future", "future", "task", "task", "coroutine"]), self.number()

    def future(self) -> tuple[str, int]:
        """A future or a task."""
        return self.random.choice(["future", "task"]), self.number()

    def refs(self) -> list[tuple[str, int]]:
        """Some of them."""
        return [self.ref() for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))]

    def number(self) -> int:
        """A small number."""
        return self.random.randrange(5)

    def seconds(self) -> int:
        """A delay."""
        return self.random.choice([0, 0, 1, 1, 2, 3])

    def timeout(self) -> int | None:
        """A time-out."""
        return self.random.choice([None, -1, 0, 1, 2])

    def error(self) -> str:
        """The name of an exception."""
        names = [name for name in ERRORS if name != "exit"] * 4 + ["exit"]
        return self.random.choice(names)

    def data(self) -> bytes:
        """What readers get."""
        return self.random.choice([b"a", b"ab\n", b"\n", b"abcdef", b"x\r\ny", b"", b"long " * 4])


def maker(name: str, *parts: str):
    """Makes operations of that name with such arguments."""
    return lambda g: (name, *(getattr(g, part)() if isinstance(part, str) else part(g) for part in parts))


def one_coroutine(g: Generator) -> list[tuple[str, int]]:
    """Awaitables of which at most one is a coroutine: of more, as_completed() makes tasks in any order."""
    return [*g.refs()[:1], *([g.future()] if flag(g) else [])]


def inner(g: Generator) -> Op:
    """An operation that may wait."""
    return g.op()


def act(g: Generator) -> Op:
    """One that doesn't."""
    return g.op(waits=False)


def flag(g: Generator) -> bool:
    return g.random.random() < 0.5


def message(g: Generator) -> str | None:
    return g.random.choice([None, "message"])


def when(g: Generator) -> str:
    return g.random.choice(["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])


def scripts(g: Generator) -> list[int]:
    return [g.number() for _ in range(g.random.choice([0, 1, 2, 3]))]


def read(g: Generator) -> Op:
    how = g.random.choice(["read", "readline", "readexactly", "readuntil"])
    if how == "readline":
        return ("read", how)
    if how == "readuntil":
        separators = [b"\n", b"\r\n", b"b", b"", b"ab"]
        return ("read", how, g.random.choice(separators))
    if how == "readexactly":
        # Of more, asyncio's task goes on with each piece that comes, and waits again; cloop's with the last.
        return ("read", how, g.random.choice([-1, 0, 1]))
    return ("read", how, g.random.choice([-1, 0, 1, 2, 5, 100]))


def lock(g: Generator) -> str:
    return g.random.choice(["lock", "semaphore", "condition"])


# Operations that wait, and those that don't.
SUBJECTS = {
    "futures": (
        [maker("await", "ref"), maker("await", "future"), maker("sleep", "seconds")],
        [
            maker("set", "number", "number"),
            maker("fail", "number", "error"),
            maker("cancel", "future", message),
            maker("look", "future"),
            maker("callback", "future", "number"),
            maker("remove_callbacks", "future", "number"),
            maker("acting_callback", "future", act),
            maker("show", "future"),
        ],
    ),
    "tasks": (
        [maker("eager", "number"), maker("sleep", "seconds"), maker("group", scripts), maker("await", "ref")],
        [
            maker("spawn", "number"),
            maker("cancel", "future", message),
            maker("counts", "number"),
            maker("raise", "error"),
            maker("return", "number"),
            maker("variable", "number"),
            maker("current"),
        ],
    ),
    "functions": (
        [
            maker("gather", "refs", flag),
            maker("wait", "refs", when, "timeout"),
            maker("wait_for", "ref", "timeout"),
            maker("shield", "ref"),
            maker("as_completed", one_coroutine, "timeout"),
            maker("timeout", "timeout", inner),
        ],
        [],
    ),
    "locks": (
        [
            maker("put", "number"),
            maker("get"),
            maker("locked", lock, inner),
            maker("event"),
            maker("condition"),
        ],
        [maker("put_nowait", "number"), maker("get_nowait"), maker("set_event", flag)],
    ),
    "handles": (
        [maker("sleep", "seconds")],
        [maker("soon", act), maker("later", "seconds", act), maker("cancel_handle", "number")],
    ),
    "readers": (
        [read, read, read, lambda g: ("timeout", g.timeout(), read(g))],
        [
            maker("feed", "data"),
            maker("feed", "data"),
            maker("feed", "data"),
            maker("feed_eof"),
            maker("fail_reader", "error"),
            maker("look_at_reader"),
            maker("new_reader"),
        ],
    ),
    "sockets": (
        [lambda g: ("receive", g.random.choice([1, 5])), maker("send", "data")],
        [maker("watch", flag, "number"), maker("unwatch", flag), maker("send_now", "data")],
    ),
}


# ---- Comparing


def run_one(impl: Implementation, program: Program) -> list[str]:
    """The trace of a run."""
    try:
        return Run(impl, program).run()
    except Exception as error:
        return [f"the program itself: {describe(error)}"]


def differ(program: Program) -> tuple[list[str], list[str]] | None:
    """The two traces, if they differ and are the same each time."""
    expected, found = run_one(ASYNCIO, program), run_one(CLOOP, program)
    if expected == found:
        return None
    same_each_time = run_one(ASYNCIO, program) == expected and run_one(CLOOP, program) == found
    return (expected, found) if same_each_time else None


def smaller(program: Program) -> Iterator[Program]:
    """Programs with less in them."""
    for name, simple in {"debug": False, "factory": "", "own": False, "begun": 1, "futures": 1}.items():
        if getattr(program, name) != simple:
            yield replace(program, **{name: simple})
    for i, script in enumerate(program.scripts):
        for shorter in without_parts(script):
            yield replace(program, scripts=[*program.scripts[:i], shorter, *program.scripts[i + 1 :]])
    if len(program.scripts) > 1 and not program.scripts[-1]:
        yield replace(program, scripts=program.scripts[:-1])


def without_parts(script: list[Op]) -> Iterator[list[Op]]:
    """The list without all, without halves, and without each."""
    size = len(script)
    while size:
        for start in range(0, len(script), size):
            yield script[:start] + script[start + size :]
        size //= 2
    for i, (catch, op) in enumerate(script):
        for part in op[1:]:
            if isinstance(part, tuple) and part and isinstance(part[0], str) and len(part) != 2:
                yield [*script[:i], (catch, part), *script[i + 1 :]]
            if isinstance(part, list):
                for j in range(len(part)):
                    less = tuple(part[:j] + part[j + 1 :] if each is part else each for each in op)
                    yield [*script[:i], (catch, less), *script[i + 1 :]]


def shrink(program: Program) -> Program:
    """A program that is as small as can be, and still differs."""
    tries = 0
    again = True
    while again:
        again = False
        for candidate in smaller(program):
            tries += 1
            if tries > TRIES:
                return program
            if differ(candidate):
                program, again = candidate, True
                break
    return program


def print_difference(seed: int, program: Program) -> None:
    """Say what differs, in as small a program as can be."""
    program = shrink(program)
    traces = differ(program)
    print(f"\n==== --seed {seed}")
    pprint.pprint(program, width=120)
    if traces:
        print("\n".join(difflib.unified_diff(*traces, "asyncio", "cloop", lineterm="", n=6)), flush=True)
    else:
        print("the difference is not there each time", flush=True)


def run_seeds(first: int, count: int, path: str) -> int:
    """Run the programs of some seeds; the exit code."""
    warnings.simplefilter("ignore")
    logging.disable()
    sys.unraisablehook = lambda unraisable: None
    trail = Trail(path)
    found = 0
    for seed in range(first, first + count):
        trail.note(f"--seed {seed}")
        program = Generator(seed).program()
        if not PY312 and "eager" in program.factory:
            continue
        # Sets have no order: not what is there only at times.
        if all(differ(program) for _ in range(3)):
            found += 1
            print_difference(seed, program)
    return 1 if found else 0


if __name__ == "__main__":
    CLOOP = load_implementation("cloop")
    sys.exit(run_seeds(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
