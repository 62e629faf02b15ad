"""Put a kit (loop, Future, Task, functions) where asyncio has its own, for one whole process."""

import asyncio
import importlib
import types
from asyncio import futures, streams, tasks, unix_events
from dataclasses import dataclass

FUNCTIONS = (
    "as_completed",
    "gather",
    "open_connection",
    "open_unix_connection",
    "run_coroutine_threadsafe",
    "shield",
    "start_server",
    "start_unix_server",
    "wait",
    "wait_for",
)
LOOP_NAMES = ("EventLoop", "SelectorEventLoop", "_UnixSelectorEventLoop")

# Modules whose tests make a bare BaseEventLoop and replace its I/O by mocks, only so as not to open
# a selector. A real loop does as well.
BARE_LOOP_MODULES = frozenset({"test_pep492", "test_runners"})


# Modules that run their tests on a loop for each of the system's selectors.
SELECTOR_MODULES = frozenset({"test_sendfile", "test_sock_lowlevel"})


@dataclass(frozen=True)
class Kit:
    """What the tests are to use as the loop, Future and Task, and as gather, start_server and so on."""

    name: str
    loop: type
    future: type
    task: type
    functions: dict[str, object]

    @property
    def is_stock(self) -> bool:
        """Whether this is what asyncio uses anyway."""
        return self.name == "asyncio"


def load_kit(name: str) -> Kit:
    """The kit of that name; to be called before `install`."""
    if name == "asyncio":
        return Kit(name, asyncio.SelectorEventLoop, futures._CFuture, tasks._CTask, {})
    package, _, extra = name.partition("+")
    module = importlib.import_module(package)
    functions = {each: getattr(module, each) for each in FUNCTIONS} if extra == "functions" else {}
    return Kit(name, module.Loop, module.Future, module.Task, functions)


def install(kit: Kit, module: str) -> None:
    """Make asyncio use the kit. Before the import of the test module, which copies some of the names."""
    if kit.is_stock:
        return
    for name in LOOP_NAMES:
        replace(name, kit.loop, asyncio, unix_events)
    # What asyncio.new_event_loop, asyncio.run and Runner end up with, up to 3.15.
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = kit.loop
    replace("Future", kit.future, asyncio, futures)
    replace("Task", kit.task, asyncio, tasks)
    for name, function in kit.functions.items():
        replace(name, function, asyncio, streams, tasks)
    if module in SELECTOR_MODULES:
        asyncio.SelectorEventLoop = with_selector(kit.loop)
    if module in BARE_LOOP_MODULES:
        asyncio.BaseEventLoop = with_mockable_io(kit.loop)


def replace(name: str, value: object, *modules: types.ModuleType) -> None:
    """Set a name in those of the modules that have it."""
    for module in modules:
        if hasattr(module, name):
            setattr(module, name, value)


def with_mockable_io(loop: type) -> type:
    """A subclass of the loop on which a test may set the private attributes of asyncio's I/O."""
    unused = {"_selector": None, "_process_events": None, "_write_to_self": None}
    return type("BareLoop", (loop,), unused)


def with_selector(loop: type) -> type:
    """A subclass of the loop that is made with a selector, for which it has no use."""

    class SelectorLoop(loop):
        def __init__(self, selector=None):
            if selector is not None:
                selector.close()
            super().__init__()

    return SelectorLoop
