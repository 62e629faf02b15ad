"""connect_read_pipe and connect_write_pipe.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

from asyncio.log import logger
from typing import TYPE_CHECKING, Any, TypeVar

from cloop.api.opening import Opening
from cloop.transports.pipe import ReadPipeTransport, WritePipeTransport

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future, ReadTransport, WriteTransport
    from collections.abc import Callable, Mapping

    from cloop.loop import Loop

_P = TypeVar("_P", bound="BaseProtocol")


async def connect_read_pipe(
    loop: Loop, protocol_factory: Callable[[], _P], pipe: Any
) -> tuple[ReadTransport, _P]:
    """Read from the file object of a pipe, FIFO, terminal, character device or socket.

    Returns (transport, protocol). The descriptor is made non-blocking, and the transport closes the
    file. Raises ValueError for any other kind of file.
    """
    return await connect(loop, loop._make_read_pipe_transport, protocol_factory, pipe, "Read")


async def connect_write_pipe(
    loop: Loop, protocol_factory: Callable[[], _P], pipe: Any
) -> tuple[WriteTransport, _P]:
    """Write to the file object of a pipe and so on; otherwise as connect_read_pipe."""
    return await connect(loop, loop._make_write_pipe_transport, protocol_factory, pipe, "Write")


async def connect(
    loop: Loop, make: Callable[..., Any], protocol_factory: Callable[[], _P], pipe: Any, direction: str
) -> tuple[Any, _P]:
    """A protocol and the transport that `make` makes, once connection_made was called."""
    try:
        protocol = protocol_factory()
    except BaseException:
        pipe.close()
        raise
    opening = Opening(loop)
    transport = make(pipe, protocol, opening.waiter)
    await opening.wait(transport)
    if loop.get_debug():
        logger.debug("%s pipe %r connected: (%r, %r)", direction, pipe.fileno(), transport, protocol)
    return transport, protocol


def make_read_pipe_transport(
    loop: Loop,
    pipe: Any,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> ReadPipeTransport:
    """asyncio's private `_make_read_pipe_transport`."""
    return ReadPipeTransport(loop, pipe, protocol, waiter, extra)


def make_write_pipe_transport(
    loop: Loop,
    pipe: Any,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> WritePipeTransport:
    """asyncio's private `_make_write_pipe_transport`."""
    return WritePipeTransport(loop, pipe, protocol, waiter, extra)
