"""New keys in the middle of a connection: key updates of TLS 1.3, renegotiation of TLS 1.2."""

import asyncio
import ssl
import traceback

import pytest

from tests.support import settle, wait_until

from .openssl import ALLOW_CLIENT_RENEGOTIATION, ask_to_renegotiate, update_keys
from .protocols import Echo
from .tls import client_context, only, server_context, tls_connected, with_tls_peer

BOTH = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


# ---- Key updates


@BOTH
def test_the_peer_updates_its_keys(run, server_side):
    """Each time it asks for new keys of ours as well, which come with what we send."""

    async def main():
        async with with_tls_peer(Echo, server_side=server_side) as (echo, peer):
            for i in range(40):
                update_keys(peer.tls)
                message = b"%d " % i * (1 + 1000 * (i % 3))
                await peer.write(message)
                assert await peer.read_exactly(len(message)) == message
            return len(echo.data)

    assert run(main()) > 40_000


@BOTH
def test_a_key_update_in_pieces(run, server_side):
    async def main():
        async with with_tls_peer(Echo, server_side=server_side) as (_, peer):
            for _ in range(3):
                update_keys(peer.tls)
                await peer.write(b"before and after", piece=1, pause=1)
                assert await peer.read_exactly(16) == b"before and after"

    run(main())


def test_key_updates_while_the_protocol_does_not_read(run):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            for i in range(20):
                update_keys(peer.tls)
                await peer.write(b"%d," % i)
                protocol.transport.write(b"%d;" % i)
                await settle(2)
            protocol.transport.resume_reading()
            expected = b"".join(b"%d," % i for i in range(20))
            assert await protocol.wait_for_data(len(expected)) == expected
            update_keys(protocol.transport.get_extra_info("ssl_object"))
            protocol.transport.write(b"end")
            said = b"".join(b"%d;" % i for i in range(20)) + b"end"
            return await peer.read_exactly(len(said)) == said

    assert run(main()) is True


def test_key_updates_of_ours(run):
    """By the ssl object that the transport shows; large messages in between."""

    async def main():
        async with tls_connected(server=Echo) as (client, _):
            data = bytes(range(256)) * 500
            for _ in range(10):
                client.data.clear()
                update_keys(client.transport.get_extra_info("ssl_object"))
                client.transport.write(data)
                assert await client.wait_for_data(len(data)) == data

    run(main())


# ---- Renegotiation


def test_a_client_that_renegotiates_is_refused(run):
    """By a warning, which OpenSSL's client gives up after, and says so."""
    if ssl.OPENSSL_VERSION_INFO < (3,):
        pytest.skip("OpenSSL allows it")

    async def main():
        context = only("TLSv1_2", server_context())
        async with with_tls_peer(Echo, context=context) as (echo, peer):
            ask_to_renegotiate(peer.tls)
            await peer.flush()
            with pytest.raises(ssl.SSLError) as caught:
                await peer.do(peer.tls.read, 1)
            peer.sock.close()
            error = await asyncio.wait_for(echo.lost, 5)
            return caught.value.reason, error, echo.calls

    reason, error, calls = run(main())
    assert reason == "NO_RENEGOTIATION" and calls == ["made", ("lost", error)]
    assert type(error) is ssl.SSLError and "handshake failure" in str(error)


@pytest.mark.parametrize("callback", [False, True])
def test_a_client_that_may_renegotiate(run, callback):
    """Where the context's options allow it. Its callback for names runs in the middle of reading."""
    others = []

    def write_to_others(*_):
        for each in others:
            each.transport.write(b"!" * 50_000)

    async def main():
        context = only("TLSv1_2", server_context())
        context.options |= ALLOW_CLIENT_RENEGOTIATION
        if callback:
            context.sni_callback = write_to_others
        async with tls_connected() as (other, its_peer):
            others.append(other)
            async with with_tls_peer(Echo, context=context) as (echo, peer):
                ask_to_renegotiate(peer.tls)
                # One packet: another handshake, and records that are encrypted by its first keys.
                await settle()
                await peer.do(peer.tls.do_handshake)
                await peer.write(b"after")
                assert await peer.read_exactly(5) == b"after"
                expected = 2 * 50_000 if callback else 0
                await wait_until(lambda: len(its_peer.data) == expected)
                others.clear()
                return bytes(echo.data)

    assert run(main()) == b"after"


def test_a_callback_for_names_that_is_set_later(run):
    """It runs where code of Python's may: in a read of the ssl module's, not in one of OpenSSL's alone."""
    callers = []

    def note_callers(*_):
        callers.extend(frame.name for frame in traceback.extract_stack() if frame.filename == ssl.__file__)

    async def main():
        context = only("TLSv1_2", server_context())
        context.options |= ALLOW_CLIENT_RENEGOTIATION
        async with with_tls_peer(Echo, context=context) as (_, peer):
            context.sni_callback = note_callers
            ask_to_renegotiate(peer.tls)
            await settle()
            await peer.do(peer.tls.do_handshake)
            await peer.write(b"after")
            return await peer.read_exactly(5)

    assert run(main()) == b"after"
    assert "read" in callers


def test_a_server_that_renegotiates(run):
    """A client goes along; what it writes in the meantime comes behind."""

    async def main():
        context = only("TLSv1_2", client_context())
        async with with_tls_peer(server_side=False, context=context) as (protocol, peer):
            ask_to_renegotiate(peer.tls)
            await peer.write(b"hello")
            await protocol.wait_for_data(5)
            protocol.transport.write(b"in the middle" * 5000)
            await peer.do(peer.tls.do_handshake)
            assert await peer.read_exactly(65_000) == b"in the middle" * 5000
            await peer.write(b"after")
            return await protocol.wait_for_data(10)

    assert run(main()) == b"helloafter"


def test_a_server_that_asks_for_a_certificate_later(run):
    """Post-handshake authentication: a request in the middle of the stream, of the application's too."""

    async def main():
        theirs = server_context()
        theirs.post_handshake_auth = True
        theirs.verify_mode = ssl.CERT_OPTIONAL
        mine = client_context()
        mine.post_handshake_auth = True
        async with with_tls_peer(server_side=False, context=mine, peer_context=theirs) as (protocol, peer):
            peer.tls.verify_client_post_handshake()
            await peer.write(b"who are you?")
            await protocol.wait_for_data(12)
            protocol.transport.write(b"nobody")
            return await peer.read_exactly(6)

    assert run(main()) == b"nobody"
