"""Each way to read from a stream, by asyncio's functions and by cloop's, over each kind of connection."""

import asyncio
import inspect
import random
import tracemalloc
import weakref

import pytest

from tests.support import PY313, PY315, collect_garbage, settle, wait_until

from .streams import echo, sending

NOT_FOUND = "Separator is not found, and chunk exceed the limit"
TOO_LONG = "Separator is found, but chunk is longer than limit"


def test_read(run, wire):
    async def main():
        async with wire.talking(sending(b"abcdef", b"gh", b"ijk")) as (reader, writer):
            assert await reader.read(0) == b""
            assert [await reader.read(2), await reader.read(100)] == [b"ab", b"cdef"]
            writer.write(b".")
            assert await reader.read(100) == b"gh"
            assert not reader.at_eof()
            writer.write(b".")
            assert [await reader.read(), await reader.read(), await reader.read(5)] == [b"ijk", b"", b""]
            assert reader.at_eof()

    run(main())


def test_readline(run, wire):
    async def main():
        async with wire.talking(sending(b"one\ntw", b"o\n\nthree\n", b"rest")) as (reader, writer):
            assert await reader.readline() == b"one\n"
            writer.write(b".")
            assert [await reader.readline() for _ in range(3)] == [b"two\n", b"\n", b"three\n"]
            writer.write(b".")
            assert [await reader.readline(), await reader.readline()] == [b"rest", b""]

    run(main())


def test_lines_by_iteration(run, wire):
    async def main():
        async with wire.talking(sending(b"one\ntwo\nrest")) as (reader, _):
            return [line async for line in reader]

    assert run(main()) == [b"one\n", b"two\n", b"rest"]


@pytest.mark.parametrize(
    ("data", "message", "next_line"),
    [(b"x" * 200 + b"\nnext\n", TOO_LONG, b"next\n"), (b"x" * 200, NOT_FOUND, b"")],
    ids=["found", "not found"],
)
def test_a_line_over_the_limit(run, wire, data, message, next_line):
    """It is skipped, or all that is there of it."""

    async def main():
        async with wire.talking(sending(data), limit=100) as (reader, _):
            with pytest.raises(ValueError, match=message):
                await reader.readline()
            return await reader.readline()

    assert run(main()) == next_line


def test_readuntil(run, wire):
    async def main():
        async with wire.talking(sending(b"one--tw", b"o-", b"-three")) as (reader, writer):
            assert await reader.readuntil(b"--") == b"one--"
            writer.write(b"..")
            assert await reader.readuntil(b"--") == b"two--"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readuntil(b"--")
            assert (caught.value.partial, caught.value.expected) == (b"three", None)
            assert await reader.read() == b""

    run(main())


@pytest.mark.parametrize(
    ("data", "message", "consumed"),
    [(b"x" * 200 + b"--", TOO_LONG, 200), (b"x" * 199 + b"-", NOT_FOUND, 199)],
    ids=["found", "not found"],
)
def test_what_is_over_the_limit_can_still_be_read(run, wire, data, message, consumed):
    async def main():
        async with wire.talking(sending(data), limit=100) as (reader, _):
            # All of it, for else less might be found to be too much.
            await wait_until(lambda: len(reader._buffer) == len(data))
            with pytest.raises(asyncio.LimitOverrunError, match=message) as caught:
                await reader.readuntil(b"--")
            assert caught.value.consumed == consumed
            return await reader.read()

    assert run(main()) == data


@pytest.mark.skipif(not PY313, reason="several separators are new in 3.13")
def test_several_separators(run, wire):
    async def main():
        async with wire.talking(sending(b"one\r\ntwo\nthree;;fo", b"ur;", b";")) as (reader, writer):
            separators = (b"\r\n", b"\n", b";;")
            assert [await reader.readuntil(separators) for _ in range(3)] == [
                b"one\r\n",
                b"two\n",
                b"three;;",
            ]
            writer.write(b"..")
            assert await reader.readuntil(separators) == b"four;;"
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readuntil(separators)

    run(main())


