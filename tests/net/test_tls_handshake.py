"""TLS handshakes: what is agreed on."""

import asyncio
import gc
import re
import ssl
import sys
import weakref

import pytest

from tests.support import settle, tcp_pair, wait_until

from .protocols import Echo, Recorder, drop
from .tls import NAME, PEM, Peer, client_context, only, server_context, tls_connected, with_tls_peer

VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])


async def echo_once(context, **options):
    """A byte there and back, from a peer by hand through an Echo; returns the echo's transport."""
    async with with_tls_peer(Echo, context=context, **options) as (echo, peer):
        await peer.write(b"x")
        assert await peer.read_exactly(1) == b"x"
        return echo.transport


# ---- What is agreed on


@VERSIONS
@pytest.mark.parametrize("side", ["server", "client"])
def test_versions(run, version, side):
    async def main():
        context = server_context() if side == "server" else client_context()
        transport = await echo_once(only(version, context), server_side=side == "server")
        return transport.get_extra_info("ssl_object").version()

    assert run(main()) == version.replace("_", ".")


def test_client_certificates(loop, run):
    async def main():
        theirs, mine = server_context(), client_context()
        theirs.verify_mode = ssl.CERT_REQUIRED
        theirs.load_verify_locations(PEM)
        mine.load_cert_chain(PEM)
        accepted = []
        server = await loop.create_server(
            lambda: accepted.append(Echo()) or accepted[-1], "127.0.0.1", 0, ssl=theirs
        )
        _, client = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=mine, server_hostname=NAME
        )
        client.transport.write(b"hello")
        assert await client.wait_for_data(5) == b"hello"
        certificate = accepted[0].transport.get_extra_info("peercert")
        await drop(client)
        await accepted[0].lost
        server.close()
        return ("DNS", NAME) in certificate["subjectAltName"]

    assert run(main()) is True


def test_a_client_certificate_that_is_missing(loop, run):
    """With TLS 1.3 the client hears of it when it reads: as an SSLError, whoever moves the bytes."""

    async def main():
        theirs = server_context()
        theirs.verify_mode = ssl.CERT_REQUIRED
        theirs.load_verify_locations(PEM)
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=theirs)
        _, client = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_context(), server_hostname=NAME
        )
        error = await asyncio.wait_for(client.lost, 5)
        server.close()
        await settle()
        return error

    # asyncio's server does not send the alert in every version.
    error = run(main())
    assert error is None or isinstance(error, OSError)


def test_an_alert_is_the_exception_that_the_ssl_module_makes(run):
    """The peer's fatal alert, read when the handshake is over."""

    async def main():
        context = server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(PEM)
        mine, other = tcp_pair()
        loop = asyncio.get_running_loop()
        with other:
            peer = Peer(other, context, server_side=True)
            opening = loop.create_connection(Recorder, sock=mine, ssl=client_context(), server_hostname=NAME)
            (_, client), failed = await asyncio.gather(
                opening, peer.do(peer.tls.do_handshake), return_exceptions=True
            )
            assert isinstance(failed, ssl.SSLError)
            error = await asyncio.wait_for(client.lost, 5)
        return type(error), error.args[0], error.reason, error.library, str(error)

    kind, number, reason, library, text = run(main())
    assert (kind, number, library) == (ssl.SSLError, ssl.SSL_ERROR_SSL, "SSL")
    assert reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert text.startswith("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")


def untrusting(context):
    context.load_default_certs()


def of_another_name(context):
    context.load_verify_locations(PEM)


