"""What the peer is told where TLS fails: the alert, before the connection ends.

asyncio makes the alert and does not send it, so that the peer sees no more than the end of file.
"""

import asyncio
import ssl

import pytest

from tests.support import tcp_pair

from .protocols import Recorder, connected, read_some
from .tls import NAME, Peer, client_context, only, server_context, with_tls_peer


@pytest.fixture(autouse=True)
def cloop_is_right(impl):
    """Skips asyncio's half."""
    if not impl.is_cloop:
        pytest.skip("asyncio drops the alert")


def untrusting_context():
    """A client's, that trusts nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def demanding_context(version):
    """A server's, that wants a certificate of the client."""
    context = only(version, server_context())
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def fail_with(peer, error_type=ssl.SSLError):
    """What a peer by hand is told in the handshake, or with the first data."""
    with pytest.raises(error_type) as caught:
        await peer.do(peer.tls.do_handshake)
        await peer.do(peer.tls.read, 1)
    assert await read_some(peer.sock) == b"", "more than an alert"
    return caught.value.reason


async def open_server(sock, context):
    """Have the loop's side be the server; nobody waits for the end."""
    loop = asyncio.get_running_loop()
    opening = asyncio.ensure_future(loop.connect_accepted_socket(Recorder, sock, ssl=context))
    opening.add_done_callback(lambda done: done.exception())
    return opening


def test_a_version_that_the_server_does_not_have(run):
    async def main():
        mine, other = tcp_pair()
        with other:
            opening = await open_server(mine, only("TLSv1_3", server_context()))
            peer = Peer(other, only("TLSv1_2", client_context()), server_hostname=NAME)
            reason = await fail_with(peer)
            with pytest.raises(ssl.SSLError):
                await opening
            return reason

    assert run(main()) == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_no_certificate_of_the_client(run, version):
    """With TLS 1.3 the client's handshake is over by then."""

    async def main():
        mine, other = tcp_pair()
        with other:
            opening = await open_server(mine, demanding_context(version))
            reason = await fail_with(Peer(other, client_context(), server_hostname=NAME))
            with pytest.raises(ssl.SSLError):
                await opening
            return reason

    expected = {"TLSv1_2": "SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSv1_3": "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
    assert run(main()) == expected[version]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_server_that_the_client_does_not_trust(run, version):
    async def main():
        loop = asyncio.get_running_loop()
        mine, other = tcp_pair()
        with other:
            peer = Peer(other, only(version, server_context()), server_side=True)
            telling = asyncio.ensure_future(fail_with(peer))
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.create_connection(
                    Recorder, sock=mine, ssl=untrusting_context(), server_hostname=NAME
                )
            return await telling

    assert run(main()) == "TLSV1_ALERT_UNKNOWN_CA"


def test_both_ends(run):
    """A server's connection ends with the client's reason."""

    async def main():
        loop = asyncio.get_running_loop()
        lost = loop.create_future()

        class Accepted(Recorder):
            def connection_lost(self, error):
                lost.set_result(error)

        # Of TLS 1.2 the server would learn it within its handshake.
        server = await loop.create_server(Accepted, "127.0.0.1", 0, ssl=only("TLSv1_3", server_context()))
        address = server.sockets[0].getsockname()
        unknown = []
        loop.set_debug(True)
        loop.set_exception_handler(lambda loop, context: unknown.append(context["exception"]))
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(Recorder, *address, ssl=untrusting_context(), server_hostname=NAME)
        async with asyncio.timeout(5):
            while not unknown:
                await asyncio.sleep(0.001)
        loop.set_debug(False)
        server.close()
        await server.wait_closed()
        return unknown[0].reason

    assert run(main()) == "TLSV1_ALERT_UNKNOWN_CA"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("server_side", [True, False])
def test_a_bad_record(run, version, server_side):
    async def main():
        context = only(version, server_context() if server_side else client_context())
        async with with_tls_peer(context=context, server_side=server_side) as (protocol, peer):
            peer.tls.write(b"data")
            record = bytearray(peer.outgoing.read())
            record[-1] ^= 1
            await peer.send(record)
            with pytest.raises(ssl.SSLError) as caught:
                await peer.do(peer.tls.read, 1)
            assert isinstance(await protocol.lost, ssl.SSLError)
            return caught.value.reason

    assert run(main()) == "SSLV3_ALERT_BAD_RECORD_MAC"


def test_a_bad_record_within_tls(run):
    """The alert of TLS in TLS goes through the connection that it is in."""

    async def main():
        loop = asyncio.get_running_loop()
        async with connected() as (client, accepted):
            outer = await asyncio.gather(
                loop.start_tls(client.transport, client, client_context(), server_hostname=NAME),
                loop.start_tls(accepted.transport, accepted, server_context(), server_side=True),
            )
            # The inner handshake: with a client that trusts nobody.
            inner = await asyncio.gather(
                loop.start_tls(outer[0], client, untrusting_context(), server_hostname=NAME),
                loop.start_tls(outer[1], accepted, only("TLSv1_2", server_context()), server_side=True),
                return_exceptions=True,
            )
            await client.lost
            await accepted.lost
            return [error.reason for error in inner]

    assert run(main()) == ["CERTIFICATE_VERIFY_FAILED", "TLSV1_ALERT_UNKNOWN_CA"]
