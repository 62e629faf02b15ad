"""What is written to a child's stdin is on its way when the caller may rely on it.

Each callback that writes here has another one behind it, for which a loop may let what is written wait.
"""

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from tests.support import beside_another

from .recorder import Recorder

PIPE = subprocess.PIPE

# Says it is there, and on a signal what has come until then.
TELLS_ON_SIGNAL = """
import os, signal, sys
os.set_blocking(0, False)
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"got " + (os.read(0, 1000) or b"")), os._exit(0)))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


@pytest.mark.parametrize("how", ["terminate", "send_signal", "Process"])
def test_a_signal_comes_after_what_was_written(run, how):
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TELLS_ON_SIGNAL, stdin=PIPE, stdout=PIPE
        )
        assert await process.stdout.readline() == b"ready\n"

        def write_and_end():
            for i in range(10):
                process.stdin.write(b"%d" % i)
            if how == "Process":
                process.terminate()
            elif how == "terminate":
                process._transport.terminate()
            else:
                process._transport.send_signal(signal.SIGTERM)

        await beside_another(write_and_end)
        got = await process.stdout.read()
        process.stdin.close()
        return got, await process.wait()

    assert run(main()) == (b"got 0123456789", 0)


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_the_end_comes_after_what_was_written(run, end):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)

        def write_and_end():
            process.stdin.writelines([b"one ", b"two "])
            process.stdin.write(bytearray(b"three"))
            getattr(process.stdin, end)()

        await beside_another(write_and_end)
        got = await process.stdout.read()
        return got, await process.wait()

    assert run(main()) == (b"one two three", 0)


def test_nothing_is_in_the_buffer(run):
    sizes = []

    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        transport = process.stdin.transport

        def write_and_look():
            for i in range(10):
                transport.write(b"%d" % i)
            sizes.append("idle bufsize=0" in repr(transport))
            sizes.append(transport.get_write_buffer_size())

        await beside_another(write_and_look)
        assert await process.stdout.readexactly(10) == b"0123456789"
        process.stdin.close()
        await process.wait()

    run(main())
    assert sizes == [True, 0]


def test_a_child_that_does_not_read(run):
    """The protocol is paused from within write(), at the same size."""
    paused = []

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "sleep", "100", stdout=None, stderr=None)
        stdin = transport.get_pipe_transport(0)
        stdin.get_protocol().pause_writing = lambda: paused.append(stdin.get_write_buffer_size())

        def write():
            for _ in range(200):
                stdin.write(b"x" * 1000)

        await beside_another(write)
        sizes = stdin.get_write_buffer_size()
        transport.close()
        await protocol.over
        return sizes

    # A pipe of Linux takes 64 KiB; elsewhere they differ.
    size = run(main())
    assert size < 200_000
    assert len(paused) == 1 and 65536 < paused[0] <= 66536


def test_a_child_that_has_gone(run):
    """The write finds it out, and who asks is told."""
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "cat", stdout=None, stderr=None)
        stdin = transport.get_pipe_transport(0)
        broken = select.poll()
        broken.register(stdin.get_extra_info("pipe"), 0)

        def write_and_ask():
            os.kill(transport.get_pid(), signal.SIGKILL)
            assert broken.poll(5000)
            seen.append(stdin.is_closing())
            stdin.write(b"anybody?")
            seen.append(stdin.is_closing())

        await beside_another(write_and_ask)
        await protocol.over
        transport.close()
        return [type(call[2]) for call in protocol.calls if call[:2] == ("pipe_connection_lost", 0)]

    assert run(main()) == [BrokenPipeError]
    assert seen == [False, True]


def test_many_children_get_all_in_order(run):
    async def main():
        async def one(number):
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            expected = b""
            for turn in range(20):
                for size in (1, 10, 1000, 5000):
                    piece = bytes([number + turn]) * size
                    process.stdin.write(piece)
                    expected += piece
                await asyncio.sleep(0)
            process.stdin.write(b"." * 100_000)
            process.stdin.close()
            got = await process.stdout.read()
            await process.wait()
            return got == expected + b"." * 100_000

        return await asyncio.gather(*map(one, range(8)))

    assert run(main()) == [True] * 8
