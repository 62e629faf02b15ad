"""The transport of a TCP connection: reading, writing, end of file, closing."""

import asyncio
import contextlib
import random
import socket

import pytest

from tests.support import PY312, collect_garbage, settle, wait_until

from .protocols import (
    Echo,
    KeepsOpen,
    Recorder,
    Refusing,
    connected,
    fill,
    read_all,
    read_some,
    with_raw_peer,
)


def test_there_and_back(run):
    async def main():
        async with connected(server=Echo) as (client, server):
            for number in range(10):
                client.transport.write(b"message %d" % number)
                await client.wait_for_data((number + 1) * 9)
            assert client.data == server.data == b"".join(b"message %d" % number for number in range(10))
            client.transport.close()
            await client.lost
            await server.lost
        return client.calls, server.calls

    assert run(main()) == (["made", ("lost", None)], ["made", "eof", ("lost", None)])


def test_its_type(run):
    async def main():
        async with connected() as (client, server):
            return [isinstance(each.transport, asyncio.Transport) for each in (client, server)]

    assert run(main()) == [True, True]


def test_attributes_can_be_set(run):
    """Test suites of several projects replace methods of a transport."""

    async def main():
        async with connected() as (client, server):
            written = []
            client.transport.note = "noted"
            client.transport.write = written.append
            client.transport.write(b"not sent")
            await settle()
            return client.transport.note, written, bytes(server.data)

    assert run(main()) == ("noted", [b"not sent"], b"")


def test_small_writes_keep_their_order(run):
    async def main():
        async with connected() as (client, server):
            for number in range(5000):
                client.transport.write(b"%05d" % number)
            expected = b"".join(b"%05d" % number for number in range(5000))
            assert await server.wait_for_data(len(expected)) == expected

    run(main())


def test_writes_of_all_sizes_keep_their_order(run):
    generator = random.Random(3)
    chunks = [generator.randbytes(generator.choice([1, 100, 5000, 70_000, 300_000])) for _ in range(60)]

    async def main():
        async with connected() as (client, server):
            for chunk in chunks:
                client.transport.write(chunk)
                if generator.random() < 0.3:
                    await asyncio.sleep(0)
            expected = b"".join(chunks)
            assert await server.wait_for_data(len(expected)) == expected

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_can_be_written(run, kind):
    async def main():
        async with connected() as (client, server):
            client.transport.write(kind(b"data"))
            client.transport.write(kind(b""))
            return await server.wait_for_data(4)

    assert run(main()) == b"data"


@pytest.mark.parametrize("wrong", ["text", 1, None, [b"list"]])
def test_what_cannot_be_written(run, wrong):
    async def main():
        async with connected() as (client, _):
            with pytest.raises(TypeError, match=r"data argument must be a bytes"):
                client.transport.write(wrong)

    run(main())


def skip_where_views_are_kept(impl):
    if PY312 and not impl.is_cloop:
        pytest.skip("asyncio keeps a view of the caller's buffer from 3.12")


@pytest.mark.parametrize("method", ["write", "writelines"])
def test_a_mutable_buffer_is_copied_when_it_is_written(run, impl, method):
    """The caller may use it again at once, also where the kernel has not taken all of it."""
    skip_where_views_are_kept(impl)

    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            buffer = bytearray(b"a" * 100_000)
            if method == "write":
                protocol.transport.write(buffer)
                protocol.transport.write(memoryview(buffer)[:10])
            else:
                protocol.transport.writelines([buffer, memoryview(buffer)[:10]])
            buffer[:] = b"b" * len(buffer)
            protocol.transport.close()
            received = await read_all(peer)
            return received[sent:] == b"a" * 100_010

    assert run(main()) is True


def test_a_mutable_buffer_sent_in_part_is_copied(run, impl):
    skip_where_views_are_kept(impl)

    async def main():
        async with with_raw_peer() as (protocol, peer):
            buffer = bytearray(b"a" * 5_000_000)
            protocol.transport.write(buffer)
            assert 0 < protocol.transport.get_write_buffer_size() < len(buffer)
            buffer[:] = b"b" * len(buffer)
            buffer.clear()
            protocol.transport.close()
            return await read_all(peer)

    assert run(main()) == b"a" * 5_000_000


def test_writelines(run):
    async def main():
        async with connected() as (client, server):
            client.transport.writelines([b"one", bytearray(b"two"), memoryview(b"three"), b""])
            client.transport.writelines(iter([b"four", b"five"]))
            client.transport.writelines([])
            client.transport.write(b"six")
            return await server.wait_for_data(22)

    assert run(main()) == b"onetwothreefourfivesix"


