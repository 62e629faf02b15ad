"""sendfile and sock_sendfile: by sendfile(2), or by reading and writing where the system can't.

What is asyncio's own for any loop is taken from there, as the running version has it: the checks of
arguments, the choice between the two ways, and the second way.

Derived from CPython's asyncio/unix_events.py and selector_events.py (PSF License Agreement).
"""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from asyncio import SelectorEventLoop
from asyncio.base_events import BaseEventLoop
from asyncio.exceptions import SendfileNotAvailableError
from typing import IO, TYPE_CHECKING, Any

from cloop.api import sockio
from cloop.transports.tls import TlsTransport

if TYPE_CHECKING:
    from cloop.loop import Loop
    from cloop.transports.stream import StreamTransport

asyncio_loop: Any = BaseEventLoop
unix_loop: Any = SelectorEventLoop

sendfile = asyncio_loop.sendfile
sock_sendfile = asyncio_loop.sock_sendfile
check_params = asyncio_loop._check_sendfile_params
sendfile_fallback = asyncio_loop._sendfile_fallback
sock_sendfile_fallback = asyncio_loop._sock_sendfile_fallback

# Bug fixes of 3.13 and 3.14 move the file's position also where nothing was sent.
ALWAYS_SEEKS = unix_loop._sock_sendfile_update_filepos.__code__.co_argcount == 3
# On 32-bit systems a larger one does not fit.
MAX_BLOCK = sys.maxsize // 2 + 1


async def sock_sendfile_native(
    loop: Loop,
    sock: socket.socket,
    file: IO[bytes],
    offset: int,
    count: int | None,
    transport: StreamTransport | TlsTransport | None = None,
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
                sent = os.sendfile(sock.fileno(), fileno, offset + total, block)
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


async def wait_writable(
    loop: Loop, sock: socket.socket, transport: StreamTransport | TlsTransport | None
) -> None:
    """Wait until the socket takes more; a transport ends the wait when it loses the connection."""
    operation = sockio.writable(loop, sock, transport is not None)
    if transport is not None:
        transport._wait_with(operation)
    await operation
    if isinstance(transport, TlsTransport) and transport.is_closing():
        raise ConnectionError("Connection is closed by peer")


async def sendfile_native(
    loop: Loop,
    transport: StreamTransport | TlsTransport,
    file: IO[bytes],
    offset: int,
    count: int | None,
) -> int:
    """Send a file after all that was written to a transport, which writes and reads nothing meanwhile.

    TLS does it where the kernel encrypts.
    """
    resume_reading = transport.is_reading()
    drained = transport._make_empty_waiter()
    transport.pause_reading()
    try:
        await drained
        below = transport._transport if isinstance(transport, TlsTransport) else transport
        sock = None if below is None else below._sock
        if sock is None:
            raise ConnectionError("Connection is closed by peer")
        check_params(loop, sock, file, offset, count)
        return await sock_sendfile_native(loop, sock, file, offset, count, transport)
    finally:
        transport._reset_empty_waiter()
        if resume_reading:
            transport.resume_reading()
