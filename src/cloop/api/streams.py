"""asyncio's streams, with what they receive in compiled buffers.

A reader here is an asyncio.StreamReader whose data is in an Intake (transports/intake), to which the
transport gives it without a call in between; a writer is an asyncio.StreamWriter with a shorter
drain(). Neither has another layout than asyncio's class, so asyncio's own objects can become them.
That is how

    asyncio.open_connection, start_server, open_unix_connection, start_unix_server

get them on a loop of cloop's: they make asyncio's objects, of which the loop is given the protocol,
and `equipped` changes the class of the reader before the connection is made. A server's protocol
hands the writer to a callback, which is where its class is changed. A client's is made by the function
once the loop has connected, and known to nobody else. But StreamWriter.__init__() asks the loop for a
future, as the first thing that happens then: `equip_writer` looks who asks.

Nothing of asyncio's is replaced, and no other loop is affected. All this is done for objects of exactly
asyncio's own classes that those four functions have made, unless somebody has replaced a method that
ours would hide. What programs make by themselves, subclasses and protocols made by hand, is left as it
is. The functions of the same names below do without the loop's help, and on other loops do what
asyncio's do.

Switched off by `loop.equips_streams = False`, and for all loops of a process that is started with
CLOOP_STREAMS=asyncio in its environment.

Derived from CPython's asyncio/streams.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import streams
from typing import TYPE_CHECKING, Any, TypeVar

from cloop.api.streamio import DEFAULT_LIMIT, KEPT, StreamReader, StreamWriter
from cloop.transports.intake import Intake

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseProtocol, Server
    from collections.abc import Awaitable, Callable, Sequence

    from cloop.api.hints import UnixPath
    from cloop.loop import Loop

    _ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

_P = TypeVar("_P", bound="BaseProtocol")

# ---- For asyncio's functions

SWITCHED_ON = os.environ.get("CLOOP_STREAMS") != "asyncio"

# Methods of asyncio's that ours hide.
HIDDEN = [
    (base, name, vars(base)[name])
    for base, ours in ((asyncio.StreamReader, StreamReader), (asyncio.StreamWriter, StreamWriter))
    for name in vars(base).keys() & vars(ours).keys()
    if not name.startswith("__")
]


def equips(loop: AbstractEventLoop) -> bool:
    """Whether streams of the loop are to be equipped."""
    if not getattr(loop, "equips_streams", False):
        return False
    return all(vars(base).get(name) is method for base, name, method in HIDDEN)


def equipped(loop: Loop, protocol_factory: Callable[[], _P]) -> Callable[[], _P]:
    """A factory of streams that are equipped, if it is one of asyncio's four functions'; else itself."""
    if getattr(protocol_factory, "__globals__", None) is not vars(streams) or not equips(loop):
        return protocol_factory

    def factory() -> _P:
        protocol = protocol_factory()
        equip(protocol)
        return protocol

    return factory


def equip(protocol: BaseProtocol) -> None:
    """Change the class of the streams that a protocol of asyncio's is for."""
    if type(protocol) is not asyncio.StreamReaderProtocol:
        return
    # What is private is unknown to type checkers.
    inner: Any = protocol
    if type(inner._stream_reader) is not asyncio.StreamReader:
        return
    reader: Any = inner._stream_reader
    intake = Intake(reader._limit, reader._loop)
    intake.belong(reader)
    attributes = vars(reader)
    for name in KEPT:
        del attributes[name]
    reader.__class__ = StreamReader
    reader._intake = intake
    if inner._client_connected_cb is not None:
        inner._client_connected_cb = with_writer(inner._client_connected_cb)


def with_writer(client_connected_cb: _ClientConnected) -> _ClientConnected:
    """Change the class of the writer that a callback is called with."""

    def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None] | None:
        if type(writer) is asyncio.StreamWriter:
            writer.__class__ = StreamWriter
        return client_connected_cb(reader, writer)

    return callback


def equip_writer(protocol: BaseProtocol) -> None:
    """Change the class of the writer that a client's protocol is for.

    To be called by what StreamWriter.__init__ of asyncio's calls; anybody else's call changes nothing.
    """
    caller = sys._getframe(1)
    if caller.f_code is not asyncio.StreamWriter.__init__.__code__:
        return
    arguments = caller.f_locals
    if arguments["protocol"] is protocol and type(arguments["self"]) is asyncio.StreamWriter:
        arguments["self"].__class__ = StreamWriter


# ---- The same functions


async def open_connection(
    host: str | None = None, port: int | str | None = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a TCP server. Returns (reader, writer).

    `limit`, in bytes, is the reader's: the longest line, and half of what it reads ahead. Further
    keywords are those of create_connection(), whose errors it raises. As asyncio.open_connection(),
    which makes the same streams on cloop's loops; on others, both make asyncio's.
    """
    loop = asyncio.get_running_loop()
    reader, protocol = client_streams(loop, limit)
    # typeshed knows fewer ways to call it than asyncio.
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)  # type: ignore[arg-type]
    return reader, client_writer(transport, protocol, reader, loop)


async def open_unix_connection(
    path: UnixPath | None = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As open_connection(), to the Unix server at `path`, by create_unix_connection()."""
    loop = asyncio.get_running_loop()
    reader, protocol = client_streams(loop, limit)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)  # type: ignore[arg-type]
    return reader, client_writer(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: _ClientConnected,
    host: str | Sequence[str] | None = None,
    port: int | str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """Serve TCP clients, each by `client_connected_cb(reader, writer)`. Returns a Server.

    What the callback returns runs as a task if it is a coroutine; an exception is reported to the
    loop's exception handler. `limit`, in bytes, is the readers'. Further keywords are those of
    create_server(), whose errors it raises. As asyncio.start_server(), which makes the same streams on
    cloop's loops; on others, both make asyncio's.
    """
    loop = asyncio.get_running_loop()
    factory = server_factory(loop, client_connected_cb, limit)
    return await loop.create_server(factory, host, port, **kwds)  # type: ignore[arg-type]


async def start_unix_server(
    client_connected_cb: _ClientConnected,
    path: UnixPath | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """As start_server(), at `path` of the file system, by create_unix_server()."""
    loop = asyncio.get_running_loop()
    factory = server_factory(loop, client_connected_cb, limit)
    return await loop.create_unix_server(factory, path, **kwds)  # type: ignore[arg-type]


def new_protocol(
    loop: AbstractEventLoop, reader: asyncio.StreamReader, client_connected_cb: _ClientConnected | None
) -> asyncio.StreamReaderProtocol:
    """The protocol that feeds a reader; both are equipped where the loop's are to be."""
    protocol = asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)
    if equips(loop):
        equip(protocol)
    return protocol


def client_streams(
    loop: AbstractEventLoop, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    """A client's reader and the protocol that feeds it, which does not keep it."""
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    return reader, new_protocol(loop, reader, None)


def client_writer(
    transport: asyncio.WriteTransport,
    protocol: asyncio.StreamReaderProtocol,
    reader: asyncio.StreamReader,
    loop: AbstractEventLoop,
) -> asyncio.StreamWriter:
    """A client's writer, equipped if its reader is."""
    kind = StreamWriter if type(reader) is StreamReader else asyncio.StreamWriter
    return kind(transport, protocol, reader, loop)


def server_factory(
    loop: AbstractEventLoop, client_connected_cb: _ClientConnected, limit: int
) -> Callable[[], asyncio.StreamReaderProtocol]:
    """What makes a protocol for each client."""

    def factory() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return new_protocol(loop, reader, client_connected_cb)

    return factory