def test_writelines_of_more_than_one_call_takes(run):
    """More buffers than sendmsg takes at once, and more bytes than the kernel takes at once."""
    pieces = [b"%07d" % number for number in range(5000)] + [bytes([number]) * 50_000 for number in range(40)]

    async def main():
        async with connected() as (client, server):
            client.transport.writelines(pieces)
            expected = b"".join(pieces)
            assert await server.wait_for_data(len(expected)) == expected

    run(main())


@pytest.mark.skipif(not PY312, reason="__buffer__ is new in 3.12")
def test_data_that_refuses_to_be_read(run, reports):
    async def main():
        async with with_raw_peer() as (protocol, _):
            protocol.transport.write(Refusing(b"data"))
            return await protocol.lost

    error = run(main())
    assert isinstance(error, ZeroDivisionError)
    report = reports.take_one()
    assert (report["exception"], report["message"]) == (error, "Fatal write error on socket transport")


class Lying(bytes):
    """Says that it has next to nothing in it."""

    def __len__(self):
        return 1


@pytest.mark.parametrize("other", [b"x", bytearray(b"x")], ids=["bytes", "bytearray"])
def test_writelines_takes_the_true_sizes(run, other):
    size = 1_000_000

    async def main():
        async with connected() as (client, server):
            client.transport.writelines([Lying(size), other])
            return await server.wait_for_data(size + 1)

    assert run(main()) == bytes(size) + b"x"


def test_writelines_of_pieces_that_change_the_list(run, impl):
    class Changing(bytes):
        def __bool__(self):
            pieces[1] = 5
            return True

    pieces = [Changing(10_000), b"x" * 10_000]

    async def main():
        async with connected() as (client, server):
            try:
                client.transport.writelines(pieces)
            except TypeError:
                # asyncio that asks for the truth of each, and takes what is in the list by then.
                assert not impl.is_cloop
            else:
                assert await server.wait_for_data(20_000) == bytes(10_000) + b"x" * 10_000

    run(main())


def test_what_the_end_of_a_piece_writes_is_not_lost(run):
    class Last(bytes):
        def __del__(self):
            transport.write(b"end of " + self[:])

    transport = None

    async def main():
        nonlocal transport
        async with with_raw_peer() as (protocol, peer):
            transport = protocol.transport
            sent = fill(transport)
            transport.write(Last(b"one."))
            transport.write(Last(b"two."))
            received = b""
            while len(received) < sent + 2 * len("one.end of one."):
                received += await read_some(peer)
            return received[sent:]

    # An end comes when nothing else has the piece, which may be before it was sent.
    assert sorted(run(main()).split(b".")) == [b"", b"end of one", b"end of two", b"one", b"two"]


