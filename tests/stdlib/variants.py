"""More test classes for a test module: its own bodies, with the kit's Future and Task.

asyncio's suite crosses its C and Python Task with its C and Python Future. These functions add a row
and a column for the kit. Everything new is called Swapped...; what the module had stays as it is and
so tests asyncio's own classes on the kit's loop.
"""

import asyncio
import types
import unittest
from asyncio import futures, tasks

from .swap import Kit


def add_variants(name: str, module: types.ModuleType, kit: Kit) -> None:
    """Add the kit's classes to the test module of that name."""
    builder = BUILDERS.get(name)
    if builder is not None:
        builder(Adder(module, kit))


class Adder:
    """Makes classes in one test module."""

    def __init__(self, module: types.ModuleType, kit: Kit) -> None:
        self.module = module
        self.kit = kit

    def add(self, name: str, *bases: type | str, **attributes: object) -> None:
        """Add a class; a base given by its name is the module's. Nothing if this version lacks it."""
        found = [getattr(self.module, base, None) if isinstance(base, str) else base for base in bases]
        if None not in found:
            namespace = {"__module__": self.module.__name__, **attributes}
            setattr(self.module, name, type(name, tuple(found), namespace))

    def decorate(self, name: str, decorator: str) -> None:
        """Apply a decorator of the module to one of its classes."""
        setattr(self.module, name, getattr(self.module, decorator)(getattr(self.module, name)))

    @property
    def test_case(self) -> type:
        """TestCase of asyncio's test utilities."""
        return self.module.test_utils.TestCase

    @property
    def own_loop(self) -> types.FunctionType:
        """`new_test_loop` for a test class: the kit's loop, unless the test drives a mock clock."""
        loop_type, mock_loop = self.kit.loop, self.test_case.new_test_loop

        def new_test_loop(self, gen=None):
            if gen is not None:
                return mock_loop(self, gen)
            loop = loop_type()
            self.set_event_loop(loop)
            return loop

        return new_test_loop


def add_futures(adder: Adder) -> None:
    """test_futures: the Future, a subclass of it, both on the kit's loop and on a mock one."""
    subclass = type("SubFuture", (adder.kit.future,), {})
    for label, cls in (("Future", adder.kit.future), ("SubFuture", subclass)):
        new_future = make_future(cls)
        first = "CFutureTests" if cls is adder.kit.future else "CSubFutureTests"
        add_on_both_loops(adder, f"Swapped{label}Tests", first, cls=cls)
        add_on_both_loops(
            adder,
            f"Swapped{label}DoneCallbackTests",
            "BaseFutureDoneCallbackTests",
            adder.test_case,
            _new_future=new_future,
        )
    adder.add("SwappedFutureInheritanceTests", "CFutureInheritanceTests", _get_future_cls=lambda self: cls)


def add_on_both_loops(adder: Adder, name: str, *bases: type | str, **attributes: object) -> None:
    """Add a class for the mock loop of asyncio's tests and one for the kit's loop."""
    adder.add(name, *bases, **attributes)
    adder.add(name.replace("Tests", "OwnLoopTests"), *bases, new_test_loop=adder.own_loop, **attributes)


def make_future(cls: type) -> types.FunctionType:
    """`_new_future` for the done-callback tests."""
    return lambda self: cls(loop=self.loop)


def add_futures2(adder: Adder) -> None:
    """test_futures2: its class attribute `cls` is a Task."""
    adder.add("SwappedFutureTests", "FutureTests", unittest.IsolatedAsyncioTestCase, cls=adder.kit.task)


def add_tasks(adder: Adder) -> None:
    """test_tasks: the kit's Task and Future with each other and with asyncio's."""
    kit = adder.kit
    both = {"Task": kit.task, "Future": kit.future, **task_queries(tasks._CTask)}
    add_on_both_loops(adder, "SwappedTask_SwappedFuture_Tests", "CTask_CFuture_Tests", **both)
    pairs = {
        "SwappedTask_CFuture": (kit.task, futures._CFuture),
        "SwappedTask_PyFuture": (kit.task, futures._PyFuture),
        "CTask_SwappedFuture": (tasks._CTask, kit.future),
        "PyTask_SwappedFuture": (tasks._PyTask, kit.future),
    }
    for name, (task, future) in pairs.items():
        attributes = {"Task": task, "Future": future, **task_queries(task)}
        adder.add(f"{name}_Tests", "BaseTaskTests", adder.test_case, **attributes)
    add_task_subclasses(adder, pairs)
    adder.add(
        "SwappedCurrentLoopTests",
        "BaseCurrentLoopTests",
        adder.test_case,
        current_task=staticmethod(asyncio.current_task),
        new_task=lambda self, coro: kit.task(coro, loop=self.loop),
    )
    for name in ("FutureGatherTests", "CoroutineGatherTests"):
        adder.add(f"OwnLoop{name}", name, new_test_loop=adder.own_loop)


