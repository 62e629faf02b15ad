"""Random programs of tasks and futures take the same course as on asyncio's own loop.

A program draws each of its steps from a generator with a fixed seed, in whatever order its tasks run.
So the first task that runs at another moment than on asyncio makes everything after it different.
"""

import asyncio
import random

import pytest

from tests.support import collect_garbage

SEEDS = range(60)
MOST_TASKS = 40


class Program:
    """One random program; `trace` is its course."""

    def __init__(self, functions, seed):
        self.functions = functions
        self.random = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.trace = []
        self.tasks = []
        self.futures = []

    def note(self, *what):
        self.trace.append(what)

    def spawn(self, depth):
        """A new actor as a task."""
        number = len(self.tasks)
        task = self.loop.create_task(self.actor(number, depth))
        task.add_done_callback(lambda done: self.note(number, "done", outcome_of(done)))
        self.tasks.append(task)
        return task

    async def actor(self, number, depth):
        """A few random steps; what is thrown in is noted, and sometimes swallowed."""
        for _ in range(self.random.randrange(1, 7)):
            step = self.random.choice(STEPS)
            self.note(number, step.__name__)
            try:
                self.note(number, "got", simple(await step(self, depth)))
            except (asyncio.CancelledError, KeyError, TimeoutError) as error:
                self.note(number, "caught", type(error).__name__, *error.args)
                if self.random.random() < 0.6:
                    raise
        return number

    async def give_way(self, depth):
        await asyncio.sleep(0)

    async def await_future(self, depth):
        future = self.loop.create_future()
        future.add_done_callback(lambda _: self.note("future done"))
        self.futures.append(future)
        self.loop.call_soon(self.finish_some_future)
        return await future

    async def await_shared_future(self, depth):
        if not self.futures:
            return None
        return await self.functions.shield(self.random.choice(self.futures))

    async def finish_a_future(self, depth):
        self.finish_some_future()

    def finish_some_future(self):
        pending = [future for future in self.futures if not future.done()]
        if not pending:
            return
        future, draw = self.random.choice(pending), self.random.random()
        if draw < 0.7:
            future.set_result(len(self.trace))
        elif draw < 0.85:
            future.set_exception(KeyError(len(self.trace)))
            future.exception()
        else:
            future.cancel(f"future cancelled at {len(self.trace)}")

    async def cancel_a_task(self, depth):
        task = self.random.choice(self.tasks)
        self.note("cancel", task.cancel(f"at {len(self.trace)}"), task.cancelling())

    async def fail(self, depth):
        raise KeyError(len(self.trace))

    def children(self, depth):
        """New actors, none from some depth on."""
        if depth == 0 or len(self.tasks) > MOST_TASKS:
            return []
        return [self.spawn(depth - 1) for _ in range(self.random.randrange(1, 4))]

    async def spawn_and_leave(self, depth):
        self.children(depth)

    async def await_children(self, depth):
        return [await child for child in self.children(depth)]

    async def gather_children(self, depth):
        exceptions = self.random.random() < 0.5
        return await self.functions.gather(*self.children(depth), return_exceptions=exceptions)

    async def wait_for_children(self, depth):
        children = self.children(depth)
        if not children:
            return None
        modes = [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED]
        done, pending = await self.functions.wait(children, return_when=self.random.choice(modes))
        return len(done), len(pending)

    async def wait_for_a_child(self, depth):
        children = self.children(depth)
        if not children:
            return None
        return await self.functions.wait_for(children[0], self.random.choice([None, 0, 1000]))

    async def group_of_children(self, depth):
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.random.randrange(1, 3) if depth else 0):
                    group.create_task(asyncio.sleep(0))
                await asyncio.sleep(0)
        except ExceptionGroup as error:
            return len(error.exceptions)

    async def run(self):
        """Run it to the end, and then what is left."""
        first = self.spawn(3)
        await asyncio.wait([first])
        for _ in range(20):
            pending = [task for task in self.tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel("at the end")
            await asyncio.wait(pending)
        assert all(task.done() for task in self.tasks)
        await asyncio.sleep(0)
        return self.trace


STEPS = [
    Program.give_way,
    Program.give_way,
    Program.await_future,
    Program.await_future,
    Program.await_shared_future,
    Program.finish_a_future,
    Program.cancel_a_task,
    Program.fail,
    Program.spawn_and_leave,
    Program.await_children,
    Program.gather_children,
    Program.wait_for_children,
    Program.wait_for_a_child,
    Program.group_of_children,
]


def outcome_of(task):
    """What became of a task, in plain values."""
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return simple(error) if error else simple(task.result())


def simple(value):
    """A value that compares equal across two runs."""
    if isinstance(value, BaseException):
        return type(value).__name__, value.args
    if isinstance(value, list):
        return [simple(each) for each in value]
    return value


async def course(functions, seed):
    return await Program(functions, seed).run()


@pytest.mark.parametrize("seed", SEEDS)
def test_takes_the_same_course(loop, functions, seed, reports):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        model = runner.run(course(asyncio, seed))
    mine = loop.run_until_complete(course(functions, seed))
    collect_garbage()
    # Tasks that fail unseen are part of the game.
    reports.take()
    assert mine == model
