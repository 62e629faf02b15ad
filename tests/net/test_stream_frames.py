"""What tools see of a stream's call that has not begun, or that waits: its state, its frame, its stack."""

import asyncio
import gc
import inspect
import io
import subprocess
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


# ---- Calls that were never awaited


def lines_of(function, text):
    """The numbers of the lines of a function that have that text."""
    lines, first = inspect.getsourcelines(function)
    return [first + at for at, line in enumerate(lines) if text in line]


def test_one_is_told_of_where_it_was_dropped(run, tcp_wire, name):
    """At each place, and once there, in the interpreter's words."""

    async def use(reader, writer):
        for _ in range(3):
            CALLS[name](reader, writer)  # the first place
        CALLS[name](reader, writer)  # the second place

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run(waiting_streams(tcp_wire, use))
    qualified = MODELS[name][0].__qualname__
    assert [str(each.message) for each in caught] == [f"coroutine '{qualified}' was never awaited"] * 2
    assert [each.category for each in caught] == [RuntimeWarning] * 2
    assert [each.filename for each in caught] == [__file__] * 2
    assert [each.lineno for each in caught] == lines_of(use, "place")


def test_its_source(run, tcp_wire, name):
    """It can be looked at, and even be used."""

    async def use(reader, writer):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                CALLS[name](reader, writer)
        for warning in caught:
            source = warning.source
            assert inspect.iscoroutine(source)
            assert source.__qualname__ == MODELS[name][0].__qualname__
            assert inspect.getcoroutinestate(source) == "CORO_CREATED"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(source, 0.01)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await source
        assert len({id(warning.source) for warning in caught}) == 2
        del caught[:], warning, source
        # What has been told of is not made use of again: each is told of.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(10):
                CALLS[name](reader, writer)
        assert len(caught) == 10

    run(waiting_streams(tcp_wire, use))


def test_where_it_was_made(run, tcp_wire, name):
    """If that is to be noted, as in debug mode."""

    async def use(reader, writer):
        def make():
            return CALLS[name](reader, writer)

        call = make()
        assert call.cr_origin is None
        call.close()
        depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(2)
        try:
            call = make()
            (_, made, function), (_, line, caller) = call.cr_origin
        finally:
            sys.set_coroutine_origin_tracking_depth(depth)
        assert function == "<lambda>"
        assert (line, caller) == (*lines_of(make, "return"), "make")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del call
        (warning,) = caught
        first, second, *rest = str(warning.message).splitlines()
        assert (first, second) == (
            f"coroutine '{MODELS[name][0].__qualname__}' was never awaited",
            "Coroutine created at (most recent call last)",
        )
        assert f'File "{__file__}", line {line}, in make' in rest[0]
        assert f'File "{__file__}", line {made}, in <lambda>' in "\n".join(rest)
        call = make()
        assert call.cr_origin is None
        call.close()

    run(waiting_streams(tcp_wire, use))


def test_a_warning_that_is_an_error(run, tcp_wire, name, monkeypatch):
    """It can't be raised there; an exception that is under way stays."""

    async def use(reader, writer):
        def fail():
            call = CALLS[name](reader, writer)
            raise LookupError(call.cr_running)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            CALLS[name](reader, writer)
            with pytest.raises(LookupError, match="False"):
                fail()

    told = []

    def hook(args):
        told.append((args.exc_type, args.err_msg, repr(args.object)))

    monkeypatch.setattr(sys, "unraisablehook", hook)
    run(waiting_streams(tcp_wire, use))
    monkeypatch.undo()
    assert [kind for kind, *_ in told] == [RuntimeWarning] * 2
    for _, message, shown in told:
        if sys.version_info >= (3, 14):
            assert shown == "None"
            assert message.startswith("Exception ignored while finalizing coroutine <coroutine object Stream")
        else:
            assert message is None
            assert shown.startswith("<coroutine object Stream")


def test_one_that_the_collector_finds(run, tcp_wire, name):
    """In a cycle, with the streams of a task that is gone."""

    async def use(reader, writer):
        class Holder:
            pass

        holder = Holder()
        holder.itself = holder
        holder.call = CALLS[name](reader, writer)
        del holder
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            gc.collect()
        assert [str(each.message) for each in caught if "Stream" in str(each.message)] == [
            f"coroutine '{MODELS[name][0].__qualname__}' was never awaited"
        ]

    run(waiting_streams(tcp_wire, use))


def test_one_that_is_left_at_the_end_of_the_interpreter(impl):
    """When the modules are gone."""
    program = f"""
import asyncio, cloop
kept = []
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        kept.append(reader.read(1))
        writer.close()
        await writer.wait_closed()
with asyncio.Runner(loop_factory={impl.name}.new_event_loop) as runner:
    runner.run(main())
kept.append(kept)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "RuntimeWarning: coroutine 'StreamReader.read' was never awaited" in done.stderr
    assert "Traceback" not in done.stderr
