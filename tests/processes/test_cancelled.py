"""Cancelled at every moment of a child's life: nothing hangs, nothing is left, the loop goes on."""

import asyncio
import os
import subprocess

import pytest

from tests.support import PATIENCE, settle

PIPE = subprocess.PIPE


async def whole_life(started):
    """Everything that is awaited in the life of a child."""
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    started.append(process)
    process.stdin.write(bytes(1 << 18))
    await process.stdin.drain()
    await process.stdout.readexactly(1 << 17)
    process.stdin.close()
    # The future below it is the protocol's own, which would set a result in one that is cancelled.
    await asyncio.shield(process.stdin.wait_closed())
    await process.stdout.read()
    await process.wait()


async def communicating(started):
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    started.append(process)
    await process.communicate(bytes(1 << 20))


@pytest.mark.parametrize("life", [whole_life, communicating], ids=lambda life: life.__name__)
def test_at_every_turn(run, life):
    async def at(turns):
        """Whether the task was over by then."""
        started = []
        task = asyncio.ensure_future(life(started))
        await settle(turns)
        over = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert over or task.cancelled() or task.exception() is None
        for process in started:
            if process.returncode is None:
                process.kill()
            # What nobody reads would keep it from its end.
            await asyncio.wait_for(process.communicate(), PATIENCE)
        return over

    async def main():
        # Some moments depend on the kernel, so the later ones are tried at wider distances.
        for turns in (*range(30), *range(30, 300, 15)):
            if await at(turns):
                break

    run(main())


def test_a_waiter_among_others(run):
    """One of those who wait goes; the others are told."""

    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        tasks = [asyncio.ensure_future(process.wait()) for _ in range(6)]
        for task in tasks[::2]:
            await settle(1)
            task.cancel()
        process.stdin.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = run(main())
    assert outcomes[1::2] == [0] * 3
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes[::2])


def test_the_run_is_over_before_the_child(loop_factory):
    """As asyncio.run() leaves it: tasks cancelled, the child killed, the loop closed."""

    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        processes.append(process)
        asyncio.ensure_future(process.communicate())
        await settle(2)
        process.kill()

    processes = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
        runner.run(processes[0].wait())
        runner.run(settle(5))
    assert processes[0].returncode == -9


def test_many_are_cancelled_while_they_come_and_go(run):
    """Of every moment some, at once, with the PIDs and descriptors of those before."""

    async def child(number):
        process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}", stdout=PIPE, stdin=PIPE)
        try:
            await process.communicate()
            return process.returncode
        except asyncio.CancelledError:
            if process.returncode is None:
                process.kill()
            await process.wait()
            raise

    async def main():
        tasks = [asyncio.ensure_future(child(number)) for number in range(100)]
        for number in range(0, 100, 2):
            await asyncio.sleep(0)
            tasks[number].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[1::2] == list(range(1, 100, 2))
        assert all(
            outcome == number or isinstance(outcome, asyncio.CancelledError)
            for number, outcome in zip(range(0, 100, 2), outcomes[::2], strict=True)
        )
        return os.getpid()

    assert run(main()) == os.getpid()