@pytest.mark.skipif(not PY313, reason="several separators are new in 3.13")
@pytest.mark.parametrize(
    ("separators", "expected"),
    [
        ((b"BC", b"ABCDE"), b"xABC"),
        ((b"ABCDE", b"BC"), b"xABC"),
        ((b"CDE", b"ABCDE"), b"xABCDE"),
        ((b"E", b"zz"), b"xABCDE"),
    ],
)
def test_the_separator_that_ends_first_counts(run, wire, separators, expected):
    async def main():
        async with wire.talking(sending(b"xABCDEFG")) as (reader, _):
            return await reader.readuntil(separators)

    assert run(main()) == expected


@pytest.mark.parametrize("separator", [b"", *([(), (b"a", b"")] if PY313 else [])])
def test_separators_that_make_no_sense(run, wire, separator):
    async def main():
        async with wire.talking(sending(b"abc")) as (reader, _):
            with pytest.raises(ValueError, match="Separator should"):
                await reader.readuntil(separator)

    run(main())


def test_readexactly(run, wire):
    async def main():
        async with wire.talking(sending(b"abcde", b"fgh")) as (reader, writer):
            with pytest.raises(ValueError, match="readexactly size can not be less than zero"):
                await reader.readexactly(-1)
            assert [await reader.readexactly(0), await reader.readexactly(3)] == [b"", b"abc"]
            writer.write(b".")
            assert await reader.readexactly(4) == b"defg"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(4)
            assert (caught.value.partial, caught.value.expected) == (b"h", 4)

    run(main())


def test_readexactly_of_much_more_than_the_limit(run, wire):
    """It keeps no second copy of what it has read."""
    data = random.Random(3).randbytes(3_000_000)

    async def main():
        async with wire.talking(sending(data[:7] + data), limit=1000) as (reader, _):
            assert await reader.readexactly(7) == data[:7]
            return await reader.readexactly(len(data))

    assert run(main()) == data


def test_readexactly_of_100_mb_takes_its_memory_once(impl, run, tcp_wire):
    if not impl.is_cloop:
        pytest.skip("asyncio copies what it has read")
    piece, count = bytes(1_000_000), 100

    async def send(reader, writer):
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def main():
        async with tcp_wire.talking(send) as (reader, _):
            tracemalloc.start()
            try:
                data = await reader.readexactly(len(piece) * count)
                return len(data), tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    size, peak = run(main())
    assert size == len(piece) * count
    # While it grows what is there is moved, so for a moment it is there twice at most.
    assert peak < 2.2 * size


def test_a_long_line_in_pieces(run, wire):
    """Wherever a piece ends, nothing of the line is lost or searched wrongly."""
    lines = [b"x" * size + b"\n" for size in (0, 1, 70_000, 1_000_000, 5)]

    async def main():
        async with wire.talking(sending(b"".join(lines)), limit=2**21) as (reader, _):
            return [line async for line in reader]

    assert run(main()) == lines


def test_a_cancelled_read_takes_nothing(run, wire):
    async def main():
        async with wire.talking(sending(b"a", b"bcd")) as (reader, writer):
            assert await reader.read(10) == b"a"
            for read in (lambda: reader.read(10), reader.readline, lambda: reader.readexactly(2)):
                task = asyncio.create_task(read())
                await settle()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            writer.write(b".")
            assert await reader.readexactly(3) == b"bcd"

    run(main())


@pytest.mark.parametrize("method", ["read", "readexactly", "readuntil", "readline"])
def test_a_second_reader_is_refused(run, wire, method):
    arguments = {"read": (5,), "readexactly": (5,)}.get(method, ())
    named = "readuntil" if method == "readline" else method

    async def main():
        async with wire.talking(sending(b"", b"data\n")) as (reader, writer):
            first = asyncio.create_task(reader.readline())
            await settle()
            with pytest.raises(RuntimeError, match=rf"^{named}\(\) called while another coroutine"):
                await getattr(reader, method)(*arguments)
            writer.write(b".")
            assert await first == b"data\n"

    run(main())


def test_an_exception_set_on_the_reader(run, wire):
    error = OSError("broken")

    async def main():
        async with wire.talking(echo) as (reader, writer):
            waiting = asyncio.create_task(reader.readexactly(5))
            await settle()
            assert reader.exception() is None
            reader.set_exception(error)
            caught = [await asyncio.gather(waiting, return_exceptions=True)]
            for call in (reader.read, reader.readline, lambda: reader.readexactly(1), writer.drain):
                caught.append(await asyncio.gather(call(), return_exceptions=True))
            assert caught == [[error]] * 5
            assert reader.exception() is error

    run(main())


