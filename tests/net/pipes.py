"""Pipe transports with the plain other end to drive them by."""

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator, Callable

from .protocols import Recorder


def open_pipe() -> tuple[io.FileIO, io.FileIO]:
    """The two ends of a pipe as files: to read from, to write to."""
    reading, writing = os.pipe()
    return open(reading, "rb", 0), open(writing, "wb", 0)


class Foreign:
    """Not one of the interpreter's files."""

    def __init__(self, file):
        self.file = file
        self.closed = 0

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.closed += 1
        self.file.close()


@contextlib.asynccontextmanager
async def read_pipe(factory: Callable[[], Recorder] = Recorder) -> AsyncIterator[tuple[Recorder, io.FileIO]]:
    """A protocol that reads a pipe, and the file that writes to it."""
    pipe, writer = open_pipe()
    with writer:
        transport, protocol = await asyncio.get_running_loop().connect_read_pipe(factory, pipe)
        try:
            yield protocol, writer
        finally:
            await end(transport, protocol)


@contextlib.asynccontextmanager
async def write_pipe(factory: Callable[[], Recorder] = Recorder) -> AsyncIterator[tuple[Recorder, io.FileIO]]:
    """A protocol that writes to a pipe, and the non-blocking file that reads from it."""
    reader, pipe = open_pipe()
    os.set_blocking(reader.fileno(), False)
    with reader:
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(factory, pipe)
        try:
            yield protocol, reader
        finally:
            await end(transport, protocol)


async def end(transport: asyncio.BaseTransport, protocol: Recorder) -> None:
    """End a transport of either kind unless it has ended."""
    if not protocol.lost.done():
        getattr(transport, "abort", transport.close)()
        async with asyncio.timeout(5):
            await protocol.lost


async def take_some(reader: io.FileIO, size: int = 1 << 20) -> bytes:
    """What a non-blocking file has, waiting for it if need be; b"" at the end."""
    async with asyncio.timeout(10):
        while (data := reader.read(size)) is None:
            await asyncio.sleep(0.0005)
    return data


async def take(reader: io.FileIO, size: int) -> bytes:
    """So many bytes, or all until the end of file."""
    data = bytearray()
    # In pieces: read() gets memory for all that it may return, and a debug CPython fills it with a pattern.
    while len(data) < size and (more := await take_some(reader, min(size - len(data), 1 << 20))):
        data += more
    return bytes(data)
