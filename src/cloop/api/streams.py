"""asyncio's streams, with what they receive in compiled buffers.

A reader here is an asyncio.StreamReader whose data is in an Intake (transports/intake), to which the
transport gives it without a call in between; a writer is an asyncio.StreamWriter with a shorter
drain(). Neither has another layout than asyncio's class, so that

    asyncio.open_connection, start_server, open_unix_connection, start_unix_server

get them too on a loop of cloop's: they make asyncio's own objects, and `equipped` changes the class of
these before the connection is made. The readers of asyncio.create_subprocess_exec and
create_subprocess_shell change theirs before anybody has seen them (`equip_child`). Nothing of asyncio's
is replaced, and no other loop is affected. That is done for objects of exactly asyncio's own classes that
those functions have made, unless somebody has replaced a method that ours would hide. What programs make
by themselves, subclasses and protocols made by hand, is left as it is.

Switched off by `loop.equips_streams = False`, and for all loops of a process that is started with
CLOOP_STREAMS=asyncio in its environment.

Derived from CPython's asyncio/streams.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import os
from asyncio import base_subprocess, streams
from asyncio import subprocess as subprocesses
from typing import TYPE_CHECKING, Any, TypeVar

from cloop.api.streamio import KEPT, StreamReader, StreamWriter
from cloop.transports.intake import Intake
from cloop.transports.pipe import receive_into

if TYPE_CHECKING:
    from asyncio import BaseProtocol
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from cloop.loop import Loop

    _ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

_P = TypeVar("_P", bound="BaseProtocol")

# ---- For asyncio's functions

PIPE_DATA_RECEIVED = subprocesses.SubprocessStreamProtocol.pipe_data_received
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
    if not is_asyncios(loop, protocol_factory, streams):
        return protocol_factory

    def factory() -> _P:
        protocol = protocol_factory()
        equip(protocol)
        return protocol

    return factory


def is_asyncios(loop: Loop, protocol_factory: Callable[[], Any], module: ModuleType) -> bool:
    """Whether a factory is of that module, and the streams it makes are to be equipped."""
    if getattr(protocol_factory, "__globals__", None) is not vars(module) or not loop.equips_streams:
        return False
    return all(vars(base).get(name) is method for base, name, method in HIDDEN)


def equip(protocol: BaseProtocol) -> None:
    """Change the class of the streams that a protocol of asyncio's is for."""
    if type(protocol) is not asyncio.StreamReaderProtocol:
        return
    # What is private is unknown to type checkers.
    inner: Any = protocol
    if type(inner._stream_reader) is not asyncio.StreamReader:
        return
    equip_reader(inner._stream_reader)
    if inner._client_connected_cb is not None:
        inner._client_connected_cb = with_writer(inner._client_connected_cb)


def equip_reader(reader: Any) -> Intake:
    """Change the class of a reader; returns what its data is in from now on."""
    intake = Intake(reader._limit, reader._loop)
    intake.belong(reader)
    attributes = vars(reader)
    for name in KEPT:
        value = attributes.pop(name)
        # Else it is what an intake begins with.
        if value:
            setattr(intake, name, value)
    reader.__class__ = StreamReader
    reader._intake = intake
    return intake


def equip_child(loop: Loop, protocol_factory: Callable[[], Any], protocol: Any, transport: Any) -> None:
    """Change the class of the readers of a child's output, and have its pipes give them what comes.

    That is what the child's protocol does with it, a turn later.
    """
    if type(protocol) is not subprocesses.SubprocessStreamProtocol or "pipe_data_received" in vars(protocol):
        return
    if PIPE_DATA_RECEIVED is not subprocesses.SubprocessStreamProtocol.pipe_data_received:
        return
    if not is_asyncios(loop, protocol_factory, subprocesses):
        return
    for fd, reader in ((1, protocol.stdout), (2, protocol.stderr)):
        if type(reader) is asyncio.StreamReader:
            intake = equip_reader(reader)
            pipe = transport.get_pipe_transport(fd)
            if type(pipe.get_protocol()) is base_subprocess.ReadSubprocessPipeProto:
                receive_into(pipe, intake)


def with_writer(client_connected_cb: _ClientConnected) -> _ClientConnected:
    """Change the class of the writer that a callback is called with."""

    def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None] | None:
        if type(writer) is asyncio.StreamWriter:
            writer.__class__ = StreamWriter
        return client_connected_cb(reader, writer)

    return callback
