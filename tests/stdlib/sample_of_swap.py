"""Tests that pass where cloop is in asyncio's place: what the swap itself is tested with."""

import asyncio
import unittest
from asyncio import base_events, futures, tasks


def package_of(instance):
    """The package that an object's class comes from."""
    return type(instance).__module__.partition(".")[0]


async def look():
    loop = asyncio.get_running_loop()
    return {package_of(each) for each in (loop, asyncio.current_task(), loop.create_future())}


class Loops(unittest.TestCase):
    def test_run(self):
        self.assertEqual(asyncio.run(look()), {"cloop"})

    def test_runner(self):
        with asyncio.Runner() as runner:
            self.assertEqual(runner.run(look()), {"cloop"})

    def test_new_event_loop(self):
        for make in (asyncio.new_event_loop, asyncio.SelectorEventLoop):
            loop = make()
            self.assertEqual(loop.run_until_complete(look()), {"cloop"})
            loop.close()


class Isolated(unittest.IsolatedAsyncioTestCase):
    async def test_isolated(self):
        self.assertEqual(await look(), {"cloop"})


class Classes(unittest.TestCase):
    def test_names(self):
        for each in (asyncio.Task, tasks.Task, asyncio.Future, futures.Future):
            self.assertTrue(each.__module__.startswith("cloop."), each)

    def test_asyncios_own_loop_makes_them(self):
        loop = base_events.BaseEventLoop()
        self.assertEqual(package_of(loop.create_future()), "cloop")
        loop.close()
