"""Names to addresses: socket.getaddrinfo and getnameinfo in threads; see `executor` for which.

The functions of `socket` are looked up when they are called, so that a patched one is honoured. A
host that is an address already needs no look-up and no thread.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import itertools
import socket
from asyncio.base_events import _ipaddr_info  # type: ignore[attr-defined]
from asyncio.log import logger
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cloop.api import executor

if TYPE_CHECKING:
    from cloop.api.hints import AddressInfo
    from cloop.loop import Loop


async def getaddrinfo(
    loop: Loop,
    host: str | bytes | None,
    port: str | bytes | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> Sequence[AddressInfo]:
    """socket.getaddrinfo() in a thread."""
    threads = executor.name_executor(loop)
    if loop.get_debug():
        return await loop.run_in_executor(
            threads, logged_look_up, loop, host, port, family, type, proto, flags
        )
    return await loop.run_in_executor(threads, socket.getaddrinfo, host, port, family, type, proto, flags)


async def getnameinfo(
    loop: Loop, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
) -> tuple[str, str]:
    """socket.getnameinfo() in a thread."""
    return await loop.run_in_executor(executor.name_executor(loop), socket.getnameinfo, sockaddr, flags)


def logged_look_up(
    loop: Loop,
    host: Any,
    port: Any,
    family: int,
    type: int,
    proto: int,
    flags: int,
) -> Sequence[AddressInfo]:
    """A look-up that logs what it does, and as information what takes long."""
    options = {"family": family, "type": type, "proto": proto, "flags": flags}
    call = ", ".join([f"{host}:{port!r}", *(f"{name}={value!r}" for name, value in options.items() if value)])
    logger.debug("Get address info %s", call)
    begin = loop.time()
    infos = socket.getaddrinfo(host, port, family, type, proto, flags)
    seconds = loop.time() - begin
    message = f"Getting address info {call} took {seconds * 1e3:.3f}ms: {infos!r}"
    if seconds >= loop.slow_callback_duration:
        logger.info(message)
    else:
        logger.debug(message)
    return infos


async def ensure_resolved(
    loop: Loop,
    address: Sequence[Any],
    *,
    family: int = 0,
    type: int = socket.SOCK_STREAM,
    proto: int = 0,
    flags: int = 0,
) -> Sequence[AddressInfo]:
    """The address infos of (host, port, ...); at once where the host is an address."""
    host, port = address[:2]
    info = _ipaddr_info(host, port, family, type, proto, *address[2:])
    if info is not None:
        return [info]
    return await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)


async def ensure_resolved_by(
    self: Loop,
    address: Sequence[Any],
    *,
    family: int = 0,
    type: int = socket.SOCK_STREAM,
    proto: int = 0,
    flags: int = 0,
    loop: Loop,
) -> Sequence[AddressInfo]:
    """The same as asyncio has it, with the loop once more."""
    return await ensure_resolved(loop, address, family=family, type=type, proto=proto, flags=flags)


def interleave(infos: Iterable[AddressInfo], first_count: int) -> list[AddressInfo]:
    """The infos with their families in turn, after `first_count` - 1 more of the first family."""
    families: dict[int, list[AddressInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    queues = list(families.values())
    head = queues[0][: first_count - 1]
    del queues[0][: first_count - 1]
    rounds = itertools.zip_longest(*queues)
    return head + [info for info in itertools.chain.from_iterable(rounds) if info is not None]
