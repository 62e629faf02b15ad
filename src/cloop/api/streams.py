"""asyncio's streams, with what they receive in compiled buffers.

A reader here is an asyncio.StreamReader whose data is in an Intake (transports/intake), to which the
transport gives it without a call in between; a writer is an asyncio.StreamWriter with a shorter
drain(). Neither has another layout than asyncio's class, so asyncio's own objects can become them; one
that is made as ours from the start has its attributes in slots and is faster still. That is how

    asyncio.open_connection, start_server, open_unix_connection, start_unix_server

get them on a loop of cloop's: they make asyncio's objects, of which the loop is given the protocol,
and the factory that `factory_for` gives for theirs sees to its reader before the connection is made. A
server's function has its factory made by one here, with the same arguments. A client's reader is the
function's already, and changes its class; its writer is made by the function once the loop has
connected, and known to nobody else. But StreamWriter.__init__() asks the loop for a future, as the
first thing that happens then: `equip_writer` looks who asks.

The readers of asyncio.create_subprocess_exec and create_subprocess_shell change theirs before anybody
has seen them (`equip_child`).

What a program replaces on one of these objects later is called, as asyncio would call it (api/replaced).
Nothing of asyncio's is replaced, and no other loop is affected. All this is done for objects of exactly
asyncio's own classes that those functions have made, unless somebody has replaced a method that ours
would hide. What programs make by themselves, subclasses and protocols made by hand, is left as it
is. The functions of the four names below do without the loop's help, and on other loops do what
asyncio's do.

Switched off by `loop.equips_streams = False`, and for all loops of a process that is started with
CLOOP_STREAMS=asyncio in its environment.

Derived from CPython's asyncio/streams.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import base_subprocess, streams
from asyncio import subprocess as subprocesses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from cloop import _settings
from cloop.api.replaced import (
    CALLED_ON_READERS,
    ReadSubprocessPipeProto,
    StreamReaderProtocol,
    SubprocessStreamProtocol,
)
from cloop.api.streamio import (
    DEFAULT_LIMIT,
    KEPT,
    SlottedReader,
    SlottedWriter,
    StreamReader,
    StreamWriter,
)
from cloop.transports.intake import Intake
from cloop.transports.pipe import receive_into

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseProtocol, Server
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from types import ModuleType

    from cloop.api.hints import UnixPath
    from cloop.loop import Loop

    _ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

_P = TypeVar("_P", bound="BaseProtocol")

# ---- For asyncio's functions

SWITCHED_ON = _settings.IN_EFFECT["CLOOP_STREAMS"] == "cloop"

# As they are, unless somebody replaces them.
READER = streams.StreamReader
PROTOCOL = streams.StreamReaderProtocol
CHILD_PROTOCOL = subprocesses.SubprocessStreamProtocol


def names_in_both(base: type, ours: type) -> set[str]:
    """The methods of asyncio's class that ours hides."""
    return {name for name in vars(base).keys() & vars(ours).keys() if not name.startswith("__")}


def methods(owner: type, names: Iterable[str]) -> tuple[type, attrgetter[Any], Any]:
    """Several methods of a class, how to get them, and what they are now."""
    getter = attrgetter(*names)
    return owner, getter, getter(owner)


# Methods of asyncio's that ours hide or do not call; those that a protocol is given what comes by are looked
# at where it is given that.
HIDDEN = [
    methods(READER, {*names_in_both(READER, StreamReader), *CALLED_ON_READERS}),
    methods(asyncio.StreamWriter, names_in_both(asyncio.StreamWriter, StreamWriter)),
    methods(PROTOCOL, ["_drain_helper", "_stream_reader"]),
]
# The way of a child's output.
PASSED = [
    methods(CHILD_PROTOCOL, ["pipe_data_received"]),
    methods(base_subprocess.BaseSubprocessTransport, ["_pipe_data_received", "_call"]),
    methods(base_subprocess.ReadSubprocessPipeProto, ["data_received"]),
]


def equips(loop: AbstractEventLoop) -> bool:
    """Whether streams of the loop are to be equipped."""
    if not getattr(loop, "equips_streams", False):
        return False
    return are_asyncios(HIDDEN)


def are_asyncios(known: list[tuple[type, attrgetter[Any], Any]]) -> bool:
    """Whether nobody has replaced one of these methods of asyncio's classes."""
    for owner, getter, originals in known:
        try:
            if getter(owner) != originals:
                return False
        except AttributeError:
            return False
    return True


def factory_for(loop: Loop, protocol_factory: Callable[[], _P]) -> Callable[[], _P]:
    """A factory of streams that are equipped, if it is one of asyncio's four functions'; else itself."""
    if not is_asyncios(loop, protocol_factory, streams):
        return protocol_factory
    arguments = arguments_of(protocol_factory)
    if arguments.keys() == {"client_connected_cb", "limit", "loop"}:
        # A server's, which has what it makes for each client from these.
        return server_factory(**arguments)  # type: ignore[return-value]

    def factory() -> _P:
        protocol = protocol_factory()
        equip(protocol)
        return protocol

    return factory


def arguments_of(factory: Any) -> dict[str, Any]:
    """What a function knows of the function that has made it."""
    cells = getattr(factory, "__closure__", None) or ()
    return {name: cell.cell_contents for name, cell in zip(factory.__code__.co_freevars, cells, strict=True)}


def is_asyncios(loop: Loop, protocol_factory: Callable[[], Any], module: ModuleType) -> bool:
    """Whether a factory is of that module, and the streams it makes are to be equipped."""
    return getattr(protocol_factory, "__globals__", None) is vars(module) and equips(loop)


