"""asyncio's streams, with what they receive in compiled buffers.

A reader here is an asyncio.StreamReader whose data is in an Intake (transports/intake), to which the
transport gives it without a call in between; a writer is an asyncio.StreamWriter with a shorter
drain(). Neither has another layout than asyncio's class, so that

    asyncio.open_connection, start_server, open_unix_connection, start_unix_server

get them too on a loop of cloop's: they make asyncio's own objects, and `equipped` changes the class of
these before the connection is made. Nothing of asyncio's is replaced, and no other loop is affected.
That is done for objects of exactly asyncio's own classes that those four functions have made, unless
somebody has replaced a method that ours would hide. What programs make by themselves, subclasses and
protocols made by hand, is left as it is.

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

from cloop.transports.intake import Intake

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseProtocol, Server, Transport
    from collections.abc import Awaitable, Callable

    from cloop.loop import Loop

    ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

_P = TypeVar("_P", bound="BaseProtocol")

DEFAULT_LIMIT = 2**16
TAKES_SEVERAL_SEPARATORS = sys.version_info >= (3, 13)


def kept(name: str) -> Any:
    """A property that is kept in the intake."""

    def get(reader: StreamReader) -> Any:
        return getattr(reader._intake, name)

    def set(reader: StreamReader, value: Any) -> None:
        setattr(reader._intake, name, value)

    return property(get, set)


class StreamReader(asyncio.StreamReader):
    """asyncio.StreamReader, whose data is in an Intake."""

    _intake: Intake

    # What asyncio's methods, and libraries, know of it.
    _limit = kept("_limit")
    _loop = kept("_loop")
    _buffer = kept("_buffer")
    _eof = kept("_eof")
    _waiter = kept("_waiter")
    _exception = kept("_exception")
    _transport = kept("_transport")
    _paused = kept("_paused")

    def __init__(self, limit: int = DEFAULT_LIMIT, loop: AbstractEventLoop | None = None) -> None:
        self._intake = Intake(DEFAULT_LIMIT, None)
        self._intake.belong(self)
        super().__init__(limit, loop)

    def feed_data(self, data: bytes) -> None:
        """Add what has come."""
        self._intake.feed(data)

    def at_eof(self) -> bool:
        """Whether all was read and the end of file has come."""
        return self._intake.at_eof()

    def exception(self) -> BaseException | None:
        """What set_exception() was called with, or None."""
        return self._intake._exception

    def _maybe_resume_transport(self) -> None:
        self._intake.resume()

    async def _wait_for_data(self, func_name: str) -> None:
        await self._intake.wait(func_name, 0)

    async def readline(self) -> bytes:
        """Read up to a newline, which is part of the result; at the end of file what there is.

        Raises ValueError for a line that is longer than the limit, of which nothing is left to read;
        and what set_exception() was called with.
        """
        intake = self._intake
        while (line := intake.readline()) is None:
            await intake.wait("readuntil", 0)
        return line

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """Read up to a separator, which is part of the result. From 3.13 on it may be a tuple of several.

        Raises IncompleteReadError at the end of file, LimitOverrunError for data that is longer than the
        limit, which is left to be read; and what set_exception() was called with.
        """
        if TAKES_SEVERAL_SEPARATORS and isinstance(separator, tuple):
            separators = sorted(separator, key=len)
            if not separators:
                raise ValueError("Separator should contain at least one element")
        else:
            separators = [separator]
        if len(separators[0]) == 0:
            raise ValueError("Separator should be at least one-byte string")
        intake = self._intake
        data: bytes | int = 0
        while isinstance(data := intake.readuntil(separators, data), int):
            await intake.wait("readuntil", 0)
        return data

    async def read(self, n: int = -1) -> bytes:
        """Read up to `n` bytes, as many as there are; without `n`, up to the end of file.

        Returns b"" at the end of file. Raises what set_exception() was called with.
        """
        if n < 0:
            return await self._read_all()
        intake = self._intake
        data = intake.read(n)
        if data is None:
            await intake.wait("read", n)
            data = intake.take(n)
        return data

    async def _read_all(self) -> bytes:
        blocks = []
        # Taken as it comes, as asyncio does: reading is not paused, and what a read that is cancelled
        # has taken is gone.
        while block := await self.read(sys.maxsize):
            blocks.append(block)
        return b"".join(blocks)

    async def readexactly(self, n: int) -> bytes:
        """Read `n` bytes.

        Raises IncompleteReadError if the end of file comes before, and what set_exception() was called
        with.
        """
        intake = self._intake
        while (data := intake.readexactly(n)) is None:
            await intake.wait("readexactly", n, True)
        return data


class StreamWriter(asyncio.StreamWriter):
    """asyncio.StreamWriter, with a shorter way through drain()."""

    async def drain(self) -> None:
        """Wait until it is appropriate to write more.

        Raises what was set on the reader, ConnectionResetError once the connection is lost.
        """
        reader = self._reader
        if reader is not None:
            exception = reader.exception()
            if exception is not None:
                raise exception
        if self._transport.is_closing():
            # One turn, for connection_lost() to be called.
            await asyncio.sleep(0)
        protocol = self._protocol
        if protocol._paused or protocol._connection_lost:
            await protocol._drain_helper()


# ---- For asyncio's functions

SWITCHED_ON = os.environ.get("CLOOP_STREAMS") != "asyncio"

# Methods of asyncio's that ours hide.
HIDDEN = [
    (base, name, vars(base)[name])
    for base, ours in ((asyncio.StreamReader, StreamReader), (asyncio.StreamWriter, StreamWriter))
    for name in vars(base).keys() & vars(ours).keys()
    if not name.startswith("__")
]


def equipped(loop: Loop, protocol_factory: Callable[[], _P]) -> Callable[[], _P]:
    """A factory of streams that are equipped, if it is one of asyncio's four functions'; else itself."""
    if getattr(protocol_factory, "__globals__", None) is not vars(streams) or not loop.equips_streams:
        return protocol_factory
    if any(vars(base).get(name) is not method for base, name, method in HIDDEN):
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
    reader = protocol._stream_reader
    if type(reader) is not asyncio.StreamReader:
        return
    intake = Intake(reader._limit, reader._loop)
    intake.belong(reader)
    attributes = vars(reader)
    for name in ("_limit", "_loop", "_buffer", "_eof", "_waiter", "_exception", "_transport", "_paused"):
        del attributes[name]
    reader.__class__ = StreamReader
    reader._intake = intake
    if protocol._client_connected_cb is not None:
        protocol._client_connected_cb = with_writer(protocol._client_connected_cb)


def with_writer(client_connected_cb: ClientConnected) -> ClientConnected:
    """Change the class of the writer that a callback is called with."""

    def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None] | None:
        if type(writer) is asyncio.StreamWriter:
            writer.__class__ = StreamWriter
        return client_connected_cb(reader, writer)

    return callback
