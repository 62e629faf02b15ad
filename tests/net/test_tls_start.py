"""start_tls on connections that are in the middle of something: full, or closed."""

import asyncio

import pytest

from .protocols import connected, fill, read_some, with_raw_peer
from .tls import NAME, InnerPeer, Peer, client_context, server_context, with_tls_peer


async def start_both(client, accepted, below=None):
    """TLS on both ends; their transports."""
    loop = asyncio.get_running_loop()
    transports = below or (client.transport, accepted.transport)
    return await asyncio.gather(
        loop.start_tls(transports[0], client, client_context(), server_hostname=NAME),
        loop.start_tls(transports[1], accepted, server_context(), server_side=True),
    )


async def is_resumed(protocol):
    """Wait until it may write again."""
    async with asyncio.timeout(5):
        while protocol.calls[-1] != "resume":
            await asyncio.sleep(0.001)


async def start_when_paused(protocol, peer, read):
    """Write until it is paused, start TLS, and only then have the peer read and shake hands."""
    transport = protocol.transport
    # Much more than sockets hold.
    written = 20_000_000
    for _ in range(2):
        transport.write(bytes(written // 2))
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().start_tls(transport, protocol, client_context(), server_hostname=NAME)
    )
    await asyncio.sleep(0.005)
    assert protocol.calls[-1] == "pause"
    while written:
        written -= len(await read(min(written, 1 << 20)))
    _, upgraded = await asyncio.gather(peer.do(peer.tls.do_handshake), starting)
    await is_resumed(protocol)
    upgraded.write(b"more")
    assert await peer.read_exactly(4) == b"more"
    assert protocol.calls.count("pause") == protocol.calls.count("resume") == 1
    upgraded.abort()
    await protocol.lost


def test_a_transport_that_has_paused_writing(run, impl):
    """The protocol is resumed by the transport that takes over; what was written before is sent before."""
    if not impl.is_cloop:
        pytest.skip("asyncio never resumes the protocol")

    async def main():
        async with with_raw_peer() as (protocol, sock):
            peer = Peer(sock, server_context(), server_side=True)
            await start_when_paused(protocol, peer, lambda size: read_some(sock, size))

    run(main())


def test_a_tls_transport_that_has_paused_writing(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio never resumes the protocol")

    async def main():
        async with with_tls_peer(server_side=False) as (protocol, outer):
            peer = InnerPeer(outer, server_context(), server_side=True)
            await start_when_paused(protocol, peer, lambda size: outer.do(outer.tls.read, size))

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_transport_that_is_closing(run, how):
    async def main():
        loop = asyncio.get_running_loop()
        async with with_raw_peer() as (protocol, _):
            getattr(protocol.transport, how)()
            async with asyncio.timeout(5):
                started = await loop.start_tls(
                    protocol.transport, protocol, client_context(), server_hostname=NAME
                )
            await protocol.lost
            return started

    assert run(main()) is None


def test_a_transport_that_is_closed(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio waits for ever")

    async def main():
        loop = asyncio.get_running_loop()
        async with with_raw_peer() as (protocol, _):
            protocol.transport.close()
            await protocol.lost
            async with asyncio.timeout(5):
                return await loop.start_tls(
                    protocol.transport, protocol, client_context(), server_hostname=NAME
                )

    assert run(main()) is None


def test_a_tls_transport_that_is_closed(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio has an AttributeError")

    async def main():
        loop = asyncio.get_running_loop()
        async with connected() as (client, accepted):
            tls, other = await start_both(client, accepted)
            tls.close()
            await client.lost
            await accepted.lost
            async with asyncio.timeout(5):
                started = await loop.start_tls(tls, client, client_context(), server_hostname=NAME)
            assert other.is_closing()
            return started

    assert run(main()) is None


def test_a_transport_that_was_closed_with_something_to_write(run, impl):
    """It goes on until that is sent, and then there is no transport."""
    if not impl.is_cloop:
        pytest.skip("asyncio fails in resume_writing()")

    async def main():
        loop = asyncio.get_running_loop()
        async with with_raw_peer() as (protocol, peer):
            transport = protocol.transport
            fill(transport, bytes(1 << 20))
            transport.close()
            starting = asyncio.ensure_future(
                loop.start_tls(transport, protocol, client_context(), server_hostname=NAME)
            )
            async with asyncio.timeout(5):
                while not starting.done():
                    with_data(peer)
                    await asyncio.sleep(0)
            # In the middle of a handshake it is the caller who is told, and not the protocol.
            protocol.lost.set_result(None)
            return starting.result()

    def with_data(peer):
        try:
            peer.recv(1 << 20)
        except BlockingIOError:
            pass

    assert run(main()) is None
