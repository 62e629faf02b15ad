"""create_datagram_endpoint: resolve, open, bind and connect, wrap.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import socket
import sys
from asyncio.base_events import _set_reuseport  # type: ignore[attr-defined]
from asyncio.log import logger
from typing import TYPE_CHECKING, Any, TypeVar

from cloop.api import dns, socketfile
from cloop.api.opening import Opening
from cloop.transports.base import is_claimed
from cloop.transports.datagram import DatagramTransport

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future
    from collections.abc import Callable, Mapping, Sequence

    from cloop.loop import Loop

_P = TypeVar("_P", bound="BaseProtocol")

# A family and protocol, and what to bind to and connect to in them.
Candidate = tuple[tuple[int, int], Any]

# Until 3.12 only datagram sockets were let in, from then on all but stream sockets.
ONLY_DATAGRAMS = sys.version_info < (3, 13)


async def create_datagram_endpoint(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    local_addr: tuple[str, int] | str | None = None,
    remote_addr: tuple[str, int] | str | None = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: socket.socket | None = None,
) -> tuple[DatagramTransport, _P]:
    """Open a datagram socket, or use `sock`.

    It is bound to `local_addr` and connected to `remote_addr`, where these are given: a host and a
    port, or a path with `family` AF_UNIX, from which the socket that an earlier process has left is
    removed. With `allow_broadcast` it is not connected, but `remote_addr` is where datagrams go.
    Returns (transport, protocol). Raises OSError where no address can be used.
    """
    own = sock is None
    address = None
    if sock is not None:
        check_socket(
            sock,
            local_addr=local_addr,
            remote_addr=remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
        )
        sock.setblocking(False)
    else:
        candidates = await find_candidates(loop, local_addr, remote_addr, family, proto, flags)
        use = (bool(local_addr), bool(remote_addr))
        sock, address = await open_any(loop, candidates, use, reuse_port, allow_broadcast)
    transport, protocol = await wrap(loop, sock, protocol_factory, address, own)
    if loop.get_debug():
        if local_addr:
            logger.info(
                "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
                local_addr,
                remote_addr,
                transport,
                protocol,
            )
        else:
            logger.debug(
                "Datagram endpoint remote_addr=%r created: (%r, %r)", remote_addr, transport, protocol
            )
    return transport, protocol


def check_socket(sock: socket.socket, **options: object) -> None:
    """ValueError for a socket of another type, and for arguments that only a new one can follow."""
    if ONLY_DATAGRAMS:
        if sock.type != socket.SOCK_DGRAM:
            raise ValueError(f"A UDP Socket was expected, got {sock!r}")
    elif sock.type == socket.SOCK_STREAM:
        raise ValueError(f"A datagram socket was expected, got {sock!r}")
    problems = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    if problems:
        raise ValueError(
            f"socket modifier keyword arguments can not be used when sock is specified. ({problems})"
        )


# ---- Resolve


async def find_candidates(
    loop: Loop, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
) -> Sequence[Candidate]:
    """The families that have all the addresses that are asked for."""
    if not (local_addr or remote_addr):
        if family == 0:
            raise ValueError("unexpected address family")
        return [((family, proto), (None, None))]
    if family == socket.AF_UNIX:
        for address in (local_addr, remote_addr):
            if address is not None and not isinstance(address, str):
                raise TypeError("string is expected")
        return [((family, proto), (local_addr, remote_addr))]
    found: dict[tuple[int, int], list[Any]] = {}
    for i, address in enumerate((local_addr, remote_addr)):
        if address is None:
            continue
        if not (isinstance(address, tuple) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        options = {"family": family, "type": socket.SOCK_DGRAM, "proto": proto, "flags": flags}
        infos = await dns.ensure_resolved(loop, address, **options)
        if not infos:
            raise OSError("getaddrinfo() returned empty list")
        for its_family, _, its_proto, _, resolved in infos:
            found.setdefault((its_family, its_proto), [None, None])[i] = resolved
    whole = [
        (key, pair)
        for key, pair in found.items()
        if not ((local_addr and pair[0] is None) or (remote_addr and pair[1] is None))
    ]
    if not whole:
        raise ValueError("can not get address information")
    return whole


# ---- Open


async def open_any(
    loop: Loop,
    candidates: Sequence[Candidate],
    use: tuple[bool, bool],
    reuse_port: bool | None,
    allow_broadcast: bool | None,
) -> tuple[socket.socket, Any]:
    """A socket in the first family that lets us, and the address that its datagrams go to or None."""
    errors: list[OSError] = []
    try:
        for (family, proto), addresses in candidates:
            try:
                return await open_one(loop, family, proto, addresses, use, reuse_port, allow_broadcast)
            except OSError as exc:
                errors.append(exc)
        raise errors[0]
    finally:
        # The exceptions' tracebacks refer to this frame.
        errors = None  # type: ignore[assignment]


async def open_one(
    loop: Loop,
    family: int,
    proto: int,
    addresses: Sequence[Any],
    use: tuple[bool, bool],
    reuse_port: bool | None,
    allow_broadcast: bool | None,
) -> tuple[socket.socket, Any]:
    """Create, bind and connect one socket."""
    sock = socket.socket(family=family, type=socket.SOCK_DGRAM, proto=proto)
    address = None
    try:
        if reuse_port:
            _set_reuseport(sock)
        if allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        if use[0]:
            socketfile.bind(sock, addresses[0])
        if use[1]:
            address = addresses[1]
            if not allow_broadcast:
                await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock, address


# ---- Wrap


async def wrap(
    loop: Loop, sock: socket.socket, protocol_factory: Callable[[], _P], address: Any, own: bool
) -> tuple[DatagramTransport, _P]:
    """A protocol and the transport over a socket, once connection_made was called."""
    try:
        protocol = protocol_factory()
        opening = Opening(loop)
        transport = loop._make_datagram_transport(sock, protocol, address, opening.waiter)
    except BaseException:
        # The user's socket stays his, as with asyncio.
        if own and not is_claimed(loop, sock):
            sock.close()
        raise
    await opening.wait(transport)
    return transport, protocol


def make_datagram_transport(
    loop: Loop,
    sock: socket.socket,
    protocol: BaseProtocol,
    address: Any = None,
    waiter: Future[None] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> DatagramTransport:
    """asyncio's private `_make_datagram_transport`, which some libraries call."""
    return DatagramTransport(loop, sock, protocol, address, waiter, extra)
