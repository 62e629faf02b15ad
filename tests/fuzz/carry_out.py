"""Run a scenario in this process while one of its calls fails, and say by the exit code how it ended."""

import asyncio
import contextlib
import faulthandler
import gc
import io
import logging
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable

from tests.support import Implementation

from .scenarios import SCENARIOS

# Exit codes. An error of Python's or a report is as good as success: it is what a failed call is to lead to.
FINE, NOT_REACHED, SILENT, STUCK, SPUN, WRONG = 0, 10, 11, 12, 13, 14
MEANINGS = {
    SILENT: "waited in vain, and nothing was raised or reported",
    STUCK: "the loop ran on after its time-out",
    SPUN: "kept the processor busy while it waited",
    WRONG: "SystemError",
}
# Of them, those that a machine with much else to do may be the reason of.
MAY_BE_SLOW = (SILENT, STUCK, SPUN)
# Seconds for the scenario itself, and for everything; and how many times as long where one of those is to be
# ruled out.
TIMEOUT = 2.0
PATIENCE = 8.0
PATIENT = 5.0


class Stuck(KeyboardInterrupt):
    """What the alarm raises: a loop ends with it."""


def alarm(signum: int, frame: object) -> None:
    """SIGALRM's handler."""
    raise Stuck


class Watch(logging.Handler):
    """Everything that was reported anywhere but by an exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0
        self.errors: list[BaseException] = []
        self.system_error: BaseException | None = None

    def look_at(self, error: object) -> None:
        """An error."""
        self.count += 1
        if isinstance(error, BaseException) and len(self.errors) < 3:
            self.errors.append(error)
        if isinstance(error, SystemError):
            self.system_error = error

    def emit(self, record: logging.LogRecord) -> None:
        """A record of asyncio's log."""
        self.look_at(record.exc_info[1] if record.exc_info else None)

    def unraisable(self, unraisable) -> None:
        """sys.unraisablehook, threading.excepthook."""
        self.look_at(unraisable.exc_value)

    def reported(self, loop: object, context: dict[str, object]) -> None:
        """A loop's exception handler."""
        self.look_at(context.get("exception"))


def prepare(patience: float) -> Watch:
    """In a child: what is needed to see how it goes. It has `patience` seconds."""
    watch = Watch()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in ("asyncio", "concurrent.futures"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(watch)
    sys.unraisablehook = threading.excepthook = watch.unraisable
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, patience, 0.5)
    return watch


def carry_out(
    name: str,
    impl: Implementation,
    begin: Callable[[], object],
    end: Callable[[], object] = lambda: None,
    strict: bool = True,
    slowness: float = 1.0,
) -> int:
    """Run the scenario between `begin` and `end`; the exit code.

    `strict`: a SystemError is a finding. `slowness`: how many times the usual time it has.
    """
    timeout = TIMEOUT * slowness
    watch = prepare(PATIENCE * slowness)
    raised: BaseException | None = None
    began, cpu = time.monotonic(), time.process_time()
    loop = None
    # Also empties the interpreter's free lists: then the allocations are the same ones each time.
    gc.collect()
    begin()
    try:
        loop = impl.new_event_loop()
        loop.set_exception_handler(watch.reported)
        loop.run_until_complete(asyncio.wait_for(SCENARIOS[name](impl), timeout))
    except BaseException as error:
        raised = error
    unfinished = tell_of_tasks(loop) if isinstance(raised, Stuck) else ""
    try:
        if loop is not None:
            loop.close()
    except BaseException as error:
        raised = raised or error
    end()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = judge(watch, raised, seconds > timeout * 0.9 and cpu > seconds * 0.7, strict)
    if code != FINE:
        print(unfinished)
        for error in watch.errors:
            print("reported:")
            traceback.print_exception(error, file=sys.stdout)
        with contextlib.suppress(BaseException):
            sys.excepthook(type(raised), raised, raised and raised.__traceback__)
    # What is left over must not crash when it goes.
    raised = loop = None
    gc.collect()
    return code


def tell_of_tasks(loop: asyncio.AbstractEventLoop | None) -> str:
    """The tasks that were not over, and where they were."""
    told = io.StringIO()
    # To tell may take longer than to the next alarm, which is for what comes after.
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 0.5)
    with contextlib.suppress(Exception):
        for task in asyncio.all_tasks(loop):
            task.print_stack(file=told)
    return told.getvalue()


def judge(watch: Watch, raised: BaseException | None, spun: bool, strict: bool) -> int:
    """The exit code. `spun`: it was busy for all of its time."""
    if strict and (isinstance(raised, SystemError) or watch.system_error):
        return WRONG
    if isinstance(raised, Stuck) and not watch.count:
        # What was reported may be what was to stop the loop.
        return STUCK
    if spun:
        return SPUN
    if isinstance(raised, TimeoutError) and not (raised.errno or watch.count or has_cause(raised)):
        return SILENT
    return FINE


def has_cause(error: BaseException | None) -> bool:
    """Whether another error came before: what waited in vain was the clearing up after that."""
    while error := (error and (error.__cause__ or error.__context__)):
        if not isinstance(error, asyncio.CancelledError | TimeoutError):
            return True
    return False
