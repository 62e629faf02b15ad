"""What tools see of a stream's call that has not begun, or that waits: its state, its frame, its stack."""

import asyncio
import inspect
import io
import sys
import warnings

import pytest

from .streams import finish

CALLS = {
    "read": lambda reader, writer: reader.read(1),
    "read all": lambda reader, writer: reader.read(),
    "readexactly": lambda reader, writer: reader.readexactly(1),
    "readline": lambda reader, writer: reader.readline(),
    "readuntil": lambda reader, writer: reader.readuntil(b"x"),
    "drain": lambda reader, writer: writer.drain(),
}
MODELS = {
    "read": (asyncio.StreamReader.read, "_wait_for_data"),
    "read all": (asyncio.StreamReader.read, "self.read("),
    "readexactly": (asyncio.StreamReader.readexactly, "_wait_for_data"),
    "readline": (asyncio.StreamReader.readline, "readuntil"),
    "readuntil": (asyncio.StreamReader.readuntil, "_wait_for_data"),
    "drain": (asyncio.StreamWriter.drain, "_drain_helper"),
}


@pytest.fixture(params=CALLS)
def name(request):
    return request.param


async def silent(reader, writer):
    """A server that neither reads nor writes."""
    await asyncio.sleep(0)
    silent.writers.append(writer)


async def waiting_streams(wire, use):
    """Run `use(reader, writer)` where nothing comes, and where what is written is not read."""
    silent.writers = []
    async with wire.serving(silent) as server:
        reader, writer = await wire.connect(server)
        writer.transport.set_write_buffer_limits(1)
        while not silent.writers:
            await asyncio.sleep(0.001)
        silent.writers[0].transport.pause_reading()
        while not writer.transport.get_write_buffer_size():
            writer.write(b"x" * 1_000_000)
            await asyncio.sleep(0)
        try:
            await use(reader, writer)
        finally:
            silent.writers.pop().transport.abort()
            await finish(writer)


def line_of(frame):
    """The source of the line where a frame is."""
    lines, first = inspect.getsourcelines(frame.f_code)
    return lines[frame.f_lineno - max(first, 1)]


def test_its_state(run, tcp_wire, name):
    async def use(reader, writer):
        call = CALLS[name](reader, writer)
        assert inspect.getcoroutinestate(call) == "CORO_CREATED"
        assert call.cr_frame.f_lineno == call.cr_code.co_firstlineno
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        assert inspect.getcoroutinestate(call) == "CORO_SUSPENDED"
        task.cancel()
        await asyncio.wait([task])
        assert inspect.getcoroutinestate(call) == "CORO_CLOSED"
        assert call.cr_frame is None

        call = CALLS[name](reader, writer)
        call.close()
        assert inspect.getcoroutinestate(call) == "CORO_CLOSED"

    run(waiting_streams(tcp_wire, use))


def test_the_stack_of_a_task_that_waits(run, tcp_wire, name):
    model, where = MODELS[name]

    async def use(reader, writer):
        task = asyncio.create_task(CALLS[name](reader, writer))
        await asyncio.sleep(0)
        (frame,) = task.get_stack()
        assert frame.f_code is model.__code__
        assert where in line_of(frame)
        printed = io.StringIO()
        task.print_stack(file=printed)
        assert where in printed.getvalue()
        assert f"running at {model.__code__.co_filename}:{frame.f_lineno}" in repr(task)
        assert frame.f_back is None
        task.cancel()
        await asyncio.wait([task])
        assert task.get_stack() == []

    run(waiting_streams(tcp_wire, use))


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs are new in 3.14")
def test_the_call_graph_of_a_task_that_waits(run, tcp_wire, name):
    async def use(reader, writer):
        async def caller():
            await CALLS[name](reader, writer)

        task = asyncio.create_task(caller())
        await asyncio.sleep(0)
        graph = asyncio.capture_call_graph(task)
        names = [entry.frame.f_code.co_name for entry in graph.call_stack]
        assert MODELS[name][0].__name__ in names
        assert names[-1] == "caller"
        assert "streams.py" in asyncio.format_call_graph(task)
        task.cancel()
        await asyncio.wait([task])

    run(waiting_streams(tcp_wire, use))


def test_one_that_was_looked_at_is_still_told_of(run, tcp_wire, name):
    """Once, as never awaited; and none was told of for its frame."""

    async def use(reader, writer):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call = CALLS[name](reader, writer)
            assert call.cr_frame is not None
            del call
        (warning,) = caught
        assert "was never awaited" in str(warning.message)

    run(waiting_streams(tcp_wire, use))
