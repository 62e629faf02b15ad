import asyncio
from collections.abc import Callable
from contextvars import Context
from socket import _RetAddress, socket
from typing import TypeAlias, final

from cloop.core.reactor import Reactor

_Accept: TypeAlias = Callable[[socket, _RetAddress, Context, bool], object]

@final
class Listener:
    def __new__(
        cls,
        loop: Reactor,
        sock: socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        server: asyncio.Server | None = None,
        backlog: int = 100,
        accept: _Accept | None = None,
        context: Context | None = None,
    ) -> Listener: ...

def start_listening(
    loop: Reactor,
    sock: socket,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    *,
    server: asyncio.Server | None = None,
    backlog: int = 100,
    accept: _Accept | None = None,
    context: Context | None = None,
) -> None: ...
def stop_listening(loop: Reactor, sock: socket) -> None: ...