@pytest.mark.parametrize(
    ("method", "arguments", "before", "last"),
    [
        ("read", (5,), b"", b"line\n"),
        ("readline", (), b"", b"line\n"),
        ("readline", (), b"li", b"ne\n"),
        ("readuntil", (b"\n",), b"li", b"ne\n"),
        ("readexactly", (5,), b"li", b"ne\n"),
    ],
)
def test_what_a_reader_was_woken_with_is_not_lost(run, wire, method, arguments, before, last):
    """By an exception that is set before its task goes on."""

    async def main():
        async with wire.talking(echo) as (reader, _):
            reader.feed_data(before)
            waiting = asyncio.create_task(getattr(reader, method)(*arguments))
            await settle()
            reader.feed_data(last)
            reader.set_exception(OSError("broken"))
            assert await waiting == b"line\n"
            with pytest.raises(OSError, match=r"^broken$"):
                await getattr(reader, method)(*arguments)

    run(main())


def test_an_exception_that_would_be_a_result(run, wire):
    """StopIteration carries the result of a coroutine; none can raise it."""

    async def main():
        async with wire.talking(echo) as (reader, _):
            stop = StopIteration("no result")
            reader.set_exception(stop)
            with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught:
                await reader.read(10)
            assert caught.value.__cause__ is stop
            with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
                reader.readexactly(1).send(None)

    run(main())


