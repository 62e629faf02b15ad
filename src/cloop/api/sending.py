"""sendfile and sock_sendfile: by sendfile(2), or by reading and writing where the system can't.

What is asyncio's own for any loop is taken from there, as the running version has it: the checks of
arguments, the choice between the two ways, and the second way of sock_sendfile.

Derived from CPython's asyncio/unix_events.py and selector_events.py (PSF License Agreement).
"""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from asyncio import SelectorEventLoop, base_events, constants
from asyncio.base_events import BaseEventLoop
from asyncio.exceptions import SendfileNotAvailableError
from typing import IO, TYPE_CHECKING, Any

from cloop.api import socketfile, sockio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloop.loop import Loop
    from cloop.transports.stream import StreamTransport

asyncio_loop: Any = BaseEventLoop
unix_loop: Any = SelectorEventLoop
fallback_protocol: Any = vars(base_events)["_SendfileFallbackProtocol"]

sock_sendfile = asyncio_loop.sock_sendfile

# Bug fixes of 3.13 and 3.14 move the file's position also where nothing was sent.
ALWAYS_SEEKS = unix_loop._sock_sendfile_update_filepos.__code__.co_argcount == 3
NO_SENDFILE = constants._SendfileMode.UNSUPPORTED
TRY_NATIVE = constants._SendfileMode.TRY_NATIVE
# What the second way reads of a file in one go, and asyncio for sock_sendfile.
READ_AT_ONCE = constants.SENDFILE_FALLBACK_READBUFFER_SIZE
# On 32-bit systems a larger one does not fit.
MAX_BLOCK = sys.maxsize // 2 + 1


def check_params(loop: Loop, sock: socket.socket | None, file: Any, offset: object, count: object) -> None:
    """TypeError or ValueError for what can't be sent; None stands for a stream of any kind."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if sock is not None and sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    if count is not None:
        check_number(count, 1, f"count must be a positive integer (got {count!r})")
    check_number(offset, 0, f"offset must be a non-negative integer (got {offset!r})")


def check_number(number: object, least: int, message: str) -> None:
    """TypeError for what is no integer, ValueError for one that is too small."""
    if not isinstance(number, int):
        raise TypeError(message)
    if number < least:
        raise ValueError(message)


async def sendfile(
    loop: Loop,
    transport: Any,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool = True,
) -> int:
    """Send a file, from `offset` on and `count` bytes of it at most, after all that was written.

    Where sendfile(2) can't do it, the file is read and written, unless `fallback` is false. Returns how
    many bytes were sent; the file stands behind them. Raises SendfileNotAvailableError, RuntimeError for
    a transport that is closing or can't do this, OSError where the connection or the file fails.
    """
    # Those of a subclass, perhaps.
    methods: Any = loop
    native: Callable[..., Awaitable[int]] = methods._sendfile_native
    by_writing: Callable[..., Awaitable[int]] = methods._sendfile_fallback
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", NO_SENDFILE)
    if mode is NO_SENDFILE:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    check_params(loop, None, file, offset, count)
    if mode is TRY_NATIVE:
        try:
            return await native(transport, file, offset, count)
        except SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise SendfileNotAvailableError(
            f"fallback is disabled and native sendfile is not supported for transport {transport!r}"
        )
    return await by_writing(transport, file, offset, count)


async def sendfile_fallback(
    loop: Loop, transport: Any, file: IO[bytes], offset: int, count: int | None
) -> int:
    """The second way of sendfile.

    asyncio reads 16 KB at a time by the executor, which costs several times what the encryption does.
    """
    rewind(file)
    if offset and hasattr(file, "seek"):
        file.seek(offset)
    buffer = memoryview(bytearray(min(count or READ_AT_ONCE, READ_AT_ONCE)))
    writer = fallback_protocol(transport)
    total = 0
    try:
        while count is None or total < count:
            block = buffer if count is None else buffer[: count - total]
            size = await loop.run_in_executor(None, file.readinto, block)  # type: ignore[attr-defined]
            if not size:
                break
            transport.write(block[:size])
            await writer.drain()
            total += size
        return total
    finally:
        if total and hasattr(file, "seek"):
            file.seek(offset + total)
        await writer.restore()


async def sock_sendfile_fallback(
    loop: Loop, sock: socket.socket, file: IO[bytes], offset: int, count: int | None
) -> int:
    """The second way of sock_sendfile."""
    rewind(file)
    sent: int = await asyncio_loop._sock_sendfile_fallback(loop, sock, file, offset, count)
    return sent


def rewind(file: IO[bytes]) -> None:
    """Go to its beginning: up to early releases of 3.14 asyncio sends from where it stands."""
    if hasattr(file, "seek"):
        file.seek(0)


async def sock_sendfile_native(
    loop: Loop,
    sock: socket.socket,
    file: IO[bytes],
    offset: int,
    count: int | None,
    transport: StreamTransport | None = None,
) -> int:
    """Send a file by sendfile(2), to the socket of a transport if one is given. Returns how much was sent.

    Raises SendfileNotAvailableError where that can't be done, OSError where it fails in the middle.
    """
    fileno, size = regular_file(file)
    if not (count or size):
        return 0
    total = 0
    waited = False
    try:
        while True:
            block = min(count - total if count else size, MAX_BLOCK)
            try:
                sent = socketfile.sendfile(sock.fileno(), fileno, offset + total, block)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                error = error_of(exc, waited, total)
                if error is exc:
                    raise
                raise error from exc
            else:
                total += sent
                if not sent or total == count:
                    return total
            waited = True
            await wait_writable(loop, sock, transport)
    finally:
        if total or ALWAYS_SEEKS:
            os.lseek(fileno, offset + total, os.SEEK_SET)


def regular_file(file: IO[bytes]) -> tuple[int, int]:
    """The descriptor of a file and its size. Raises SendfileNotAvailableError."""
    if not hasattr(os, "sendfile"):
        raise SendfileNotAvailableError("os.sendfile() is not available")
    try:
        fileno = file.fileno()
        return fileno, os.fstat(fileno).st_size
    except (AttributeError, io.UnsupportedOperation, OSError):
        raise SendfileNotAvailableError("not a regular file") from None


def error_of(exc: OSError, waited: bool, total: int) -> Exception:
    """What an error of sendfile(2) means to the caller."""
    if total == 0:
        # Most likely a file that can't be mapped; reading and sending may do.
        return SendfileNotAvailableError("os.sendfile call failed")
    if waited and exc.errno == errno.ENOTCONN and type(exc) is not ConnectionError:
        # The connection was closed in the middle; so systems agree on what is raised.
        return ConnectionError("socket is not connected", errno.ENOTCONN)
    return exc


async def wait_writable(loop: Loop, sock: socket.socket, transport: StreamTransport | None) -> None:
    """Wait until the socket takes more; a transport ends the wait when it loses the connection."""
    operation = sockio.writable(loop, sock, transport is not None)
    if transport is not None:
        transport._wait_with(operation)
    await operation


async def sendfile_native(
    loop: Loop,
    transport: StreamTransport,
    file: IO[bytes],
    offset: int,
    count: int | None,
) -> int:
    """Send a file after all that was written to a transport, which writes and reads nothing meanwhile."""
    resume_reading = transport.is_reading()
    drained = transport._make_empty_waiter()
    transport.pause_reading()
    try:
        await drained
        sock = transport._sock
        if sock is None:
            raise ConnectionError("Connection is closed by peer")
        return await sock_sendfile_native(loop, sock, file, offset, count, transport)
    finally:
        transport._reset_empty_waiter()
        if resume_reading:
            transport.resume_reading()
