"""What streams keep of one message for the next is not given to two, whoever finds it by the collector."""

import asyncio
import gc

import pytest

from tests.support import settle

from .streams import echo


def all_of(kind):
    """What there is of exactly that type, by the collector."""
    return [each for each in gc.get_objects() if type(each) is kind]


def is_one_of(each, found):
    return any(each is other for other in found)


def test_a_call_that_somebody_has_found_is_not_the_next_one(run, tcp_wire):
    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            calls = [reader.read(1) for _ in range(10)]
            kind = type(calls[0])
            # The youngest ones first: the oldest may be out of the collector's sight.
            while calls:
                calls.pop().close()
            found = all_of(kind)
            later = [reader.read(1) for _ in range(10)]
            for call in later:
                call.close()
            return [call for call in later if is_one_of(call, found)]

    assert run(main()) == []


@pytest.mark.parametrize("touch", ["cancel", "complete", "hold"])
def test_a_wait_whose_future_somebody_has_found(run, loop, tcp_wire, touch):
    """The next one is not cancelled, nor over before something has come."""
    kind = type(loop.create_future())

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            others = [each for each in all_of(kind) if not each.done()]
            for message in (b"one", b"two", b"three"):
                reading = asyncio.create_task(reader.read(10))
                await settle()
                reader.feed_data(message)
                assert await reading == message
                del reading
                found = [each for each in all_of(kind) if not each.done() and not is_one_of(each, others)]
                for future in found:
                    if touch == "cancel":
                        future.cancel()
                    elif touch == "complete":
                        future.set_result(None)
                if touch == "hold":
                    reading = asyncio.create_task(reader.read(10))
                    await settle()
                    assert not is_one_of(reader._waiter, found)
                    reader.feed_data(b"four")
                    assert await reading == b"four"
                    del reading
                found = future = None

    run(main())


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("read", [3]), ("read", []), ("readexactly", [3]), ("readline", []), ("readuntil", [])],
)
def test_a_call_that_is_dropped_waits_no_more(run, tcp_wire, method, arguments):
    """As a coroutine that is closed; whoever still has the future notwithstanding."""

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            call = getattr(reader, method)(*arguments)
            future = call.send(None)
            del call
            assert reader._waiter is None
            reading = asyncio.create_task(reader.readexactly(3))
            await settle()
            reader.feed_data(b"abc")
            assert await reading == b"abc"
            return future

    assert not run(main()).done()


def test_data_that_was_fed_and_read_in_part_has_its_own_hash(run, tcp_wire):
    """Though the object that was fed had been asked for its own."""

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            fed = bytes(range(100))
            hash(fed)
            reader.feed_data(fed)
            del fed
            await reader.readexactly(50)
            reader.feed_data(bytearray(50))
            return await reader.readexactly(100)

    data = run(main())
    assert data == bytes(range(50, 100)) + bytes(50)
    assert {data: True}[bytes(bytearray(data))]


def test_separators_that_read(run, tcp_wire):
    """Nobody gets what another one has had."""
    parts = []

    class Separator(bytes):
        reader = None

        def __len__(self):
            if self.reader is not None:
                reader, self.reader = self.reader, None
                try:
                    reader.read(1000).send(None)
                except StopIteration as stop:
                    parts.append(stop.value)
            return super().__len__()

    async def main():
        async with tcp_wire.talking(echo) as (reader, _):
            separator = Separator(b"--")
            reader.feed_data(b"abc")
            reading = asyncio.create_task(reader.readuntil(separator))
            await settle()
            separator.reader = reader
            reader.feed_data(b"def")
            reader.feed_eof()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reading
            parts.append(caught.value.partial)

    run(main())
    assert b"".join(parts) == b"abcdef"