def equip(protocol: BaseProtocol) -> None:
    """Equip the reader that a client's protocol of asyncio's feeds, which is the function's already."""
    if type(protocol) is not PROTOCOL:
        return
    # What is private is unknown to type checkers.
    inner: Any = protocol
    if is_plain(inner._stream_reader, READER):
        become_ours(inner._stream_reader)
        inner.__class__ = StreamReaderProtocol


def is_plain(instance: object, kind: type) -> bool:
    """Whether it is of that very class."""
    return type(instance) is kind


def become_ours(reader: Any) -> Intake:
    """Change the class of a reader that somebody has already; returns what its data is in from now on."""
    intake = Intake(reader._limit, reader._loop)
    attributes = vars(reader)
    for name, inner in KEPT.items():
        value = attributes.pop(name)
        # Else it is what an intake begins with.
        if value:
            setattr(intake, inner, value)
    reader.__class__ = StreamReader
    reader._intake = intake
    intake.belong(reader)
    return intake


def equip_child(loop: Loop, protocol_factory: Callable[[], Any], protocol: Any, transport: Any) -> bool:
    """Change the class of the readers of a child's output, and have its pipes give them what comes.

    That is what the child's protocol does with it, a turn later. Returns whether that is so.
    """
    if type(protocol) is not CHILD_PROTOCOL or "pipe_data_received" in vars(protocol):
        return False
    if not are_asyncios(PASSED) or not is_asyncios(loop, protocol_factory, subprocesses):
        return False
    for fd, reader in ((1, protocol.stdout), (2, protocol.stderr)):
        if is_plain(reader, asyncio.StreamReader):
            intake = become_ours(reader)
            pipe = transport.get_pipe_transport(fd)
            pipe_protocol: Any = pipe.get_protocol()
            if is_plain(pipe_protocol, base_subprocess.ReadSubprocessPipeProto) and receive_into(
                pipe, intake
            ):
                pipe_protocol.__class__ = ReadSubprocessPipeProto
    protocol.__class__ = SubprocessStreamProtocol
    return True


class Retired(asyncio.StreamWriter):
    """A writer in whose place there is another one, which the transport is left to."""

    def __del__(self, warnings: Any = None) -> None:
        pass


def with_writer(client_connected_cb: _ClientConnected) -> _ClientConnected:
    """The callback, called with a writer of ours in the place of asyncio's, which nobody has yet."""

    def callback(reader: asyncio.StreamReader, writer: Any) -> Awaitable[None] | None:
        if is_plain(writer, asyncio.StreamWriter):
            protocol = writer._protocol
            ours = SlottedWriter(writer._transport, protocol, reader, writer._loop)
            writer.__class__ = Retired
            if getattr(protocol, "_stream_writer", None) is writer:
                protocol._stream_writer = ours
            writer = ours
        return client_connected_cb(reader, writer)

    return callback


def equip_writer(protocol: BaseProtocol) -> None:
    """Change the class of the writer that a client's protocol is for.

    To be called by what StreamWriter.__init__ of asyncio's calls; anybody else's call changes nothing.
    It saves 18 % of the instructions of a client that writes, drains and reads 100 bytes (14,000 for
    17,100), and 2.4 % of redis-py's for a GET (155,100 for 158,900); where ten are sent together nothing
    (CPython 3.13).
    """
    caller = sys._getframe(1)
    if caller.f_code is not asyncio.StreamWriter.__init__.__code__:
        return
    arguments = caller.f_locals
    if arguments["protocol"] is protocol and is_plain(arguments["self"], asyncio.StreamWriter):
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


def streams_are_plain() -> bool:
    """Whether the classes that asyncio's functions make are its own."""
    return streams.StreamReader is READER and streams.StreamReaderProtocol is PROTOCOL


def make_reader(loop: AbstractEventLoop, limit: int) -> asyncio.StreamReader:
    """A reader, of ours where the loop's are to be equipped."""
    if not equips(loop) or not streams_are_plain():
        return streams.StreamReader(limit=limit, loop=loop)
    if limit <= 0 or loop.get_debug():
        # It raises, or notes who makes it.
        return SlottedReader(limit, loop)
    reader = SlottedReader.__new__(SlottedReader)
    reader._intake = intake = Intake(limit, loop)
    intake.belong(reader)
    return reader


def protocol_class(reader: asyncio.StreamReader) -> type[asyncio.StreamReaderProtocol]:
    """What feeds it: of ours if it is of ours."""
    return StreamReaderProtocol if type(reader) is SlottedReader else streams.StreamReaderProtocol


def client_streams(
    loop: AbstractEventLoop, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    """A client's reader and the protocol that feeds it, which does not keep it."""
    reader = make_reader(loop, limit)
    return reader, protocol_class(reader)(reader, loop=loop)


def client_writer(
    transport: asyncio.WriteTransport,
    protocol: asyncio.StreamReaderProtocol,
    reader: asyncio.StreamReader,
    loop: AbstractEventLoop,
) -> asyncio.StreamWriter:
    """A client's writer, of ours if its reader is."""
    kind = SlottedWriter if type(reader) is SlottedReader else asyncio.StreamWriter
    return kind(transport, protocol, reader, loop)


def server_factory(
    loop: AbstractEventLoop, client_connected_cb: _ClientConnected, limit: int
) -> Callable[[], asyncio.StreamReaderProtocol]:
    """What makes a protocol for each client, as the one in asyncio.start_server."""
    with_our_writer = None if client_connected_cb is None else with_writer(client_connected_cb)

    def factory() -> asyncio.StreamReaderProtocol:
        reader = make_reader(loop, limit)
        callback = with_our_writer if type(reader) is SlottedReader else client_connected_cb
        return protocol_class(reader)(reader, callback, loop=loop)

    return factory