@pytest.mark.parametrize(
    ("prepare", "name", "code", "text"),
    [
        (untrusting, NAME, 18, "self[- ]signed certificate"),
        (of_another_name, "another.host", 62, "Hostname mismatch, certificate is not valid for"),
        (of_another_name, "127.0.0.2", 64, "IP address mismatch, certificate is not valid for"),
    ],
)
@VERSIONS
def test_certificates_that_are_refused(loop, run, version, prepare, name, code, text):
    """As the ssl module says it; the server learns of it by the end of the connection."""

    async def main():
        context = only(version, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        prepare(context)
        mine, other = tcp_pair()
        with other:
            peer = Peer(other, server_context(), server_side=True)
            failed, _ = await asyncio.gather(
                loop.create_connection(Recorder, sock=mine, ssl=context, server_hostname=name),
                peer.do(peer.tls.do_handshake),
                return_exceptions=True,
            )
            await settle()
            return failed

    error = run(main())
    assert type(error) is ssl.SSLCertVerificationError is ssl.CertificateError
    assert (error.verify_code, error.reason, error.library) == (code, "CERTIFICATE_VERIFY_FAILED", "SSL")
    assert re.match(text, error.verify_message)
    assert str(error).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")


def test_a_certificate_that_is_refused_leaves_no_cycle(loop, run, impl):
    """Its transport goes without the collector."""
    if not impl.is_cloop and sys.version_info < (3, 14, 10):
        pytest.skip("asyncio's exception holds what made it")

    async def main():
        seen = []

        class Context(ssl.SSLContext):
            def wrap_bio(self, *arguments, **options):
                made = super().wrap_bio(*arguments, **options)
                seen.append(weakref.ref(made))
                return made

        mine, other = tcp_pair()
        with other:
            peer = Peer(other, server_context(), server_side=True)
            shaking = asyncio.ensure_future(peer.do(peer.tls.do_handshake))
            try:
                await loop.create_connection(
                    Recorder, sock=mine, ssl=Context(ssl.PROTOCOL_TLS_CLIENT), server_hostname=NAME
                )
            except ssl.SSLCertVerificationError:
                pass
            await asyncio.wait([shaking])
            # asyncio does not send the alert.
            assert isinstance(shaking.exception(), ssl.SSLError if impl.is_cloop else EOFError)
            await settle()
        return seen

    gc.collect()
    gc.disable()
    try:
        (seen,) = run(main())
        assert seen() is None
    finally:
        gc.enable()


def test_application_protocols(loop, run):
    async def main():
        theirs, mine = server_context(), client_context()
        theirs.set_alpn_protocols(["h2", "http/1.1"])
        mine.set_alpn_protocols(["http/1.1"])
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=theirs)
        transport, client = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=mine, server_hostname=NAME
        )
        chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        await drop(client)
        server.close()
        await asyncio.sleep(0.005)
        return chosen

    assert run(main()) == "http/1.1"


def test_a_callback_for_names(loop, run):
    """It may choose another context, whose certificate is then shown."""

    async def main():
        names = []
        first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        second = server_context()

        def choose(sslobj, name, context):
            names.append(name)
            sslobj.context = second

        first.sni_callback = choose
        await echo_once(first)
        return names

    assert run(main()) == [NAME]


ALERTS = {
    "alert": "TLSV1_UNRECOGNIZED_NAME",
    "exception": "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "nonsense": "TLSV1_ALERT_INTERNAL_ERROR",
}


@pytest.mark.parametrize("wrong", ALERTS)
def test_a_callback_for_names_that_refuses(loop, run, impl, wrong):
    """The client's handshake fails; of an exception sys.unraisablehook is told, as with every use of ssl."""
    told = []

    def choose(sslobj, name, context):
        if wrong == "exception":
            raise ZeroDivisionError
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if wrong == "alert" else "no number"

    async def main():
        context = server_context()
        context.sni_callback = choose
        mine, other = tcp_pair()
        with other:
            peer = Peer(other, client_context(), server_hostname=NAME)
            failed = await asyncio.gather(
                loop.connect_accepted_socket(Recorder, mine, ssl=context),
                peer.do(peer.tls.do_handshake),
                return_exceptions=True,
            )
            await settle()
            return [(type(each), getattr(each, "reason", None)) for each in failed]

    old, sys.unraisablehook = sys.unraisablehook, lambda unraisable: told.append(unraisable.exc_type)
    try:
        server, client = run(main())
    finally:
        sys.unraisablehook = old
    assert server == (ssl.SSLError, "CALLBACK_FAILED")
    # The server's alert is not sent.
    # asyncio does not send the alert.
    assert client == ((ssl.SSLError, ALERTS[wrong]) if impl.is_cloop else (EOFError, None))
    assert told == {"alert": [], "exception": [ZeroDivisionError], "nonsense": [TypeError]}[wrong]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_callback_for_names_that_ends_the_connection(loop, run, how):
    """Another's; its own has no transport that a callback could know."""

    async def main():
        async with tls_connected() as (client, server):
            context = server_context()
            context.sni_callback = lambda *_: getattr(client.transport, how)()
            await echo_once(context)
            await asyncio.wait_for(asyncio.gather(client.lost, server.lost), 5)

    run(main())


