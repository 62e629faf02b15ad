"""What the types of transports are called, and what libraries read of asyncio's SSLProtocol."""

import asyncio
import asyncio.selector_events
import asyncio.sslproto
import asyncio.unix_events
import os
import socket
import ssl

import pytest

from .protocols import Recorder
from .tls import NAME, client_context, with_tls_peer


def test_the_name_of_the_type_tells_tls(run):
    """aiosmtplib and others look for "SSL" in it."""

    async def main():
        async with with_tls_peer() as (protocol, _):
            assert type(protocol.transport).__name__ == "_SSLProtocolTransport"
            assert isinstance(protocol.transport, asyncio.sslproto._SSLProtocolTransport)
            assert "SSL" not in type(protocol.transport._ssl_protocol._transport).__name__

    run(main())


async def stream(loop):
    left, right = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
    return transport, right


async def datagrams(loop):
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return transport, socket.socket()


async def reading_pipe(loop):
    reader, writer = os.pipe()
    transport, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reader, "rb", 0))
    return transport, os.fdopen(writer, "wb", 0)


async def writing_pipe(loop):
    reader, writer = os.pipe()
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writer, "wb", 0))
    return transport, os.fdopen(reader, "rb", 0)


CLASSES = {
    stream: asyncio.selector_events._SelectorSocketTransport,
    datagrams: asyncio.selector_events._SelectorDatagramTransport,
    reading_pipe: asyncio.unix_events._UnixReadPipeTransport,
    writing_pipe: asyncio.unix_events._UnixWritePipeTransport,
}


@pytest.mark.parametrize("make", CLASSES)
def test_each_is_of_the_class_that_asyncio_has_for_it(loop, run, make):
    async def main():
        transport, other = await make(loop)
        assert isinstance(transport, CLASSES[make])
        assert transport.__class__ is CLASSES[make]
        assert "SSL" not in type(transport).__name__
        transport.close()
        await asyncio.sleep(0.001)
        other.close()

    run(main())


@pytest.mark.parametrize("server_side", [False, True])
def test_what_is_read_of_the_ssl_protocol(run, server_side):
    async def main():
        async with with_tls_peer(server_side=server_side) as (protocol, peer):
            transport = protocol.transport
            inner = transport._ssl_protocol
            assert inner._app_protocol is protocol
            assert inner._app_transport is transport
            assert inner._transport.get_protocol() is inner
            assert inner._sslobj is transport.get_extra_info("ssl_object")
            assert inner._sslobj.version() == peer.tls.version()
            assert inner._sslcontext is transport.get_extra_info("sslcontext")
            assert isinstance(inner._sslcontext, ssl.SSLContext)
            assert inner._server_side is server_side
            assert inner._server_hostname == (None if server_side else NAME)
            assert inner._extra["sslcontext"] is inner._sslcontext
            other = Recorder()
            transport.set_protocol(other)
            assert inner._app_protocol is other
            transport.set_protocol(protocol)

    run(main())


def test_after_the_end(run):
    async def main():
        async with with_tls_peer() as (protocol, _):
            inner = protocol.transport._ssl_protocol
            protocol.transport.abort()
            await asyncio.sleep(0.01)
            assert inner._app_protocol is None
            assert inner._app_transport is None
            assert inner._transport is None
            assert inner._sslcontext is not None

    run(main())


def test_the_context_of_a_client_that_gave_none(loop, run):
    """Database connectors take it from there, for a second connection."""

    async def main():
        context = client_context()
        async with with_tls_peer(server_side=False, context=context) as (protocol, _):
            assert protocol.transport._ssl_protocol._sslcontext is context

    run(main())
