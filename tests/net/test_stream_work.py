"""How often streams look at what they have received, and how often they copy it: counted, not timed."""

import asyncio
import contextlib
import tracemalloc

import pytest

from tests.support import debug_totals, settle

from .streams import echo, sending

SIZE, COUNT = 10_000, 100


class CountingBuffer(bytearray):
    """What asyncio's reader looks through."""

    searched = 0

    def find(self, separator, start):
        found = super().find(separator, start)
        self.searched += (len(self) if found < 0 else found + len(separator)) - start
        return found


def searched_so_far(impl, reader):
    """A function that tells how many bytes were looked at for a separator."""
    if not impl.is_cloop:
        reader._buffer = buffer = CountingBuffer()
        return lambda: buffer.searched
    before = debug_totals()["searched"]
    return lambda: debug_totals()["searched"] - before


@pytest.fixture
def counting(impl):
    """Before there are connections, which nobody would close: skip where nothing is counted."""
    if impl.is_cloop and debug_totals() is None:
        pytest.skip("needs a build with CLOOP_DEBUG=1")


@pytest.fixture
def own_work(impl, counting):
    if not impl.is_cloop:
        pytest.skip("asyncio does not count its work")


async def feed(reader, pieces):
    """Piece by piece, each of which whoever reads looks at."""
    for piece in pieces:
        reader.feed_data(piece)
        await settle()


@pytest.mark.parametrize("separators", [b"\n", b"\r\n", bytearray(b"\r\n")], ids=repr)
@pytest.mark.parametrize("method", ["readline", "readuntil"])
def test_a_long_line_is_searched_once(run, impl, counting, tcp_wire, method, separators):
    """However many pieces it comes in, and only where a separator may lie across is looked at again."""
    line = method == "readline"
    separator = b"\n" if line else separators
    pieces = [b"x" * SIZE] * COUNT + [separator]

    async def main():
        async with tcp_wire.talking(echo, limit=2**24) as (reader, _):
            searched = searched_so_far(impl, reader)
            reading = asyncio.create_task(reader.readline() if line else reader.readuntil(separator))
            await settle()
            await feed(reader, pieces)
            return len(await reading), searched()

    size, searched = run(main())
    assert size == SIZE * COUNT + len(separator)
    assert size <= searched <= size + (len(separator) - 1) * len(pieces)


def test_lines_that_come_together_are_searched_once(run, impl, counting, tcp_wire):
    data = (b"x" * 999 + b"\n") * 1000

    async def main():
        async with tcp_wire.talking(echo, limit=2**24) as (reader, _):
            searched = searched_so_far(impl, reader)
            reader.feed_data(data)
            lines = [await reader.readline() for _ in range(1000)]
            return b"".join(lines), searched()

    assert run(main()) == (data, len(data))


def test_a_line_that_is_given_up_and_read_again_is_searched_once(run, own_work, tcp_wire):
    async def main():
        async with tcp_wire.talking(echo, limit=2**24) as (reader, _):
            before = debug_totals()["searched"]
            for _ in range(COUNT):
                reader.feed_data(b"x" * SIZE)
                reading = asyncio.create_task(reader.readline())
                await settle()
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
            reader.feed_data(b"\n")
            return len(await reader.readline()), debug_totals()["searched"] - before

    size = SIZE * COUNT + 1
    assert run(main()) == (size, size)


def test_readexactly_copies_each_byte_twice_at_most(run, own_work, tcp_wire):
    """Once where it came in small pieces, and as it grows into twice the memory."""
    size = 100_000_000

    async def main():
        async with tcp_wire.talking(sending(bytes(size))) as (reader, _):
            before = debug_totals()["copied"]
            return len(await reader.readexactly(size)), debug_totals()["copied"] - before

    read, copied = run(main())
    assert read == size
    assert copied <= 2 * size


@pytest.mark.parametrize("size", [100, 1000, 5000])
def test_a_message_that_is_kept_stays_as_it_is(run, wire, size):
    """However many come after it, some of which are let go of."""
    messages = [bytes([number % 251]) * (size + number % 7) for number in range(300)]

    async def main():
        kept = []
        async with wire.talking(echo) as (reader, writer):
            for number, message in enumerate(messages):
                writer.write(message)
                data = await reader.readexactly(len(message))
                assert data == message
                if number % 3 == 0:
                    kept.append(data)
        return kept

    assert run(main()) == messages[::3]


def test_a_hash_is_of_the_message(run, wire):
    """A bytes object keeps the one that was asked for."""
    messages = [b"%0500d" % number for number in range(200)]

    async def main():
        async with wire.talking(echo) as (reader, writer):
            for message in messages:
                writer.write(message)
                data = await reader.readexactly(500)
                assert {data: 1} == {message: 1}
                assert hash(data) == hash(message)
                del data

    run(main())


def test_a_result_lives_no_longer_than_its_holder(run, tcp_wire):
    size = 5_000_000

    async def main():
        async with tcp_wire.talking(echo, limit=2 * size) as (reader, _):
            tracemalloc.start()
            try:
                reader.feed_data(bytearray(size))
                assert len(await reader.readexactly(size)) == size
                return tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()

    assert run(main()) < size // 2


def test_what_ends_a_call_stays_as_it_is(run, tcp_wire):
    """For who awaits by hand."""

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            ends = []
            for data in (b"one", b"two", b"three"):
                reader.feed_data(data)
                with pytest.raises(StopIteration) as caught:
                    next(reader.read(10).__await__())
                ends.append(caught.value)
            reader.feed_data(b"four")
            assert await reader.read(10) == b"four"
            return [end.value for end in ends]

    assert run(main()) == [b"one", b"two", b"three"]
