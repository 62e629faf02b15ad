"""What a program replaces on a child's streams, transport and protocols is asked when output comes."""

import asyncio
import contextlib
from asyncio import base_subprocess
from unittest import mock

import pytest

from tests.support import PATIENCE

from .replacing import counted, passing

CHILD = "read a; echo one; read a; echo two; read a; echo three; read a; echo four"


def test_the_output_of_a_child(run):
    """A tee: by the reader, the child's protocol or that of its pipe."""

    async def main():
        seen = []
        child = await asyncio.create_subprocess_shell(
            CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        pipe = child._transport.get_pipe_transport(1)
        owners = {
            "feed_data": child.stdout,
            "pipe_data_received": child._protocol,
            "data_received": pipe.get_protocol(),
        }

        async def answer():
            child.stdin.write(b"\n")
            return await child.stdout.readline()

        assert await answer() == b"one\n"
        expected = []
        for (name, owner), output in zip(owners.items(), [b"two\n", b"three\n", b"four\n"], strict=True):
            counted(seen, owner, name)
            expected.insert(0, name)
            assert await answer() == output
            assert seen == expected
            seen.clear()
        await child.communicate()
        assert await child.wait() == 0
        # Nothing comes any more, but they may be set still.
        for name, owner in owners.items():
            counted(seen, owner, name)

    run(main())


@contextlib.asynccontextmanager
async def talking_child():
    """A child that answers each line, and a function that asks it for one."""
    child = await asyncio.create_subprocess_shell(
        CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )

    async def ask(reader=None):
        child.stdin.write(b"\n")
        return await asyncio.wait_for((reader or child.stdout).readline(), PATIENCE)

    try:
        yield child, ask
    finally:
        child.stdin.close()
        async with asyncio.timeout(PATIENCE):
            assert await child.wait() == 0
            # Its output ends a little later.
            while not child._transport.is_closing():
                await asyncio.sleep(0.001)


def test_another_reader_of_a_child(run):
    """It gets what comes from then on, and the end."""

    async def main():
        loop = asyncio.get_running_loop()
        async with talking_child() as (child, ask):
            assert await ask() == b"one\n"
            child._protocol.stdout = reader = asyncio.StreamReader(loop=loop)
            assert await ask(reader) == b"two\n"
            assert await ask(reader) == b"three\n"
            child.stdin.close()
            assert await reader.read() == b"four\n"
            assert not child.stdout._buffer
            assert not child.stdout._eof

    run(main())


def test_another_reader_before_there_is_output(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with talking_child() as (child, ask):
            child._protocol.stdout = reader = asyncio.StreamReader(loop=loop)
            assert await ask(reader) == b"one\n"
            assert await ask(reader) == b"two\n"

    run(main())


@pytest.mark.parametrize("name", ["_pipe_data_received", "_call"])
def test_a_method_of_a_childs_transport(run, name):
    async def main():
        calls = []
        async with talking_child() as (child, ask):
            assert await ask() == b"one\n"
            original = getattr(child._transport, name)

            def method(*args):
                calls.append(args)
                original(*args)

            setattr(child._transport, name, method)
            assert await ask() == b"two\n"
            expected = (1, b"two\n")
            assert calls == [expected if name != "_call" else (child._protocol.pipe_data_received, *expected)]

    run(main())


@pytest.mark.parametrize("by", ["_protocol", "set_protocol"])
def test_another_protocol_of_a_child(run, by):
    """A tee around the one that there is."""

    class Tee:
        def __init__(self, protocol, seen):
            self.protocol = protocol
            self.seen = seen

        def pipe_data_received(self, fd, data):
            self.seen.append((fd, data))
            self.protocol.pipe_data_received(fd, data)

        def __getattr__(self, name):
            return getattr(self.protocol, name)

    async def main():
        seen = []
        async with talking_child() as (child, ask):
            assert await ask() == b"one\n"
            tee = Tee(child._protocol, seen)
            if by == "_protocol":
                child._transport._protocol = tee
            else:
                child._transport.set_protocol(tee)
            assert await ask() == b"two\n"
            assert seen == [(1, b"two\n")]
            assert child._transport.get_protocol() is tee

    run(main())


@pytest.mark.parametrize("name", ["proc", "fd"])
def test_where_the_pipe_of_a_child_passes_it_to(run, name):
    """Its protocol asks for both each time."""

    async def main():
        async with talking_child() as (child, ask):
            assert await ask() == b"one\n"
            pipe = child._transport.get_pipe_transport(1).get_protocol()
            original = getattr(pipe, name)
            passed = []
            if name == "proc":
                pipe.proc = mock.Mock(_pipe_data_received=lambda *args: passed.append(args))
                expected = [(1, b"two\n")]
            else:
                pipe.fd = 3
                expected = []
            child.stdin.write(b"\n")
            await asyncio.sleep(0.05)
            assert passed == expected
            assert not child.stdout._buffer
            setattr(pipe, name, original)
            assert await ask() == b"three\n"

    run(main())


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (base_subprocess.BaseSubprocessTransport, "_pipe_data_received"),
        (base_subprocess.ReadSubprocessPipeProto, "data_received"),
        (asyncio.subprocess.SubprocessStreamProtocol, "pipe_data_received"),
        (asyncio.StreamReader, "feed_data"),
    ],
)
def test_a_method_of_a_childs_classes_that_was_replaced_before_its_start(run, owner, name):
    async def main():
        calls = []
        with passing(owner, name, calls):
            async with talking_child() as (_child, ask):
                assert await ask() == b"one\n"
        assert calls

    run(main())