def add_task_subclasses(adder: Adder, pairs: dict[str, tuple[type, type]]) -> None:
    """Python subclasses of both classes of a pair, through the module's own decorator."""
    kit = adder.kit
    wanted = {"SwappedTask_SwappedFuture": (kit.task, kit.future), **pairs}
    del wanted["SwappedTask_PyFuture"], wanted["CTask_SwappedFuture"]
    for name, (task, future) in wanted.items():
        attributes = {"Task": task, "Future": future, **task_queries(task)}
        adder.add(f"{name}_SubclassTests", "BaseTaskTests", adder.test_case, **attributes)
        adder.decorate(f"{name}_SubclassTests", "add_subclass_tests")


def task_queries(task: type) -> dict[str, object]:
    """From 3.14 the tests ask for all_tasks and current_task of the class's own implementation."""
    if task is tasks._PyTask and hasattr(tasks, "_py_all_tasks"):
        all_tasks, current_task = tasks._py_all_tasks, tasks._py_current_task
    else:
        all_tasks, current_task = asyncio.all_tasks, asyncio.current_task
    return {"all_tasks": staticmethod(all_tasks), "current_task": staticmethod(current_task)}


def add_eager(adder: Adder) -> None:
    """test_eager_task_factory; its counting tests use asyncio.Task, which is swapped already."""
    adder.add("SwappedEagerTaskFactoryLoopTests", "CEagerTaskFactoryLoopTests", Task=adder.kit.task)


def add_graph(adder: Adder) -> None:
    """test_graph; its own classes are of asyncio's C and Python Task and Future, on the kit's loop."""
    adder.add("SwappedCallStackTests", "CallStackTestBase", unittest.IsolatedAsyncioTestCase)
    for name, task, future in (
        ("TestCallStackC", tasks._CTask, futures._CFuture),
        ("TestCallStackPy", tasks._PyTask, futures._PyFuture),
    ):
        if hasattr(adder.module, name):
            getattr(adder.module, name).loop_factory = loop_of_others(adder.kit.loop, task, future)


def loop_of_others(loop: type, task: type, future: type) -> types.FunctionType:
    """Makes loops of that class whose tasks and futures are of other classes."""

    class LoopOfOthers(loop):
        def create_future(self):
            return future(loop=self)

    def make():
        made = LoopOfOthers()
        made.set_task_factory(lambda loop, coro, **kwargs: task(coro, loop=loop, **kwargs))
        return made

    return staticmethod(make)


def add_free_threading(adder: Adder) -> None:
    """test_free_threading: many loops in threads, with tasks that start at once and that do not."""

    def make(eager: bool) -> types.FunctionType:
        def factory(self, loop, coro, eager_start=eager, **kwargs):
            return adder.kit.task(coro, loop=loop, eager_start=eager_start, **kwargs)

        return factory

    for label, eager in (("", False), ("Eager", True)):
        name = f"Swapped{label}FreeThreadingTests"
        adder.add(name, "TestFreeThreading", unittest.TestCase, factory=make(eager))


def use_loop_in_events(adder: Adder) -> None:
    """test_events: one class for each selector there is; the kit's loop has its own poller."""
    if adder.kit.is_stock:
        return
    for selector in ("EPoll", "Kqueue", "Poll"):
        if hasattr(adder.module, f"{selector}EventLoopTests"):
            delattr(adder.module, f"{selector}EventLoopTests")
    adder.module.SelectEventLoopTests.create_event_loop = lambda self: adder.kit.loop()


BUILDERS = {
    "test_eager_task_factory": add_eager,
    "test_events": use_loop_in_events,
    "test_free_threading": add_free_threading,
    "test_futures": add_futures,
    "test_futures2": add_futures2,
    "test_graph": add_graph,
    "test_tasks": add_tasks,
}
