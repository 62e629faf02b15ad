"""Children under random use, by many tasks at once: nothing hangs, is left, or is reported."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess

import pytest

from tests.support import PATIENCE, settle, wait_until

PIPE = subprocess.PIPE
SEEDS = int(os.environ.get("CLOOP_TEST_SEEDS", "6"))

COMMANDS = [
    "exit 3",
    "cat",
    "cat; exit 4",
    "exec <&-; echo out; echo err >&2",
    "exec >&- 2>&-; cat",
    "head -c 300000 /dev/zero",
    "head -c 70000 /dev/zero >&2; cat",
    "head -c 10; exec sleep 60",
    "kill -STOP $$; exit 5",
    "(sleep 60 >&- 2>&- <&- & echo $!) | xargs kill; cat",
    "trap '' TERM; echo trapped; cat",
    "kill -9 $$",
]
SIGNALS = [signal.SIGTERM, signal.SIGCONT, signal.SIGHUP, signal.SIGKILL, 0]


class User:
    """One child and what is done with it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    async def start(self) -> None:
        chosen = {
            name: self.random.choice([PIPE, PIPE, subprocess.DEVNULL])
            for name in ("stdin", "stdout", "stderr")
        }
        limit = self.random.choice([100, 2**16])
        self.process = await asyncio.create_subprocess_shell(
            self.random.choice(COMMANDS), limit=limit, **chosen
        )
        self.transport = self.process._transport

    async def write(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(bytes(self.random.choice([1, 1000, 100_000, 1_000_000])))
            if self.random.random() < 0.5:
                await self.process.stdin.drain()

    async def close_input(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    async def read(self) -> None:
        out = self.random.choice([self.process.stdout, self.process.stderr])
        if out is not None:
            read = self.random.choice(
                [out.readline, out.read, lambda: out.read(10), lambda: out.readexactly(50_000)]
            )
            await read()

    async def pause(self) -> None:
        pipe = self.transport.get_pipe_transport(self.random.choice([1, 2]))
        if pipe is not None:
            pipe.pause_reading()
            await settle(self.random.randrange(5))
            if not pipe.is_closing():
                pipe.resume_reading()

    async def send(self) -> None:
        self.process.send_signal(self.random.choice(SIGNALS))

    async def close(self) -> None:
        self.transport.close()

    async def wait(self) -> None:
        await self.process.wait()

    async def close_a_pipe(self) -> None:
        pipe = self.transport.get_pipe_transport(self.random.randrange(3))
        # asyncio's abort() fails once it is lost.
        if pipe is not None and not pipe.is_closing():
            self.random.choice([pipe.close, getattr(pipe, "abort", pipe.close)])()

    async def one_thing(self) -> None:
        """Any of these, which may be cancelled before it is over."""
        act = self.random.choices(
            [
                self.write,
                self.close_input,
                self.read,
                self.pause,
                self.send,
                self.wait,
                self.close,
                self.close_a_pipe,
            ],
            [6, 2, 8, 3, 3, 3, 1, 2],
        )[0]
        task = asyncio.ensure_future(act())
        await settle(self.random.randrange(8))
        task.cancel()
        await asyncio.wait([task])
        # What a program may be told.
        allowed = (OSError, ValueError, EOFError, RuntimeError, asyncio.CancelledError)
        with contextlib.suppress(allowed):
            task.result()

    async def end(self) -> None:
        """Whatever was done with it, it comes to its end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.transport.close()
        pipe = self.transport.get_pipe_transport(0)
        if pipe is not None and pipe.get_write_buffer_size():
            # A grandchild may be there still, and read nothing.
            pipe.abort()
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await wait_until(lambda: all(pipe.disconnected for pipe in self.transport._pipes.values()))
        assert isinstance(code, int) and code == self.process.returncode

    async def use(self) -> None:
        await self.start()
        for _ in range(self.random.randrange(25)):
            await self.one_thing()
        await self.end()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_at_random(run, seed):
    async def main():
        await asyncio.gather(*(User(100 * seed + number).use() for number in range(20)))

    run(main())
