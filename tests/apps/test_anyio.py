"""anyio on one loop: its worker threads, which it ties to the task that the program began with."""

import asyncio
import threading

import pytest

from .servers import needs

pytestmark = needs("anyio")

REQUESTS = 50


@pytest.fixture
def started(monkeypatch):
    """The names of anyio's worker threads that were started, as they are."""
    names = []
    start = threading.Thread.start

    def noted(thread):
        if "AnyIO" in thread.name:
            names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return names


def test_a_worker_thread_serves_one_task_after_the_other(run, started):
    """As an endpoint of FastAPI that is a plain def: each request is a task of its own."""
    from anyio import to_thread

    async def main():
        for number in range(REQUESTS):
            assert await asyncio.create_task(to_thread.run_sync(str, number)) == str(number)

    run(main())
    # The thread ends with that task, and tells the loop.
    run(asyncio.sleep(0.05))
    assert len(started) == 1


def test_no_thread_is_left_when_the_program_ends(run, started):
    """The end of that task is theirs."""
    from anyio import to_thread

    async def main():
        await asyncio.create_task(to_thread.run_sync(threading.get_ident))
        await asyncio.gather(*(to_thread.run_sync(threading.get_ident) for _ in range(5)))

    run(main())
    run(asyncio.sleep(0.05))
    assert started
    assert not [thread.name for thread in threading.enumerate() if thread.name in started]


def test_a_loop_that_runs_forever(loop, started):
    """Where nothing runs until it completes, each task is its own root, on every loop."""
    from anyio import to_thread

    async def main():
        await to_thread.run_sync(lambda: None)
        loop.stop()

    task = loop.create_task(main())
    loop.run_forever()
    assert task.done()
    loop.run_until_complete(asyncio.sleep(0.05))
    assert len(started) == 1
