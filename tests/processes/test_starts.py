"""Starting children while other things go on: cancelled, many at once, in bad moments."""

import asyncio
import os
import subprocess
import time

import pytest

from tests.support import PY312, settle

PIPE = subprocess.PIPE


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize(
    "pipes", [{}, {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}], ids=["bare", "pipes"]
)
def test_cancelled_after_some_turns(run, turns, pipes):
    """No child, no descriptor and no message is left, whatever it was doing."""

    async def main():
        task = asyncio.ensure_future(asyncio.create_subprocess_exec("sleep", "60", **pipes))
        await settle(turns)
        task.cancel()
        try:
            process = await task
        except asyncio.CancelledError:
            await settle()
            return
        process.kill()
        await process.communicate()

    run(main())


@pytest.mark.parametrize("turns", range(6))
def test_cancelled_once_it_has_failed(run, turns, caplog):
    """Nothing is said of a child that nobody has got."""

    async def main():
        task = asyncio.ensure_future(asyncio.create_subprocess_exec("/no/such"))
        await settle(turns)
        # Longer than the child needs, which is over when the loop goes on.
        time.sleep(0.05)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, FileNotFoundError)):
            await task

    run(main())
    assert [record.getMessage() for record in caplog.records] == []


def test_cancelled_when_its_failure_is_told(run, caplog):
    """It is reaped by then: its PID may be that of another process, which is not to be killed."""

    async def main():
        def cancel_if_told():
            waiter = task._fut_waiter
            if waiter is not None and waiter.done():
                task.cancel()
            if not task.done():
                loop.call_soon(cancel_if_told)

        loop = asyncio.get_running_loop()
        task = loop.create_task(asyncio.create_subprocess_exec("/no/such"))
        loop.call_soon(cancel_if_told)
        with pytest.raises((asyncio.CancelledError, FileNotFoundError)):
            await task

    run(main())
    assert [record.getMessage() for record in caplog.records] == []


def test_cancelled_while_others_start(run):
    async def main():
        tasks = [asyncio.ensure_future(asyncio.create_subprocess_exec("sleep", "60")) for _ in range(20)]
        await settle(1)
        for task in tasks[::2]:
            task.cancel()
        processes = await asyncio.gather(*tasks, return_exceptions=True)
        for process in processes:
            if not isinstance(process, BaseException):
                process.kill()
                await process.wait()
        return [isinstance(process, BaseException) for process in processes]

    cancelled = run(main())
    assert not any(cancelled[1::2])
    assert sum(cancelled[::2]) >= 8


def test_timed_out(run):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.create_subprocess_exec("sleep", "60", stdout=PIPE), 0)
        process = await asyncio.create_subprocess_exec("sleep", "60")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        process.kill()
        return await process.wait()

    assert run(main()) == -9


def test_the_loop_turns_between_starts(impl, run):
    """Many children that are asked for at once are not all started in one turn."""
    if not impl.is_cloop:
        pytest.skip("asyncio starts them all in one turn")

    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count())
        started = await asyncio.gather(*(asyncio.create_subprocess_exec("true") for _ in range(30)))
        counting.cancel()
        for process in started:
            await process.wait()
        return turns

    assert run(main()) >= 30


def test_a_failure_lets_the_next_one_start(run):
    async def main():
        results = await asyncio.gather(
            *(asyncio.create_subprocess_exec(name) for name in ("/no/such", "true") * 10),
            return_exceptions=True,
        )
        for process in results[1::2]:
            assert await process.wait() == 0
        return {type(each) for each in results[::2]}

    assert run(main()) == {FileNotFoundError}


def test_a_program_that_was_open_when_another_child_was_started(run, tmp_path):
    """A child on its way may have it open for writing still, of which whoever has closed it knows nothing."""

    async def main():
        for number in range(60):
            program = tmp_path / str(number)
            with program.open("w") as file:
                file.write(f"#!/bin/sh\nexit {number}\n")
                other = asyncio.ensure_future(asyncio.create_subprocess_exec("true"))
                await settle(1)
            program.chmod(0o755)
            process = await asyncio.create_subprocess_exec(program, stdout=PIPE)
            assert await process.communicate() == (b"", None)
            assert process.returncode == number
            assert await (await other).wait() == 0

    run(main())


def test_a_stop_meanwhile(loop):
    task = loop.create_task(asyncio.create_subprocess_exec("true"))
    loop.call_soon(loop.stop)
    loop.run_forever()
    process = loop.run_until_complete(task)
    assert loop.run_until_complete(process.wait()) == 0


def test_popen_may_be_replaced(run, monkeypatch):
    made = []

    class Own(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            made.append(args)
            super().__init__(*args, **kwargs)

    async def main():
        process = await asyncio.create_subprocess_exec("true", "x")
        assert isinstance(process._transport.get_extra_info("subprocess"), Own)
        return await process.wait()

    monkeypatch.setattr(subprocess, "Popen", Own)
    assert run(main()) == 0
    assert made == [(("true", "x"),)]


def test_what_is_set_while_children_start(run, monkeypatch):
    """The environment that a child gets is the one of its start, whatever becomes of it."""

    async def child(number):
        process = await asyncio.create_subprocess_exec("printenv", "WORD", stdout=PIPE)
        os.environ["WORD"] = f"changed by {number} " + "x" * 1000
        out, _ = await process.communicate()
        return out.split()[0]

    async def main():
        return await asyncio.gather(*(child(number) for number in range(20)))

    monkeypatch.setenv("WORD", "first")
    words = run(main())
    assert words[0] == b"first"
    assert set(words) <= {b"first", b"changed"}


def test_unread_input_does_not_block(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60", stdin=PIPE)
        process.stdin.write(bytes(1 << 20))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.stdin.drain(), 0.01)
        process.kill()
        await process.wait()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await process.stdin.drain()

    run(main())


def test_communicate_with_one_that_reads_nothing(run):
    async def main():
        process = await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE)
        return await process.communicate(bytes(1 << 20)), process.returncode

    assert run(main()) == ((b"", None), 0)


def test_standard_input_is_a_pipe_that_can_be_opened(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "cat /dev/stdin > /dev/stdout", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        return await process.communicate(b"through")

    assert run(main()) == (b"through", b"")


def test_much_through_pipes(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        out, _ = await process.communicate(data)
        return out == data and process.returncode == 0

    data = os.urandom(1 << 16) * 160
    assert run(main())


@pytest.mark.skipif(not PY312, reason="eager tasks are from 3.12 on")
def test_in_eager_tasks(run):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        processes = await asyncio.gather(*(asyncio.create_subprocess_exec("true") for _ in range(5)))
        return [await process.wait() for process in processes]

    assert run(main()) == [0] * 5