def test_all_up_to_the_end_that_a_reader_was_woken_with(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(reader.read())
            await settle()
            reader.feed_data(b"all of it")
            await settle()
            reader.feed_eof()
            reader.set_exception(OSError("broken"))
            return await waiting

    assert run(main()) == b"all of it"


def test_what_read_has_taken_before_an_exception_is_gone(run, wire):
    """It takes as much as the limit when it is woken; the rest is left."""

    async def main():
        async with wire.talking(echo) as (reader, _):
            reader._limit = 8
            waiting = asyncio.create_task(reader.read())
            await settle()
            reader.feed_data(b"long long long long ")
            reader.set_exception(OSError("broken"))
            with pytest.raises(OSError, match=r"^broken$"):
                await waiting
            return bytes(reader._buffer)

    assert run(main()) == b"g long long "


def test_read_ends_where_another_task_has_taken_what_woke_it(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(reader.read())
            await settle()
            other = asyncio.create_task(reader.read(100))
            reader.feed_data(b"data")
            return await other, await asyncio.wait_for(waiting, 5)

    assert run(main()) == (b"data", b"")


def test_too_little_and_the_end_come_before_an_exception(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(reader.readexactly(5))
            await settle()
            reader.feed_data(b"li")
            reader.feed_eof()
            reader.set_exception(OSError("broken"))
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await waiting
            assert caught.value.partial == b"li"

    run(main())


def test_too_little_and_an_exception(impl, run, wire):
    if not impl.is_cloop:
        pytest.skip("asyncio waits for more, which does not come")

    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(reader.readline())
            await settle()
            reader.feed_data(b"li")
            reader.set_exception(OSError("broken"))
            with pytest.raises(OSError, match=r"^broken$"):
                await asyncio.wait_for(waiting, 1)

    run(main())


# What happens before anything has come, and what once it has.
WRONG_SIZES = [
    ("2", "'<' not supported between instances of 'str' and 'int'", None),
    (None, "'<' not supported between instances of 'NoneType' and 'int'", None),
    (
        2.5,
        None,
        "slice indices must be integers|invalid slice|object cannot be interpreted as an integer|n must be",
    ),
]


@pytest.mark.parametrize("method", ["read", "readexactly"])
@pytest.mark.parametrize(("size", "at_once", "later"), WRONG_SIZES)
def test_a_size_of_a_wrong_type(run, wire, method, size, at_once, later):
    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(getattr(reader, method)(size))
            await settle()
            assert waiting.done() == (at_once is not None)
            reader.feed_data(b"four")
            with pytest.raises(TypeError, match=at_once or later):
                await waiting

    run(main())


@pytest.mark.parametrize("size", [True, 2.0])
def test_a_size_that_is_as_good_as_an_integer(run, wire, size):
    async def main():
        async with wire.talking(echo) as (reader, _):
            waiting = asyncio.create_task(reader.readexactly(size))
            await settle()
            reader.feed_data(b"x" * int(size))
            if PY315 and size == 2.0:
                with pytest.raises(
                    TypeError, match=r"cannot be interpreted as an integer|n must be an integer"
                ):
                    await waiting
            else:
                assert await waiting == b"x" * int(size)

    run(main())


@pytest.mark.parametrize("n", [None, "1"])
def test_an_exception_set_on_the_reader_comes_before_what_is_wrong_with_a_size(run, tcp_wire, n):
    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            with pytest.raises(TypeError, match="not supported between"):
                await reader.read(n)
            reader.set_exception(ZeroDivisionError())
            with pytest.raises(ZeroDivisionError):
                await reader.read(n)

    run(main())


def test_a_future_that_is_let_go_of_is_waited_for_once_more(run, tcp_wire):
    """By who drives a coroutine by hand, and wakes it too early."""

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            coroutine = reader.read(10)
            future = coroutine.send(None)
            future._asyncio_future_blocking = False
            assert coroutine.send(None) is future
            assert future._asyncio_future_blocking
            reader.feed_data(b"data")
            with pytest.raises(StopIteration) as caught:
                coroutine.send(None)
            assert caught.value.value == b"data"

    run(main())


def test_a_reader_that_is_full_pauses_its_transport(run, wire):
    data = random.Random(5).randbytes(400_000)

    async def main():
        async with wire.talking(sending(data), limit=5000) as (reader, writer):
            await wait_until(lambda: not writer.transport.is_reading())
            assert len(reader._buffer) > 10_000
            assert await reader.readexactly(len(data)) == data

    run(main())


def test_data_that_is_fed_by_hand(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            reader.feed_data(b"by hand\n")
            reader.feed_data(bytearray(b"and "))
            reader.feed_data(b"")
            writer.write(b"by wire\n")
            assert [await reader.readline(), await reader.readline()] == [b"by hand\n", b"and by wire\n"]
            reader.feed_eof()
            assert [await reader.read(), reader.at_eof()] == [b"", True]
            with pytest.raises(AssertionError, match="feed_data after feed_eof"):
                reader.feed_data(b"more")

    run(main())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_must_be_positive(run, wire, limit):
    async def main():
        async with wire.serving(echo) as server:
            with pytest.raises(ValueError, match="Limit cannot be <= 0"):
                await wire.connect(server, limit=limit)

    run(main())


def test_references_to_what_is_to_be_awaited(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            writer.write(b"line\n")
            coroutine = reader.readline()
            reference = weakref.ref(coroutine)
            assert reference() is coroutine
            assert await coroutine == b"line\n"
            del coroutine
            collect_garbage()
            assert reference() is None

    run(main())


def test_the_state_of_what_waits(run, impl, tcp_wire):
    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            coroutine = reader.read(1)
            states = [inspect.getcoroutinestate(coroutine)]
            coroutine.send(None)
            states.append(inspect.getcoroutinestate(coroutine))
            coroutine.close()
            return [*states, inspect.getcoroutinestate(coroutine)]

    states = run(main())
    assert states[1:] == ["CORO_SUSPENDED", "CORO_CLOSED"]
    # Before 3.15 what has no frame is taken for closed.
    assert states[0] == "CORO_CREATED" or (impl.is_cloop and not PY315)


def test_what_the_class_of_what_waits_makes(run, tcp_wire):
    """Nothing, or what is over."""

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            coroutine = reader.read(1)
            coroutine.close()
            for step in ("send", "throw"):
                with pytest.raises((TypeError, RuntimeError), match=r"cannot (create|reuse)"):
                    getattr(type(coroutine)(), step)(None)

    run(main())


def test_the_end_of_what_has_no_result(run, tcp_wire):
    async def main():
        async with tcp_wire.talking(echo) as (_, writer):
            with pytest.raises(StopIteration) as caught:
                writer.drain().send(None)
            assert caught.value.args == ()

    run(main())
