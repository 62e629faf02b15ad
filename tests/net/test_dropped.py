"""Loops that are forgotten with connections open: the collector finds everything, and it is closed."""

import asyncio
import contextlib
import socket
import types
import weakref

import pytest

from tests.support import collect_garbage

from .pipes import open_pipe
from .protocols import fill

pytestmark = pytest.mark.filterwarnings("ignore:unclosed")


class Holder(asyncio.Protocol):
    """In a cycle with its transport and the loop; receives datagrams as well."""

    def __init__(self, loop):
        self.loop = loop

    def connection_made(self, transport):
        self.transport = transport


async def stream(loop, holder):
    left, right = socket.socketpair()
    await loop.create_connection(lambda: holder, sock=left)
    return right


async def stream_that_waits(loop, holder):
    """Its buffer is full, and nobody reads."""
    right = await stream(loop, holder)
    fill(holder.transport)
    holder.transport.pause_reading()
    return right


async def stream_that_closes(loop, holder):
    right = await stream_that_waits(loop, holder)
    holder.transport.close()
    return right


async def server(loop, holder):
    holder.transport = await loop.create_server(lambda: holder, "127.0.0.1", 0)


async def server_with_a_client(loop, holder):
    listening = await loop.create_server(lambda: holder, "127.0.0.1", 0)
    client = socket.create_connection(listening.sockets[0].getsockname())
    while not hasattr(holder, "transport"):
        await asyncio.sleep(0)
    return client


async def datagrams(loop, holder):
    await loop.create_datagram_endpoint(lambda: holder, local_addr=("127.0.0.1", 0))


async def reading_pipe(loop, holder):
    reader, writer = open_pipe()
    await loop.connect_read_pipe(lambda: holder, reader)
    return writer


async def writing_pipe(loop, holder):
    reader, writer = open_pipe()
    await loop.connect_write_pipe(lambda: holder, writer)
    fill(holder.transport)
    return reader


OWNERS = [
    stream,
    stream_that_waits,
    stream_that_closes,
    server,
    server_with_a_client,
    datagrams,
    reading_pipe,
    writing_pipe,
]


@pytest.mark.parametrize("closes", [True, False], ids=["loop closed", "loop open"])
@pytest.mark.parametrize("open_one", OWNERS)
def test_everything_is_collected(impl, open_one, closes):
    """The fixture that looks for open descriptors sees that they are closed."""
    loop = impl.new_event_loop()
    holder = Holder(loop)
    other_end = loop.run_until_complete(open_one(loop, holder))
    references = [weakref.ref(each) for each in (loop, holder, holder.transport)]
    if closes:
        loop.close()
    del loop, holder
    collect_garbage()
    assert [reference() for reference in references] == [None, None, None]
    if other_end is not None:
        other_end.close()


# Whatever they say: those of asyncio raise AttributeError in places.
USES = {
    "close": (),
    "abort": (),
    "write": (b"x",),
    "writelines": ([b"x"],),
    "sendto": (b"x",),
    "write_eof": (),
    "pause_reading": (),
    "resume_reading": (),
    "set_write_buffer_limits": (10,),
    "get_write_buffer_size": (),
    "is_reading": (),
    "is_closing": (),
    "is_serving": (),
    "get_loop": (),
    "close_clients": (),
    "abort_clients": (),
    "get_extra_info": ("peername",),
    "set_protocol": (asyncio.Protocol(),),
    "__repr__": (),
}


@types.coroutine
def pause():
    yield


async def use_at_the_end(holder, name, seen):
    try:
        await pause()
    finally:
        with contextlib.suppress(Exception):
            getattr(holder.transport, name)(*USES[name])
        seen.append(name)


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("closes", [True, False], ids=["loop closed", "loop open"])
@pytest.mark.parametrize("open_one", OWNERS)
def test_used_by_another_finalizer(impl, open_one, closes, name, error_log):
    """A coroutine of the same garbage goes on to its end after the transport's own finalizer."""
    loop = impl.new_event_loop()
    holder = Holder(loop)
    other_end = loop.run_until_complete(open_one(loop, holder))
    seen = []
    holder.user = use_at_the_end(holder, name, seen)
    holder.user.send(None)
    if closes:
        loop.close()
    del loop, holder
    collect_garbage()
    assert seen == [name]
    if other_end is not None:
        other_end.close()
    error_log.clear()
