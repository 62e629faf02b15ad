"""private_names.toml, which says what libraries lean on in asyncio's loop: what it says is so.

What users see of it is tested where the libraries run: test_instruments, test_blockbuster and the rest of
this folder.
"""

import asyncio
import socket
import tomllib
from pathlib import Path

import pytest

SURVEY = tomllib.loads(Path(__file__).with_name("private_names.toml").read_text())
ENTRIES = SURVEY["found"]
FIELDS = {"package", "version", "file", "name", "wants", "gives"}
LOOKED_UP = [entry for entry in ENTRIES if "on" in entry]


def label(entry):
    return f"{entry['package']}-{entry['on']}.{entry['attribute']}"


async def live_objects(impl):
    """One of each kind that the entries name, and what ends them all."""
    loop = asyncio.get_running_loop()
    future, called_back = loop.create_future(), loop.create_future()
    called_back.add_done_callback(print)
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=here)
    task = loop.create_task(asyncio.sleep(60))
    objects = {
        "loop": loop,
        "running task": asyncio.current_task(),
        "task": task,
        "future": future,
        "future with a callback": called_back,
        "handle": loop.call_soon(int),
        "timer": loop.call_later(60, int),
        "transport": writer.transport,
        "reader": reader,
        "writer": writer,
        "stream protocol": writer.transport.get_protocol(),
    }

    async def end():
        objects["timer"].cancel()
        task.cancel()
        await asyncio.wait([task])
        writer.close()
        await writer.wait_closed()
        there.close()

    return objects, end


def test_entries_are_whole():
    for entry in ENTRIES:
        assert entry.keys() >= FIELDS, entry
        assert entry["gives"] in ("right", "harmless", "not offered"), entry
        assert ("why" in entry) == (entry["gives"] != "right"), entry
        assert ("on" in entry) == ("attribute" in entry), entry
    with_something = {name for entry in ENTRIES for name in entry["package"].split(", ")}
    assert not with_something & SURVEY["searched"].keys()
    assert all(SURVEY["searched"].values())


@pytest.mark.parametrize("entry", LOOKED_UP, ids=label)
def test_the_name_is_there(impl, run, entry):
    """asyncio has each; cloop has those that are not said to be missing, and not the others."""

    async def main():
        objects, end = await live_objects(impl)
        try:
            owner, name = objects[entry["on"]], entry["attribute"]
            if impl.is_cloop and entry["gives"] == "not offered":
                assert not hasattr(owner, name)
                return
            value = getattr(owner, name)
            if entry.get("writes"):
                setattr(owner, name, value)
                assert getattr(owner, name) == value
        finally:
            await end()

    run(main())


def test_what_a_reader_holds(run):
    """`reader._buffer` as redis uses it: whether something has come that nobody has read."""

    async def main():
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=here)
        found = [bool(reader._buffer)]
        there.sendall(b"one\r\ntwo\r\n")
        found.append(await reader.readline())
        found.append(bytes(reader._buffer))
        found.append(await reader.readline())
        found.append(len(reader._buffer))
        writer.close()
        await writer.wait_closed()
        there.close()
        return found

    assert run(main()) == [False, b"one\r\n", b"two\r\n", b"two\r\n", 0]


def test_waiting_for_data(run):
    """`reader._wait_for_data` as Telethon uses it: it returns when something has come, and takes nothing."""

    async def main():
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=here)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader._wait_for_data("proxy"), 0.01)
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, there.sendall, b"word")
        await asyncio.wait_for(reader._wait_for_data("proxy"), 10)
        word = await reader.readexactly(4)
        loop.call_later(0.01, there.close)
        await asyncio.wait_for(reader._wait_for_data("proxy"), 10)
        at_eof = reader.at_eof()
        writer.close()
        await writer.wait_closed()
        return word, at_eof

    assert run(main()) == (b"word", True)


def test_tls_by_a_protocol_of_asyncio(run, impl):
    """`asyncio.sslproto.SSLProtocol` as pproxy uses it, with a transport of its own over another stream."""
    from tests.net.tls import client_context, server_context

    async def main():
        loop = asyncio.get_running_loop()
        received = loop.create_future()

        class Below(asyncio.Transport):
            peer = None

            def write(self, data):
                loop.call_soon(self.pass_on, bytes(data))

            def pass_on(self, data):
                buffer = self.peer.get_buffer(len(data))
                buffer[: len(data)] = data
                self.peer.buffer_updated(len(data))

            def close(self):
                pass

            def _force_close(self, exc):
                pass

            abort = close

        class Server(asyncio.Protocol):
            def data_received(self, data):
                received.set_result(data)

        make = asyncio.sslproto.SSLProtocol
        connected = loop.create_future()
        client = make(loop, asyncio.Protocol(), client_context(), connected, False, "localhost")
        server = make(loop, Server(), server_context(), loop.create_future(), True)
        for one, other in ((client, server), (server, client)):
            transport = Below()
            transport.peer = other
            one.connection_made(transport)
        await asyncio.wait_for(connected, 10)
        client._app_transport.write(b"word")
        word = await asyncio.wait_for(received, 10)
        for one in (client, server):
            one._app_transport.abort()
        return word

    assert run(main()) == b"word"