@pytest.mark.parametrize("tickets", [True, False])
@VERSIONS
def test_sessions_are_resumed(run, version, tickets):
    """By tickets, or by what the server keeps; with TLS 1.3 and no tickets there is nothing to resume."""

    async def main():
        context, mine = only(version, server_context()), client_context()
        if not tickets:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        loop = asyncio.get_running_loop()
        reused, session = [], None
        for _ in range(2):
            ours, other = tcp_pair()
            with other:
                peer = Peer(other, mine, server_hostname=NAME, session=session)
                (_, echo), _ = await asyncio.gather(
                    loop.connect_accepted_socket(Echo, ours, ssl=context), peer.do(peer.tls.do_handshake)
                )
                await peer.write(b"x")
                assert await peer.read_exactly(1) == b"x"
                session = peer.tls.session
                reused.append(peer.tls.session_reused)
                assert echo.transport.get_extra_info("ssl_object").session_reused == reused[-1]
                await drop(echo)
        return reused

    assert run(main()) == [False, tickets or version == "TLSv1_2"]


# ---- Options


def test_timeouts_must_be_positive(loop, run):
    async def main():
        mine, other = tcp_pair()
        with mine, other:
            for option in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
                with mine.dup() as sock:
                    with pytest.raises(ValueError, match=f"{option} should be a positive number, got 0"):
                        await loop.connect_accepted_socket(
                            Recorder, sock, ssl=server_context(), **{option: 0}
                        )

    run(main())


# ---- On top of others


def test_tls_in_tls(loop, run):
    async def main():
        async with tls_connected() as (client, server):
            outer = client.transport, server.transport
            inner_client, inner_server = Recorder(), Echo()
            ends = await asyncio.gather(
                loop.start_tls(outer[0], inner_client, client_context(), server_hostname=NAME),
                loop.start_tls(outer[1], inner_server, server_context(), server_side=True),
            )
            inner_client.connection_made(ends[0])
            inner_server.connection_made(ends[1])
            data = bytes(range(256)) * 3000
            ends[0].write(data)
            assert await inner_client.wait_for_data(len(data)) == data
            assert ends[0].get_extra_info("ssl_object") is not outer[0].get_extra_info("ssl_object")
            ends[0].close()
            await inner_client.lost
            await inner_server.lost
            for protocol in (client, server):
                protocol.lost.set_result(None)

    run(asyncio.wait_for(main(), 10))


@pytest.mark.parametrize("server_side", [True, False])
def test_started_over_tcp(loop, run, server_side):
    """Either side, with a new protocol that is not told of the connection."""

    async def main():
        mine, other = tcp_pair()
        with other:
            old, new = Recorder(), Echo()
            transport, _ = await loop.create_connection(lambda: old, sock=mine)
            if server_side:
                peer = Peer(other, client_context(), server_hostname=NAME)
                options = {"sslcontext": server_context(), "server_side": True}
            else:
                peer = Peer(other, server_context(), server_side=True)
                options = {"sslcontext": client_context(), "server_hostname": NAME}
            tls, _ = await asyncio.gather(
                loop.start_tls(transport, new, **options), peer.do(peer.tls.do_handshake)
            )
            assert new.calls == [] and transport.get_protocol() is not old
            new.transport = tls
            await peer.write(b"hello")
            assert await peer.read_exactly(5) == b"hello"
            tls.close()
            with pytest.raises(ssl.SSLZeroReturnError):
                await peer.do(lambda: peer.tls.read(1) or peer.tls.unwrap() or peer.tls.read(1))
            return await new.lost

    assert run(asyncio.wait_for(main(), 10)) is None


def test_a_server_whose_factory_returns_none(impl, run, loop, reports):
    """The handshake takes its time, and its end is reported."""
    if not impl.is_cloop:
        pytest.skip("asyncio's task for the connection waits for ever")

    async def main():
        server = await loop.create_server(lambda: None, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        _, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_context(), server_hostname=NAME
        )
        await protocol.lost
        await wait_until(lambda: reports)
        server.close()

    run(main())
    assert {type(report["exception"]) for report in reports.take()} == {AttributeError}


def test_a_server_whose_factory_returns_none_and_a_client_that_says_nothing(run, loop, reports):
    async def main():
        server = await loop.create_server(
            lambda: None, "127.0.0.1", 0, ssl=server_context(), ssl_handshake_timeout=0.05
        )
        _, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        await protocol.lost
        server.close()

    run(main())
    # Of what asyncio does to None once the connection is lost.
    reports.take()
