import asyncio
from asyncio.trsock import TransportSocket
from socket import socket
from typing import Any

from cloop.core.reactor import Reactor
from cloop.transports.sender import Sender

def is_claimed(loop: Reactor, sock: socket) -> bool: ...

# An asyncio.Transport to isinstance(); the class is not really derived from it.
class BaseTransport(Sender, asyncio.Transport):
    def view_socket(self) -> TransportSocket: ...
    def own_extra(self) -> dict[str, Any]: ...