def test_writelines_behind_what_waits(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.writelines([b"one", b"two"])
            protocol.transport.write(b"three")
            protocol.transport.close()
            return (await read_all(peer))[sent:]

    assert run(main()) == b"onetwothree"


def test_empty_pieces_behind_what_waits(run, impl):
    if PY312 and not impl.is_cloop:
        pytest.skip("asyncio tries to send them for ever from 3.12")

    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.writelines([b"", b"one", b"", b""])
            protocol.transport.close()
            return (await read_all(peer))[sent:]

    assert run(main()) == b"one"


def test_write_eof(run):
    async def main():
        async with connected(server=KeepsOpen) as (client, server):
            assert client.transport.can_write_eof() is True
            client.transport.write(b"last")
            client.transport.write_eof()
            client.transport.write_eof()
            assert await server.wait_for_data(4) == b"last"
            await wait_until(lambda: "eof" in server.calls)
            with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
                client.transport.write(b"more")
            with pytest.raises(
                RuntimeError, match=r"^Cannot call writelines\(\) after write_eof\(\)$|write_eof"
            ):
                client.transport.writelines([b"more"])
            server.transport.write(b"still open")
            assert await client.wait_for_data(10) == b"still open"
            server.transport.close()
            await client.lost

    run(main())


def test_write_eof_waits_for_what_is_buffered(run):
    async def main():
        async with with_raw_peer(KeepsOpen) as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.write(b"the end")
            protocol.transport.write_eof()
            received = await read_all(peer)
            assert len(received) == sent + 7 and received.endswith(b"the end")
            assert not protocol.transport.is_closing()

    run(main())


def test_eof_closes_where_the_protocol_does_not_say_otherwise(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await protocol.lost
            assert protocol.transport.is_closing()
            return protocol.calls, await read_all(peer)

    assert run(main()) == (["made", "eof", ("lost", None)], b"")


def test_eof_sends_what_is_buffered_first(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            peer.shutdown(socket.SHUT_WR)
            await wait_until(lambda: "eof" in protocol.calls)
            received = await read_all(peer)
            await protocol.lost
            return len(received) == sent

    assert run(main()) is True


def test_eof_is_delivered_once(run):
    async def main():
        async with with_raw_peer(KeepsOpen) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.01)
            protocol.transport.write(b"x")
            assert await read_some(peer) == b"x"
            return list(protocol.calls)

    assert run(main()) == ["made", "eof"]


def test_close_sends_what_is_buffered(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert not protocol.lost.done()
            received = await read_all(peer)
            assert await protocol.lost is None
            return len(received) == sent

    assert run(main()) is True


def test_close_with_nothing_buffered(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            protocol.transport.close()
            assert protocol.calls == ["made"]
            await settle()
            assert protocol.calls == ["made", ("lost", None)]
            return await read_all(peer)

    assert run(main()) == b""


def test_no_data_after_close(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            peer.send(b"too late")
            protocol.transport.close()
            await asyncio.sleep(0.005)
            assert protocol.data == b""
            received = 0
            # What was never read makes the end a reset.
            with contextlib.suppress(ConnectionResetError):
                while chunk := await read_some(peer):
                    received += len(chunk)
            await protocol.lost
            return bytes(protocol.data), received <= sent

    assert run(main()) == (b"", True)


def test_abort_drops_what_is_buffered(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport, bytes(1_000_000))
            protocol.transport.abort()
            assert protocol.transport.is_closing()
            assert protocol.transport.get_write_buffer_size() == 0
            assert not protocol.lost.done()
            assert await protocol.lost is None
            return len(await read_all(peer)) < sent

    assert run(main()) is True


def test_abort_while_closing(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            fill(protocol.transport)
            protocol.transport.close()
            protocol.transport.abort()
            protocol.transport.abort()
            protocol.transport.close()
            return await protocol.lost

    assert run(main()) is None


def test_reset_by_the_peer(run):
    async def main():
        async with connected() as (client, server):
            linger = b"\1\0\0\0\0\0\0\0"
            client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.transport.abort()
            await client.lost
            return await server.lost

    assert isinstance(run(main()), ConnectionResetError)


def test_writing_to_a_peer_that_is_gone(run):
    """The failed send ends the connection; it raises nothing at the caller and reports nothing."""

    async def main():
        async with with_raw_peer(KeepsOpen) as (protocol, peer):
            peer.close()
            for _ in range(5):
                protocol.transport.write(b"x" * 1000)
                await asyncio.sleep(0)
            return await protocol.lost

    assert isinstance(run(main()), (BrokenPipeError, ConnectionResetError))


def test_a_write_that_fails_at_once(run, caplog):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            peer.close()
            protocol.transport.write(b"x")
            assert protocol.transport.is_closing()
            return await protocol.lost

    assert isinstance(run(main()), BrokenPipeError)


def test_data_arrives_with_the_end_of_file(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            peer.send(b"data")
            peer.shutdown(socket.SHUT_WR)
            await protocol.lost
            return bytes(protocol.data), protocol.calls

    assert run(main()) == (b"data", ["made", "eof", ("lost", None)])


def test_large_reads(run):
    async def main():
        async with connected() as (client, server):
            data = random.Random(4).randbytes(8_000_000)
            client.transport.write(data)
            return await server.wait_for_data(len(data)) == data

    assert run(main()) is True


@pytest.mark.filterwarnings("ignore:unclosed <socket")
def test_unclosed_transport_warns(loop_factory):
    loop = loop_factory()

    mine, peer = socket.socketpair()
    loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=mine))
    del mine
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        loop.close()
        collect_garbage()
    assert peer.recv(1) == b""
    peer.close()


def test_repr(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            fd = protocol.transport.get_extra_info("socket").fileno()
            open_text = repr(protocol.transport)
            protocol.transport.pause_reading()
            paused_text = repr(protocol.transport)
            protocol.transport.close()
            closing_text = repr(protocol.transport)
            await protocol.lost
            return f"fd={fd}", open_text, paused_text, closing_text, repr(protocol.transport)

    fd, open_text, paused_text, closing_text, closed_text = run(main())
    assert f"{fd} read=polling write=<idle, bufsize=0>" in open_text
    assert f"{fd} read=idle write=<idle, bufsize=0>" in paused_text
    assert f"closing {fd}" in closing_text
    assert "closed" in closed_text


def test_connection_made_comes_before_the_awaiter_goes_on(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            return protocol.calls

    assert run(main())[0] == "made"


def test_a_protocol_may_close_in_connection_made(run):
    class ClosesAtOnce(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"go away")
            transport.close()

    async def main():
        async with with_raw_peer(ClosesAtOnce) as (protocol, peer):
            assert await read_all(peer) == b"go away"
            await protocol.lost
            return protocol.calls, bytes(protocol.data)

    assert run(main()) == (["made", ("lost", None)], b"")
